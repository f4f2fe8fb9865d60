"""A tenant's custom email texts: position, validation, fallback and preview."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from auth1.templates.colors import contrast
from auth1.templates.email_words import RULES
from tests.messaging.conftest import MessageDatabase
from tests.messaging.mail.conftest import SENDER
from tests.support.api_client import REQUEST, TENANTS, ApiClient
from tests.support.providers.smtp import Received, SmtpServer

SPANISH = {
    "subject": "{code}: tu entrada a {brand}",
    "link": "Pulsa y entra en {brand}:",
    "button": "Entra ya",
    "paste": "O copia esto:",
    "code": "O teclea:",
    "expiry": "Vale {minutes} min.",
    "footer": "¿No fuiste tú? & <no> hagas nada.",
}
JAPANESE = {name: f"日本語 {name}" for name in SPANISH} | {"subject": "{brand}の確認コード {code}"}


async def mail_for(
    api: ApiClient, server: SmtpServer, tenant: dict[str, Any], person: str, **fields: object
) -> Received:
    requested = await api.post(REQUEST, {"email": person, **fields}, tenant["api_key"])
    assert requested.status_code == 200, requested.text
    return server.newest(person)


async def preview(api: ApiClient, tenant: dict[str, Any], **body: object) -> Any:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/texts/preview", {"channel": "email"} | body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def rejections(api: ApiClient, tenant: dict[str, Any], email: object) -> list[list[str]]:
    """Return the rejected fields when these texts are created, patched and previewed."""
    settings = {"texts": {"email": email}}
    made = {"name": "My App", "slug": tenant["slug"] + "-x", "settings": settings}
    answers = [
        await api.admin("POST", TENANTS, made),
        await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}", {"settings": settings}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), answer.text
    return [[error["field"] for error in answer.json()["errors"]] for answer in answers]


async def test_custom_email_texts_appear_in_their_positions(
    mail_api: ApiClient, server: SmtpServer, person: str
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", texts={"email": {"es": SPANISH}}, otp_expiry_minutes=7)

    received = await mail_for(mail_api, server, tenant, person, mode="both", locale="es-MX")

    code, link, page = received.code, received.link, received.part("html")
    assert received.mail["Subject"] == f"{code}: tu entrada a MyApp"
    lines = ["MyApp", "O teclea:", code, "Pulsa y entra en MyApp:", link, "Vale 7 min.", SPANISH["footer"]]
    assert received.part("plain") == "\n\n".join(lines) + "\n"
    for words in ("Pulsa y entra en MyApp:", ">Entra ya</a>", "O copia esto:", "O teclea:", "Vale 7 min.", code, link):
        assert words in page
    assert "¿No fuiste tú? &amp; &lt;no&gt; hagas nada." in page
    assert '<html lang="es" dir="ltr">' in page


async def test_missing_texts_fall_back_to_built_in_texts(mail_api: ApiClient, server: SmtpServer, person: str) -> None:
    texts = {"email": {"es": {"subject": "Hola"}, "es-AR": {"footer": "Chau"}}}
    tenant = await mail_api.tenant(sms_branding="MyApp", texts=texts)

    received = await mail_for(mail_api, server, tenant, person, locale="es-AR")

    assert received.mail["Subject"] == "Hola"
    assert received.part("plain").startswith("MyApp\n\nIntroduce este código para iniciar sesión en MyApp:\n\n")
    assert received.part("plain").endswith("\n\nChau\n")


async def test_email_without_a_code_has_no_code_in_its_subject(
    mail_api: ApiClient, server: SmtpServer, person: str
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", texts={"email": {"es": SPANISH}})

    received = await mail_for(mail_api, server, tenant, person, mode="link", locale="es")

    assert received.mail["Subject"] == "Entra ya"
    assert re.search(r"\d{6}", received.part("plain").replace(received.link, "")) is None


@pytest.mark.parametrize(("locale", "direction"), [("ja", "ltr"), ("he-IL", "rtl")])
async def test_email_in_a_custom_language_has_no_built_in_texts(
    mail_api: ApiClient, server: SmtpServer, person: str, locale: str, direction: str
) -> None:
    language = locale.partition("-")[0]
    tenant = await mail_api.tenant(sms_branding="MyApp", texts={"email": {language: JAPANESE}})

    received = await mail_for(mail_api, server, tenant, person, mode="both", locale=locale)

    assert received.mail["Subject"] == f"MyAppの確認コード {received.code}"
    assert received.mail.get_content_type() == "multipart/alternative"
    said = received.part("plain").replace(received.link, "")
    assert re.search(r"[a-z]{3,}", re.sub("MyApp|link|code|expiry|footer", "", said)) is None
    assert f'<html lang="{language}" dir="{direction}">' in received.part("html")


async def test_incomplete_language_is_rejected(mail_api: ApiClient) -> None:
    tenant = await mail_api.tenant()

    half = {name: words for name, words in JAPANESE.items() if name not in ("paste", "code")}

    assert await rejections(mail_api, tenant, {"ja": half}) == [["settings.texts.email.ja"]] * 2
    whole = {"ja": JAPANESE, "ja-JP": {"button": "ログイン"}}
    assert (await mail_api.tenant(texts={"email": whole}))["settings"]["texts"]["email"] == whole


def not_words() -> Iterator[tuple[dict[str, str], str]]:
    for name in RULES:
        for text in (
            "",
            "x" * 321,
            "A\r\nBcc: eve@example.net",
            "A\nB",
            "A\0B",
            "\u202eA",
            "see https://evil.example",
            "see evil.example",
            "{brand}.com",
            "a@b",
            "{name}",
            "{brand.__class__}",
            "{brand!r}",
            "{brand} {brand} {brand}",
            "{code} {code}",
        ):
            yield {name: text}, name
    for name in RULES.keys() - {"subject"}:
        yield {name: "{code}"}, name


async def test_texts_with_links_newlines_or_unknown_placeholders_are_rejected(mail_api: ApiClient) -> None:
    tenant = await mail_api.tenant()
    path = f"{TENANTS}/{tenant['tenant_id']}"

    for words, name in not_words():
        answers = [
            await mail_api.admin("PATCH", path, {"settings": {"texts": {"email": {"es": words}}}}),
            await mail_api.admin("POST", path + "/texts/preview", {"channel": "email", "template": words}),
        ]
        for answer, field in zip(answers, (f"settings.texts.email.es.{name}", f"template.{name}"), strict=True):
            assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed"), words
            assert [error["field"] for error in answer.json()["errors"]] == [field], words


@pytest.mark.parametrize(
    ("email", "fields"),
    [
        ({"es": {"subject": "A\n", "footer": "{x}"}}, ["es.subject", "es.footer"]),
        ({"es_MX": {"subject": "Hola"}}, ["es_MX"]),
        ({"es": {"heading": "Hola"}}, ["[...].heading"]),
        ({"es": "Hola"}, ["[...]"]),
        ({"es": {"subject": 1}}, ["[...].subject"]),
    ],
)
async def test_validation_errors_name_the_field(mail_api: ApiClient, email: object, fields: list[str]) -> None:
    tenant = await mail_api.tenant()
    named = [f"settings.texts.email{'' if field.startswith('[') else '.'}{field}" for field in fields]

    assert await rejections(mail_api, tenant, email) == [named] * 2


@pytest.mark.parametrize(
    "subject", ["=?utf-8?q?A=0D=0ABcc:_eve?= {brand}", "Ünïcode 日本 " * 8, "{brand}: <b>{code}</b> {{x}} %s"]
)
async def test_subject_cannot_inject_headers(
    mail_api: ApiClient, server: SmtpServer, person: str, subject: str
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", texts={"email": {"en": {"subject": subject}}})

    received = await mail_for(mail_api, server, tenant, person)

    mail = received.mail
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    }
    assert received.recipients == [person]
    assert [address.addr_spec for address in mail["From"].addresses] == [SENDER]
    expected = subject.replace("{{x}}", "{x}").replace("{brand}", "MyApp").replace("{code}", received.code)
    assert "".join(mail["Subject"].split()) == "".join(expected.split())


async def test_invalid_stored_texts_are_ignored(
    mail_api: ApiClient, message_db: MessageDatabase, server: SmtpServer, person: str
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp")
    stored = '{"texts": {"email": {"en": {"subject": "at https://evil.example", "footer": "{x}", "code": "Hi:"}}}}'
    await message_db.do("update tenants set settings = settings || $2 where id = $1", tenant["tenant_id"], stored)

    received = await mail_for(mail_api, server, tenant, person)

    assert received.mail["Subject"] == "Your MyApp verification code"
    assert "Hi:" in received.part("plain")
    assert "Didn't request this?" in received.part("plain")


async def test_preview_equals_the_email_that_is_sent(mail_api: ApiClient, server: SmtpServer, person: str) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", otp_length=8, texts={"email": {"es": SPANISH}})

    shown = await preview(mail_api, tenant, locale="es-MX", mode="both")
    assert server.received == []
    received = await mail_for(mail_api, server, tenant, person, locale="es-MX", mode="both")

    def with_samples(text: str) -> str:
        [sample] = re.findall(r"^(https://auth\.example\.com/api/auth/link/\S+)$", shown["text"], re.MULTILINE)
        return text.replace(received.code, "12345678").replace(received.link, sample)

    assert shown.keys() == {"text", "locale", "subject", "html"}
    assert shown["locale"] == "es"
    assert shown["subject"] == with_samples(received.mail["Subject"])
    assert shown["text"] == with_samples(received.part("plain"))
    assert shown["html"] == with_samples(received.part("html"))


async def test_preview_of_new_texts_stores_nothing(mail_api: ApiClient, server: SmtpServer, person: str) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", default_locale="fr", texts={"email": {"fr": {"code": "Là:"}}})

    shown = await preview(mail_api, tenant, template={"subject": "Salut, {brand}", "footer": "Adieu"})
    received = await mail_for(mail_api, server, tenant, person)

    assert (shown["subject"], shown["locale"]) == ("Salut, MyApp", "fr")
    assert "Saisissez ce code pour vous connecter à MyApp\u00a0:" in shown["text"], "the template is the whole language"
    assert received.mail["Subject"] == "Votre code de vérification MyApp"
    assert "Là:" in received.part("plain")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"channel": "email", "template": "{code}"}, "template"),
        ({"channel": "sms", "template": {"subject": "A"}}, "template"),
        ({"channel": "email", "template": {"title": "A"}}, "template.title"),
        ({"channel": "email", "locale": "ja", "template": {"subject": "A"}}, "template"),
        ({"channel": "email", "mode": "fax"}, "mode"),
        ({"channel": "sms", "mode": "link"}, "mode"),
    ],
)
async def test_invalid_preview_is_rejected(mail_api: ApiClient, body: dict[str, Any], field: str) -> None:
    tenant = await mail_api.tenant()

    answer = await mail_api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/texts/preview", body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


@pytest.mark.parametrize("color", ["#000000", "#ffffff", "#ffee00", "#777777", "#e11d48"])
async def test_button_has_the_tenants_colour_and_readable_text(mail_api: ApiClient, color: str) -> None:
    tenant = await mail_api.tenant(brand_color=color)

    page = (await preview(mail_api, tenant, mode="link"))["html"]

    [(ground, letters, border)] = re.findall(r"background:(#\w{6});color:(#\w{6});border:1px solid (#\w{6})", page)
    assert ground == color
    assert contrast(ground, letters) >= 4.5
    assert border == letters


@pytest.mark.parametrize("color", ["red", "#fff", "#FFEE00", "#ffee00;x", "#ffee00\n", "url(x)", "", 1])
async def test_colour_that_is_not_six_hex_digits_is_rejected(mail_api: ApiClient, color: object) -> None:
    tenant = await mail_api.tenant()

    answer = await mail_api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}", {"settings": {"brand_color": color}})

    assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (
        422,
        ["settings.brand_color"],
    )
