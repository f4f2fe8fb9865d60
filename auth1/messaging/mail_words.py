"""The words of an email in the languages that are built in, with the tenant's brand and the minutes that remain."""

from typing import NamedTuple


class Words(NamedTuple):
    """One language. `intro_or_code` is for a mail that has a link before the code."""

    subject_code: str
    subject_link: str
    intro_code: str
    intro_link: str
    intro_or_code: str
    button: str
    paste: str
    life_many: str
    life_one: str
    ignore: str


WORDS: dict[str, Words] = {
    "en": Words(
        subject_code="Your {brand} verification code",
        subject_link="Log in to {brand}",
        intro_code="Your {brand} verification code is:",
        intro_link="Open this link to log in to {brand}:",
        intro_or_code="Or enter this code where you are logging in:",
        button="Log in to {brand}",
        paste="If the button does nothing, open this address:",
        life_many="Expires in {minutes} minutes and works once.",
        life_one="Expires in {minutes} minute and works once.",
        ignore="If you did not ask for this, you need do nothing. Do not pass it on to anybody.",
    ),
    "es": Words(
        subject_code="Tu código de verificación de {brand}",
        subject_link="Inicia sesión en {brand}",
        intro_code="Tu código de verificación de {brand} es:",
        intro_link="Abre este enlace para iniciar sesión en {brand}:",
        intro_or_code="O introduce este código donde estás iniciando sesión:",
        button="Iniciar sesión en {brand}",
        paste="Si el botón no responde, abre esta dirección:",
        life_many="Caduca en {minutes} minutos y sirve una sola vez.",
        life_one="Caduca en {minutes} minuto y sirve una sola vez.",
        ignore="Si no lo has pedido, no tienes que hacer nada. No lo compartas con nadie.",
    ),
    "fr": Words(
        subject_code="Votre code de vérification {brand}",
        subject_link="Connexion à {brand}",
        intro_code="Votre code de vérification {brand} est :",
        intro_link="Ouvrez ce lien pour vous connecter à {brand} :",
        intro_or_code="Ou saisissez ce code là où vous vous connectez :",
        button="Se connecter à {brand}",
        paste="Si le bouton ne répond pas, ouvrez cette adresse :",
        life_many="Valable {minutes} minutes, une seule fois.",
        life_one="Valable {minutes} minute, une seule fois.",
        ignore="Si vous n'avez rien demandé, ne faites rien. Ne transmettez ce message à personne.",
    ),
    "de": Words(
        subject_code="Ihr Bestätigungscode für {brand}",
        subject_link="Anmeldung bei {brand}",
        intro_code="Ihr Bestätigungscode für {brand} lautet:",
        intro_link="Öffnen Sie diesen Link, um sich bei {brand} anzumelden:",
        intro_or_code="Oder geben Sie diesen Code dort ein, wo Sie sich anmelden:",
        button="Bei {brand} anmelden",
        paste="Falls die Schaltfläche nicht reagiert, öffnen Sie diese Adresse:",
        life_many="{minutes} Minuten lang und nur einmal gültig.",
        life_one="{minutes} Minute lang und nur einmal gültig.",
        ignore="Falls Sie das nicht angefordert haben, müssen Sie nichts tun. Geben Sie es an niemanden weiter.",
    ),
    "pt": Words(
        subject_code="O seu código de verificação {brand}",
        subject_link="Entrar em {brand}",
        intro_code="O seu código de verificação {brand} é:",
        intro_link="Abra este link para entrar em {brand}:",
        intro_or_code="Ou introduza este código onde está a entrar:",
        button="Entrar em {brand}",
        paste="Se o botão não responder, abra este endereço:",
        life_many="Expira em {minutes} minutos e funciona uma só vez.",
        life_one="Expira em {minutes} minuto e funciona uma só vez.",
        ignore="Se não pediu isto, não precisa de fazer nada. Não o partilhe com ninguém.",
    ),
    "it": Words(
        subject_code="Il tuo codice di verifica {brand}",
        subject_link="Accedi a {brand}",
        intro_code="Il tuo codice di verifica {brand} è:",
        intro_link="Apri questo link per accedere a {brand}:",
        intro_or_code="Oppure inserisci questo codice dove stai accedendo:",
        button="Accedi a {brand}",
        paste="Se il pulsante non risponde, apri questo indirizzo:",
        life_many="Scade tra {minutes} minuti e vale una sola volta.",
        life_one="Scade tra {minutes} minuto e vale una sola volta.",
        ignore="Se non l'hai chiesto tu, non devi fare nulla. Non condividerlo con nessuno.",
    ),
}
