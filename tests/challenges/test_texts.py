"""Texts of SMS through the API: language, the tenant's own texts, and previews."""

from contextlib import ExitStack
from typing import Any

import asyncpg
import pytest

from auth1.messaging import dispatcher
from tests.conftest import new_phone
from tests.support.api_client import REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import TwilioServer

GREETINGS = {
    "en": "Your MyApp verification code is: ",
    "es": "Tu clave de un solo uso para MyApp es: ",
    "fr": "Votre code de vérification MyApp est : ",
    "de": "Ihr Bestätigungscode für MyApp lautet: ",
    "pt": "Seu PIN para MyApp é: ",
    "it": "Il tuo codice di verifica per MyApp è: ",
}


async def text_for(api: ApiClient, twilio: TwilioServer, tenant: dict[str, Any], locale: str | None) -> str:
    """Request a code in a language; return the text that was sent to Twilio."""
    phone = new_phone()
    requested = await api.post(REQUEST, {"phone": phone, "locale": locale}, tenant["api_key"])
    assert (requested.status_code, requested.json()["status"]) == (200, "sent"), requested.text
    [text] = twilio.sent_to(phone)
    return text


async def preview(api: ApiClient, tenant: dict[str, Any], **body: Any) -> Any:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/texts/preview", {"channel": "sms"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_sms_is_in_the_language_of_the_request(api: ApiClient, twilio_server: TwilioServer) -> None:
    tenant = await api.tenant(sms_branding="MyApp")

    for locale, greeting in GREETINGS.items():
        assert (await text_for(api, twilio_server, tenant, locale)).startswith(greeting)


@pytest.mark.parametrize(
    ("locale", "default", "found"),
    [
        ("pt-BR", "en", "pt"),
        ("de_AT", "en", "de"),
        ("de_DE.UTF-8", "en", "de"),
        ("fr-FR@posix", "en", "fr"),
        ("ja", "en", "en"),
        ("ja", "fr-CA", "fr"),
        (None, "it", "it"),
        (None, "ja", "en"),
    ],
)
async def test_language_falls_back_to_tenant_default_then_english(
    api: ApiClient, twilio_server: TwilioServer, locale: str | None, default: str, found: str
) -> None:
    tenant = await api.tenant(sms_branding="MyApp", default_locale=default)

    assert (await text_for(api, twilio_server, tenant, locale)).startswith(GREETINGS[found])


@pytest.mark.parametrize("locale", ["", "C", "POSIX", "e", "en-", "e n", "../en", "é", "en\0", "a" * 9000, "*", "@x"])
async def test_unusable_locale_is_ignored_and_logged(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, str], locale: str
) -> None:
    assert (await text_for(api, twilio_server, tenant, locale)).startswith("Your My App")

    assert '"msg":"locale ignored"' in await api.log()


