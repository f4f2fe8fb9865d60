"""What messages say, and in which language."""

from itertools import product

import pytest

from auth1.errors import ValidationFailed
from auth1.messaging.locales import FALLBACK, normalise
from auth1.messaging.segments import measure
from auth1.messaging.texts import BUILT_IN, check, choose, sms_code
from auth1.tenants.settings import TenantSettings, Texts, read_settings

ORDINARY = TenantSettings()
LOCALES = sorted(BUILT_IN)
# In ten minutes, and in one.
EXPECTED = {
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
        "O seu PIN para MyApp é: 482913. Expira em 10 minutos.",
        "O seu PIN para MyApp é: 482913. Expira em 1 minuto.",
    ),
    "it": (
        "Il tuo codice di verifica per MyApp è: 482913. Scade tra 10 minuti.",
        "Il tuo codice di verifica per MyApp è: 482913. Scade tra 1 minuto.",
    ),
}


def own(**templates: str) -> TenantSettings:
    """Settings with templates by locale; `pt_BR=` is pt-BR."""
    return TenantSettings(texts=Texts(sms={tag.replace("_", "-"): text for tag, text in templates.items()}))


@pytest.mark.parametrize("locale", LOCALES)
def test_each_language_has_its_text_for_one_minute_and_for_many(locale: str) -> None:
    said = tuple(sms_code("MyApp", ORDINARY, locale, "482913", life) for life in (600, 60))

    assert said == EXPECTED[locale]


@pytest.mark.parametrize(("life", "end"), [(600, "10 minutes."), (541, "10 minutes."), (61, "2 minutes.")])
def test_begun_minutes_count(life: int, end: str) -> None:
    assert sms_code("MyApp", ORDINARY, "en", "482913", life).endswith(end)


@pytest.mark.parametrize("life", [60, 3, 0, -1])
def test_the_last_minute_is_one(life: int) -> None:
    assert sms_code("MyApp", ORDINARY, "en", "482913", life).endswith("Expires in 1 minute.")


@pytest.mark.parametrize("locale", LOCALES)
def test_with_a_brand_of_thirty_characters_every_text_is_one_segment_of_gsm_letters(locale: str) -> None:
    for digits, minutes in product(range(4, 11), range(1, 11)):
        settings = TenantSettings(sms_branding="M" * 30, otp_length=digits, sms_autofill_host="l" * 30 + ".example")

        text = sms_code("My App", settings, locale, "7" * digits, minutes * 60)

        assert measure(text)[::2] == ("gsm7", 1), text
        assert text.startswith(EXPECTED[locale][0].partition("MyApp")[0] + "M" * 30)


def test_the_brand_is_the_setting_or_else_the_tenants_name() -> None:
    assert "Your My App verification" in sms_code("My App", ORDINARY, "en", "482913", 600)
    assert "Your MyApp verification" in sms_code("My App", TenantSettings(sms_branding="MyApp"), "en", "482913", 600)


@pytest.mark.parametrize(
    ("wanted", "default", "found"),
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
def test_a_language_without_a_text_falls_back(wanted: str | None, default: str, found: str) -> None:
    choice = choose(TenantSettings(default_locale=default), wanted)

    assert choice == (found, BUILT_IN[found])


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ("pt-BR", "BR 482913"),
        ("pt_br", "BR 482913"),
        ("pt-BR-x-informal", "BR 482913"),
        ("pt-PT", "PT 482913"),
        ("pt", "PT 482913"),
        ("zh-Hant-TW", "ZH 482913"),
        ("zh-TW", "JA 482913"),
        ("fr", EXPECTED["fr"][0]),  # a built-in text in the reader's language comes before a template in another
        ("sv", "JA 482913"),
        (None, "JA 482913"),
    ],
)
def test_a_template_wins_over_the_built_in_text_of_its_language(wanted: str | None, text: str) -> None:
    templates = {"pt-BR": "BR {code}", "pt": "PT {code}", "zh-Hant": "ZH {code}", "ja": "JA {code}"}
    settings = TenantSettings(default_locale="ja", texts=Texts(sms=templates))

    assert sms_code("MyApp", settings, wanted, "482913", 600) == text


def test_a_stored_template_that_is_none_by_todays_rules_is_passed_over() -> None:
    settings = own(en="Your code: {code.__class__}", pt_BR="{code} {code}")

    assert sms_code("MyApp", settings, "en", "482913", 600) == EXPECTED["en"][0]
    assert sms_code("MyApp", settings, "pt-BR", "482913", 600) == EXPECTED["pt"][0]


def test_the_autofill_line_is_the_last_and_is_what_browsers_read() -> None:
    settings = TenantSettings(sms_autofill_host="login.example.com")

    lines = sms_code("MyApp", settings, "fr", "004829", 600).split("\n")

    # WICG, "Origin-bound one-time codes delivered via SMS", 3.2: of the last line, `@` host, one space, `#` code.
    assert lines[-1] == "@login.example.com #004829"
    assert lines[:-1] == [EXPECTED["fr"][0].replace("482913", "004829")]


@pytest.mark.parametrize(
    ("tag", "spelled"),
    [
        ("PT", "pt"),
        ("pt_br", "pt-BR"),
        ("ZH-HANT-tw", "zh-Hant-TW"),
        ("es-419", "es-419"),
        ("sl-ROZAJ-biske-1994", "sl-rozaj-biske-1994"),
    ],
)
def test_tags_are_spelled_in_one_way(tag: str, spelled: str) -> None:
    assert normalise(tag) == spelled


@pytest.mark.parametrize(
    ("templates", "fields"),
    [
        ({"en": "{code}", "pt-BR": "{code}", "zh-Hant-TW": "{code}", "es-419": "{code}", "fil": "{code}"}, []),
        ({"en": "{code}", "es": "no code"}, ["settings.texts.sms.es"]),
        ({"en": "{code}\n", "fr": "{x}"}, ["settings.texts.sms.en", "settings.texts.sms.fr"]),
        ({"pt_BR": "{code}"}, ["settings.texts.sms.pt_BR"]),
        ({"pt-br": "{code}"}, ["settings.texts.sms.pt-br"]),
        ({"EN": "{code}"}, ["settings.texts.sms.EN"]),
        ({"": "{code}"}, ["settings.texts.sms."]),
        ({"en\n": "{code}"}, ["settings.texts.sms.en\n"]),
        ({"x" * 100: ""}, ["settings.texts.sms." + "x" * 64] * 2),
    ],
)
def test_every_wrong_template_is_named_when_settings_are_written(templates: dict[str, str], fields: list[str]) -> None:
    wanted = TenantSettings(texts=Texts(sms=templates))

    if fields:
        with pytest.raises(ValidationFailed) as refused:
            check(wanted)
        assert [error.field for error in refused.value.errors] == fields
    else:
        check(wanted)


def test_every_built_in_language_could_be_a_template_of_a_tenant() -> None:
    assert FALLBACK in BUILT_IN
    for tag, wording in BUILT_IN.items():
        check(own(**{tag: "{code}"}))
        assert wording.one != wording.many


def test_settings_of_another_version_are_read_as_far_as_they_are_known() -> None:
    stored = (
        '{"otp_length": 8, "colour": "blue", "max_otp_attempts": 1000, "sms_branding": "A\\n", "texts": {"fax": {}}}'
    )

    assert read_settings(stored) == TenantSettings(otp_length=8)
    assert read_settings("{}") == TenantSettings()
