"""The words of the pages behind a link, in the languages that are built in."""

from typing import NamedTuple


class PageWords(NamedTuple):
    """One language. `confirm` is heading and button in one."""

    confirm: str
    press: str
    confirmed: str
    go_back: str
    dead: str
    ask_again: str


PAGE_WORDS: dict[str, PageWords] = {
    "en": PageWords(
        confirm="Log in to {brand}",
        press="Press the button to log in. If you did not ask for this, close this page.",
        confirmed="Confirmed",
        go_back="Go back to the tab or app where you began: it goes on there by itself. You may close this page.",
        dead="This link no longer works",
        ask_again="It has expired or was used already. Go back to where you were logging in, and ask for a new one.",
    ),
    "es": PageWords(
        confirm="Iniciar sesión en {brand}",
        press="Pulsa el botón para iniciar sesión. Si no lo has pedido, cierra esta página.",
        confirmed="Confirmado",
        go_back="Vuelve a la pestaña o aplicación donde empezaste: allí continúa sola. Puedes cerrar esta página.",
        dead="Este enlace ya no funciona",
        ask_again="Ha caducado o ya se ha usado. Vuelve a donde estabas iniciando sesión y pide uno nuevo.",
    ),
    "fr": PageWords(
        confirm="Se connecter à {brand}",
        press="Appuyez sur le bouton pour vous connecter. Si vous n'avez rien demandé, fermez cette page.",
        confirmed="Confirmé",
        go_back="Retournez à l'onglet ou à l'application où vous avez commencé : la suite s'y fait toute seule. "
        "Vous pouvez fermer cette page.",
        dead="Ce lien ne fonctionne plus",
        ask_again="Il a expiré ou a déjà été utilisé. Retournez là où vous vous connectiez et demandez-en un nouveau.",
    ),
    "de": PageWords(
        confirm="Bei {brand} anmelden",
        press="Drücken Sie auf die Schaltfläche, um sich anzumelden. Falls Sie das nicht angefordert haben, schließen "
        "Sie diese Seite.",
        confirmed="Bestätigt",
        go_back="Gehen Sie zurück zum Tab oder zur App, wo Sie begonnen haben: Dort geht es von selbst weiter. Diese "
        "Seite können Sie schließen.",
        dead="Dieser Link gilt nicht mehr",
        ask_again="Er ist abgelaufen oder wurde schon benutzt. Gehen Sie dorthin zurück, wo Sie sich anmelden wollten, "
        "und fordern Sie einen neuen an.",
    ),
    "pt": PageWords(
        confirm="Entrar em {brand}",
        press="Prima o botão para entrar. Se não pediu isto, feche esta página.",
        confirmed="Confirmado",
        go_back="Volte ao separador ou à aplicação onde começou: ali tudo continua sozinho. Pode fechar esta página.",
        dead="Este link já não funciona",
        ask_again="Expirou ou já foi usado. Volte ao sítio onde estava a entrar e peça um novo.",
    ),
    "it": PageWords(
        confirm="Accedi a {brand}",
        press="Premi il pulsante per accedere. Se non l'hai chiesto tu, chiudi questa pagina.",
        confirmed="Confermato",
        go_back="Torna alla scheda o all'app da cui hai iniziato: lì si prosegue da soli. Puoi chiudere questa pagina.",
        dead="Questo link non funziona più",
        ask_again="È scaduto o è già stato usato. Torna dove stavi accedendo e chiedine uno nuovo.",
    ),
}