@pytest.mark.parametrize("locale", [1, ["en"]])
async def test_locale_must_be_a_string(api: ApiClient, tenant: dict[str, str], phone: str, locale: object) -> None:
    answer = await api.post(REQUEST, {"phone": phone, "locale": locale}, tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"] == [{"field": "locale", "message": "Must be a string."}]


async def test_tenant_texts_replace_built_in_texts(api: ApiClient, twilio_server: TwilioServer) -> None:
    texts = {"sms": {"es": "{brand}: {code} ({minutes} min) {{no}}", "ja": "コード {code}"}}
    tenant = await api.tenant(sms_branding="MyApp", texts=texts, default_locale="ja", otp_expiry_minutes=7)

    spanish = await text_for(api, twilio_server, tenant, "es-MX")
    german = await text_for(api, twilio_server, tenant, "de")
    default = await text_for(api, twilio_server, tenant, None)

    assert spanish.startswith("MyApp: ")
    assert spanish.endswith(" (7 min) {no}")
    assert german.startswith(GREETINGS["de"])
    assert default.startswith("コード ")


async def test_changed_text_is_used_immediately(api: ApiClient, twilio_server: TwilioServer) -> None:
    tenant = await api.tenant(sms_branding="MyApp", texts={"sms": {"es": "Uno {code}", "fr": "Un {code}"}})
    path = f"{TENANTS}/{tenant['tenant_id']}"
    assert (await text_for(api, twilio_server, tenant, "es")).startswith("Uno ")

    await api.admin("PATCH", path, {"settings": {"texts": {"sms": {"es": "Dos {code}"}}}})

    assert (await text_for(api, twilio_server, tenant, "es")).startswith("Dos ")
    assert (await text_for(api, twilio_server, tenant, "fr")).startswith(GREETINGS["fr"])  # replaced as a whole

    patched = await api.admin("PATCH", path, {"settings": {"texts": None}})

    assert patched.json()["settings"]["texts"] == {"sms": {}, "sms_add": {}, "email": {}}
    assert (await text_for(api, twilio_server, tenant, "es")).startswith(GREETINGS["es"])


async def test_autofill_line_has_the_tenants_host_and_the_code(
    api: ApiClient, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant(sms_branding="MyApp", sms_autofill_host="login.example.com")
    requested = await api.post(REQUEST, {"phone": phone}, tenant["api_key"])
    assert requested.status_code == 200

    [text] = twilio_server.sent_to(phone)
    explanation, last = text.split("\n")
    code = last.removeprefix("@login.example.com #")

    assert explanation == f"Your MyApp verification code is: {code}. Expires in 10 minutes."
    assert (await api.post(VERIFY, {"phone": phone, "code": code}, tenant["api_key"])).status_code == 200


@pytest.mark.parametrize(
    ("texts", "fields"),
    [
        ({"sms": {"es": "no code"}}, ["settings.texts.sms.es"]),
        ({"sms": {"es": "{code}", "fr": "{code.__class__}", "pt-BR": "{code}\n"}}, ["sms.fr", "sms.pt-BR"]),
        ({"sms": {"es": "{code} https://evil.example"}}, ["settings.texts.sms.es"]),
        ({"sms": {"spanish": "{code}"}}, ["settings.texts.sms.spanish"]),
        ({"sms": {"es": "{code}" * 100}}, ["settings.texts.sms.es"]),
        ({"sms": {"es": None}}, ["settings.texts.sms[...]"]),
        ({"sms": {f"x{chr(97 + n // 26)}{chr(97 + n % 26)}": "{code}" for n in range(51)}}, ["settings.texts.sms"]),
        ({"sms": "{code}"}, ["settings.texts.sms"]),
        ({"fax": {"es": "{code}"}}, ["settings.texts.fax"]),
        ("{code}", ["settings.texts"]),
    ],
)
async def test_invalid_texts_are_rejected_when_they_are_saved(api: ApiClient, texts: object, fields: list[str]) -> None:
    tenant = await api.tenant(texts={"sms": {"de": "Bleibt {code}"}})
    path = f"{TENANTS}/{tenant['tenant_id']}"
    named = [field if field.startswith("settings") else f"settings.texts.{field}" for field in fields]

    made = await api.admin(
        "POST", TENANTS, {"name": "My App", "slug": tenant["slug"] + "-x", "settings": {"texts": texts}}
    )
    patched = await api.admin("PATCH", path, {"settings": {"texts": texts, "otp_length": 8}})

    for answer in (made, patched):
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
        assert [error["field"] for error in answer.json()["errors"]] == named
    assert (await api.admin("GET", path)).json()["settings"] == tenant["settings"]


async def test_login_works_with_stored_settings_of_another_version(
    api: ApiClient, database: asyncpg.Connection, twilio_server: TwilioServer
) -> None:
    tenant = await api.tenant(sms_branding="MyApp")
    stored = (
        '{"texts": {"sms": {"en": "{code} at {place}"}}, "colour": "blue", "otp_length": 7, "max_otp_attempts": 99}'
    )
    await database.execute("update tenants set settings = settings || $2 where id = $1", tenant["tenant_id"], stored)

    text = await text_for(api, twilio_server, tenant, "en")

    code = text.removeprefix(GREETINGS["en"]).partition(".")[0]
    assert code.isdecimal()
    assert len(code) == 7
    shown = (await api.admin("GET", f"{TENANTS}/{tenant['tenant_id']}")).json()["settings"]
    assert (shown["otp_length"], shown["max_otp_attempts"]) == (7, 5)


async def test_queued_message_is_in_the_language_of_its_request(api: ApiClient, twilio_server: TwilioServer) -> None:
    texts = {"sms": {"it": "Ecco {code}"}}
    tenant = await api.tenant(sms_branding="MyApp", texts=texts, sms_autofill_host="a.example", default_locale="it")
    phones = {locale: new_phone() for locale in ("fr-CA", "ja", None)}
    with ExitStack() as full:
        for _ in range(dispatcher.MAX_IN_FLIGHT):
            full.enter_context(api.services.messenger.reserve_capacity())
        for locale, phone in phones.items():
            requested = await api.post(REQUEST, {"phone": phone, "locale": locale}, tenant["api_key"])
            assert (requested.status_code, requested.json()["status"]) == (200, "queued")
    assert [twilio_server.sent_to(phone) for phone in phones.values()] == [[], [], []]

    await api.services.outbox.run_once()

    begins = dict(zip(phones.values(), (GREETINGS["fr"], "Ecco ", "Ecco "), strict=True))
    for phone, begin in begins.items():
        [text] = twilio_server.sent_to(phone)
        assert text.startswith(begin)
        code = text.partition("\n@a.example #")[2]
        assert (await api.post(VERIFY, {"phone": phone, "code": code}, tenant["api_key"])).status_code == 200


async def test_resend_in_another_language_sends_the_same_code(
    api: ApiClient, database: asyncpg.Connection, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant(sms_branding="MyApp")
    await api.post(REQUEST, {"phone": phone, "locale": "de"}, tenant["api_key"])
    await end_resend_delay(database, phone)
    await api.post(REQUEST, {"phone": phone, "locale": "it"}, tenant["api_key"])

    german, italian = twilio_server.sent_to(phone)

    code = german.removeprefix(GREETINGS["de"]).partition(".")[0]
    assert italian.startswith(f"{GREETINGS['it']}{code}. ")


async def test_preview_shows_the_sms_and_its_segments(api: ApiClient, twilio_server: TwilioServer) -> None:
    texts = {"sms": {"es": "{brand}: {code}, {minutes} minutos"}}
    tenant = await api.tenant(sms_branding="MyApp", otp_length=8, otp_expiry_minutes=5, texts=texts)
    sent_before = len(twilio_server.requests)

    assert await preview(api, tenant, locale="es-MX") == {
        "text": "MyApp: 12345678, 5 minutos",
        "locale": "es",
        "encoding": "gsm7",
        "units": 26,
        "segments": 1,
    }
    english = f"{GREETINGS['en']}12345678. Expires in 5 minutes."
    assert await preview(api, tenant) == {
        "text": english,
        "locale": "en",
        "encoding": "gsm7",
        "units": len(english),
        "segments": 1,
    }
    assert len(twilio_server.requests) == sent_before


async def test_preview_of_a_new_template_changes_nothing_and_counts_segments(
    api: ApiClient, twilio_server: TwilioServer
) -> None:
    tenant = await api.tenant(sms_autofill_host="a.example", otp_expiry_minutes=1, default_locale="pt-br")
    template = "Seu código de verificação de {brand} é {code} e vale {minutes} min."

    shown = await preview(api, tenant, template=template)

    text = "Seu código de verificação de My App é 123456 e vale 1 min.\n@a.example #123456"
    assert shown == {"text": text, "locale": "pt-BR", "encoding": "ucs2", "units": 77, "segments": 2}
    assert (await preview(api, tenant, template=template, locale="ES"))["locale"] == "es"
    assert (await preview(api, tenant, template="{code} " + "x" * 300))["segments"] == 3
    assert (await text_for(api, twilio_server, tenant, "pt-BR")).startswith("Seu PIN para My App é: ")


async def test_preview_code_has_the_length_of_the_tenants_codes(api: ApiClient) -> None:
    for digits in (4, 10):
        tenant = await api.tenant(otp_length=digits)
        assert (await preview(api, tenant, template="{code}"))["text"] == "1234567890"[:digits]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channel": "sms", "template": "no code"}, "template"),
        ({"channel": "sms", "template": "{code} {secret}"}, "template"),
        ({"channel": "sms", "template": ""}, "template"),
        ({"channel": "sms", "template": 1}, "template"),
        ({"channel": "sms", "locale": "not a tag"}, "locale"),
        ({"channel": "fax"}, "channel"),
        ({"channel": "sms", "code": "482913"}, "code"),
    ],
)
async def test_invalid_preview_is_rejected(
    api: ApiClient, tenant: dict[str, str], body: dict[str, Any], field: str
) -> None:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/texts/preview", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
