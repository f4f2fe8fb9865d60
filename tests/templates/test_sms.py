"""The text of an SMS, and its language."""

import re
from itertools import product

import pytest

from auth1.errors import ValidationFailed
from auth1.templates.locales import FALLBACK, normalise
from auth1.templates.schemas import Branding, Purpose, Texts
from auth1.templates.segments import measure
from auth1.templates.sms import find_template, render_sms
from auth1.templates.strings import STRINGS
from auth1.templates.validation import check_texts
from auth1.tenants.settings import TenantSettings, read_settings

MY_APP = Branding("MyApp")
LOCALES = sorted(STRINGS)
# In ten minutes, and in one.
LOGIN = {
    "en": (
        "Your MyApp verification code is: 482913. Expires in 10 minutes.",
        "Your MyApp verification code is: 482913. Expires in 1 minute.",
    ),
    "es": (
        "Tu clave de un solo uso para MyApp es: 482913. Caduca en 10 minutos.",
        "Tu clave de un solo uso para MyApp es: 482913. Caduca en 1 minuto.",
    ),
    "fr": (
        "Votre code de vérification MyApp est : 482913. Il expire dans 10 minutes.",
        "Votre code de vérification MyApp est : 482913. Il expire dans 1 minute.",
    ),
    "de": (
        "Ihr Bestätigungscode für MyApp lautet: 482913. Er ist 10 Minuten gültig.",
        "Ihr Bestätigungscode für MyApp lautet: 482913. Er ist 1 Minute gültig.",
    ),
    "pt": (
        "Seu PIN para MyApp é: 482913. Expira em 10 minutos.",
        "Seu PIN para MyApp é: 482913. Expira em 1 minuto.",
    ),
    "it": (
        "Il tuo codice di verifica per MyApp è: 482913. Scade tra 10 minuti.",
        "Il tuo codice di verifica per MyApp è: 482913. Scade tra 1 minuto.",
    ),
}
ADD = {
    "en": "Your MyApp code to add this number to your account is: 482913. Expires in 10 minutes. Never share it.",
    "es": "Usa la clave 482913 para añadir este teléfono a tu cuenta de MyApp. Caduca en 10 minutos. "
    "No la compartas con nadie.",
    "fr": "Utilisez le code 482913 pour ajouter ce numéro à votre compte MyApp. Il expire dans 10 minutes. "
    "Ne le partagez avec personne.",
    "de": "Mit dem Code 482913 fügen Sie diese Nummer Ihrem Konto bei MyApp hinzu. Er ist 10 Minuten gültig. "
    "Geben Sie ihn nicht weiter.",
    "pt": "Use o PIN 482913 para adicionar este telefone à sua conta MyApp. Expira em 10 minutos. "
    "Nunca compartilhe este PIN.",
    "it": "Usa il codice 482913 per aggiungere questo numero al tuo account MyApp. Scade tra 10 minuti. "
    "Non condividerlo con nessuno.",
}


def own(**templates: str) -> Branding:
    """Return a brand with templates by locale; `pt_BR=` is pt-BR."""
    return Branding("MyApp", texts=Texts(sms={tag.replace("_", "-"): text for tag, text in templates.items()}))


@pytest.mark.parametrize("locale", LOCALES)
def test_login_text_has_a_singular_and_a_plural(locale: str) -> None:
    assert tuple(render_sms(MY_APP, locale, "482913", life) for life in (600, 60)) == LOGIN[locale]


@pytest.mark.parametrize("locale", LOCALES)
def test_code_that_adds_a_number_names_the_account_action(locale: str) -> None:
    assert render_sms(MY_APP, locale, "482913", 600, "add") == ADD[locale]


@pytest.mark.parametrize(("life", "end"), [(600, "10 minutes."), (541, "10 minutes."), (61, "2 minutes.")])
def test_minutes_are_rounded_up(life: int, end: str) -> None:
    assert render_sms(MY_APP, "en", "482913", life).endswith(end)


@pytest.mark.parametrize("life", [60, 3, 0, -1])
def test_at_least_one_minute_is_shown(life: int) -> None:
    assert render_sms(MY_APP, "en", "482913", life).endswith("Expires in 1 minute.")


@pytest.mark.parametrize("locale", LOCALES)
def test_login_text_is_one_gsm_segment_with_a_brand_of_30_characters(locale: str) -> None:
    branding = Branding("M" * 30, autofill_host="l" * 30 + ".example")
    for digits, minutes in product(range(4, 11), range(1, 11)):
        text = render_sms(branding, locale, "7" * digits, minutes * 60)

        assert measure(text)[::2] == ("gsm7", 1), text
        assert text.startswith(LOGIN[locale][0].partition("MyApp")[0] + "M" * 30)


@pytest.mark.parametrize("locale", LOCALES)
def test_add_text_is_one_gsm_segment_with_a_brand_of_30_characters(locale: str) -> None:
    for digits, minutes in product(range(4, 11), range(1, 11)):
        text = render_sms(Branding("M" * 30), locale, "7" * digits, minutes * 60, "add")

        assert measure(text)[::2] == ("gsm7", 1), text


@pytest.mark.parametrize("locale", LOCALES)
@pytest.mark.parametrize("purpose", ["login", "add"])
def test_word_for_the_code_is_near_the_code(locale: str, purpose: Purpose) -> None:
    # Android detects a code up to 50 characters after such a word (ExtServices, NotificationOtpDetectionHelper; it has
    # words for English only). iOS publishes no rule. The limit is kept in every language.
    text = render_sms(Branding("M" * 20), locale, "482913", 600, purpose)
    between = re.split("code|clave|PIN|codice", text.partition("482913")[0], flags=re.IGNORECASE)

    assert len(between) == 2, text
    assert len(between[1]) <= 50, text


def test_brand_is_the_setting_or_else_the_tenants_name() -> None:
    assert TenantSettings().branding("My App").name == "My App"
    assert TenantSettings(sms_branding="MyApp").branding("My App").name == "MyApp"


@pytest.mark.parametrize(
    ("locale", "default", "found"),
    [
        ("fr", "en", "fr"),
        ("pt-BR", "en", "pt"),
        ("PT_br", "en", "pt"),
        ("de-Latn-CH-1996", "en", "de"),
        ("ES-419", "it", "es"),
        (None, "it", "it"),
        (None, "it-CH", "it"),
        ("ja", "it-CH", "it"),
        ("zh-Hant-TW", "xx-YY", "en"),
        (None, "xx", "en"),
        ("x-klingon", "en", "en"),
        ("ptx", "en", "en"),
    ],
)
def test_language_without_a_text_falls_back(locale: str | None, default: str, found: str) -> None:
    branding = Branding("MyApp", default_locale=default)

    assert find_template(branding, locale, 10).lang == found
    assert render_sms(branding, locale, "482913", 600) == LOGIN[found][0]


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("pt-BR", "BR 482913"),
        ("pt_br", "BR 482913"),
        ("pt-BR-x-informal", "BR 482913"),
        ("pt-PT", "PT 482913"),
        ("pt", "PT 482913"),
        ("zh-Hant-TW", "ZH 482913"),
        ("zh-TW", "JA 482913"),
        ("fr", LOGIN["fr"][0]),  # a built-in text in the reader's language comes before a template in another
        ("sv", "JA 482913"),
        (None, "JA 482913"),
    ],
)
def test_custom_template_precedes_the_built_in_text_of_its_language(locale: str | None, text: str) -> None:
    templates = {"pt-BR": "BR {code}", "pt": "PT {code}", "zh-Hant": "ZH {code}", "ja": "JA {code}"}
    branding = Branding("MyApp", default_locale="ja", texts=Texts(sms=templates))

    assert render_sms(branding, locale, "482913", 600) == text


def test_custom_login_template_is_not_used_for_a_code_that_adds_a_number() -> None:
    texts = Texts(sms={"en": "Sign in: {code}", "ja": "JA {code}"}, sms_add={"fr": "Ajout {code}"})
    branding = Branding("MyApp", texts=texts)

    assert render_sms(branding, "en", "482913", 600, "add") == ADD["en"]
    assert render_sms(branding, "ja", "482913", 600, "add") == ADD["en"]
    assert render_sms(branding, "fr-CA", "482913", 600, "add") == "Ajout 482913"
    assert render_sms(branding, "fr-CA", "482913", 600) == LOGIN["fr"][0]


def test_invalid_stored_template_is_ignored() -> None:
    branding = own(en="Your code: {code.__class__}", pt_BR="{code} {code}")

    assert render_sms(branding, "en", "482913", 600) == LOGIN["en"][0]
    assert render_sms(branding, "pt-BR", "482913", 600) == LOGIN["pt"][0]


def test_autofill_line_is_the_last_line_in_the_format_of_browsers() -> None:
    branding = Branding("MyApp", autofill_host="login.example.com")

    lines = render_sms(branding, "fr", "004829", 600).split("\n")

    # WICG, "Origin-bound one-time codes delivered via SMS", 3.2: of the last line, `@` host, one space, `#` code.
    assert lines[-1] == "@login.example.com #004829"
    assert lines[:-1] == [LOGIN["fr"][0].replace("482913", "004829")]


@pytest.mark.parametrize(
    ("tag", "normalised"),
    [
        ("PT", "pt"),
        ("pt_br", "pt-BR"),
        ("ZH-HANT-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
    ],
)
def test_language_tags_are_normalized(tag: str, normalised: str) -> None:
    assert normalise(tag) == normalised


@pytest.mark.parametrize("channel", ["sms", "sms_add"])
@pytest.mark.parametrize(
    ("templates", "fields"),
    [
        ({"en": "{code}", "pt-BR": "{code}", "zh-Hant-TW": "{code}", "es-419": "{code}", "fil": "{code}"}, []),
        ({"en": "{code}", "es": "no code"}, ["es"]),
        ({"en": "{code}\n", "fr": "{x}"}, ["en", "fr"]),
        ({"pt_BR": "{code}"}, ["pt_BR"]),
        ({"pt-br": "{code}"}, ["pt-br"]),
        ({"EN": "{code}"}, ["EN"]),
        ({"": "{code}"}, [""]),
        ({"en\n": "{code}"}, ["en\n"]),
        ({"x" * 100: ""}, ["x" * 64] * 2),
    ],
)
def test_validation_names_every_invalid_template(channel: str, templates: dict[str, str], fields: list[str]) -> None:
    texts = Texts(sms=templates) if channel == "sms" else Texts(sms_add=templates)

    if fields:
        with pytest.raises(ValidationFailed) as caught:
            check_texts(texts)
        assert [error.field for error in caught.value.errors] == [f"settings.texts.{channel}.{tag}" for tag in fields]
    else:
        check_texts(texts)


def test_every_built_in_language_accepts_custom_templates() -> None:
    assert FALLBACK in STRINGS
    for tag in STRINGS:
        check_texts(Texts(sms={tag: "{code}"}))


def test_unknown_settings_of_another_version_are_ignored() -> None:
    stored = (
        '{"otp_length": 8, "colour": "blue", "max_otp_attempts": 1000, "sms_branding": "A\\n", "texts": {"fax": {}}}'
    )

    assert read_settings(stored) == TenantSettings(otp_length=8)
    assert read_settings("{}") == TenantSettings()
