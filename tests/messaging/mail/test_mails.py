"""Emails: headers, language, injection attempts and delivery outcomes."""

import email.utils
import re

import pytest

from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.messaging.providers.smtp import Smtp
from auth1.templates.placeholders import to_one_line
from auth1.templates.strings import STRINGS
from tests.messaging.conftest import MessageDatabase
from tests.messaging.mail.conftest import SENDER, ask, message
from tests.support.api_client import ApiClient
from tests.support.providers import smtp
from tests.support.providers.smtp import SmtpServer, answer, hang_up


async def test_user_logs_in_with_a_code_by_email(mail_api: ApiClient, server: SmtpServer, person: str) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp")

    requested = await mail_api.post("/api/auth/request", {"email": person.upper()}, tenant["api_key"])

    assert requested.status_code == 200, requested.text
    assert requested.json() | {"challenge_id": ""} == {
        "challenge_id": "",
        "channel": "email",
        "status": "sent",
        "destination": "a•••@example.com",
        "expires_in": 600,
        "resend_after": 30,
        "code_length": 6,
    }
    [received] = server.received
    assert (received.sender, received.recipients) == (SENDER, [person])
    answered = await mail_api.post("/api/auth/verify", {"email": person, "code": received.code}, tenant["api_key"])
    assert (answered.status_code, answered.json()["is_new_user"]) == (200, True)


async def test_email_has_the_headers_and_parts_of_a_valid_email(
    mail_api: ApiClient, server: SmtpServer, person: str
) -> None:
    status, _ = await ask(mail_api, person)

    assert status == 200
    received = server.newest(person)
    mail = received.mail
    assert mail.defects == []
    [sender] = mail["From"].addresses
    assert (sender.display_name, sender.addr_spec) == ("MyApp", SENDER)
    assert [address.addr_spec for address in mail["To"].addresses] == [person]
    assert mail["Subject"] == "Your MyApp verification code"
    assert email.utils.parsedate_to_datetime(mail["Date"]).tzinfo is not None
    assert mail["Message-ID"].startswith("<msg_")
    assert mail["Message-ID"].endswith("@auth.example.com>")
    assert mail["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    page = received.part("html")
    assert received.code in page
    assert "color-scheme" in page
    for word in ("<img", "src=", "<script", "<link", "url(", "@import", "http"):
        assert word not in page
    assert received.code not in mail["Subject"]
    assert received.code not in await mail_api.log()


@pytest.mark.parametrize("locale", ["en", "fr"])
async def test_both_email_parts_contain_only_the_code_and_the_link(
    mail_api: ApiClient, server: SmtpServer, person: str, locale: str
) -> None:
    status, _ = await ask(mail_api, person, mode="both", locale=locale)

    assert status == 200
    received = server.newest(person)
    mail = received.mail
    assert received.raw.isascii()
    assert max(len(line) for line in received.raw.splitlines()) <= 78, "RFC 5322, 2.1.1"
    assert (received.recipients, mail["Cc"], mail["Bcc"], mail["Reply-To"]) == ([person], None, None, None)
    parts = [mail.get_body((kind,)) for kind in ("plain", "html")]
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"], "the best comes last"
    for part in parts:
        assert part is not None
        assert part.get_content_charset() == "utf-8"
        assert part.defects == []
        text = part.get_content()
        assert received.code in text
        assert set(re.findall(r"https?://[^\s\"<]+", text)) == {received.link}
    assert received.link.startswith("https://auth.example.com/api/auth/link/")
    assert received.part("html").count(f'href="{received.link}"') == 2


async def test_email_comes_from_the_tenants_own_address(mail_api: ApiClient, server: SmtpServer, person: str) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", email_from="hello@myapp.example")
    other = f"other.{person}"

    for address, key in ((person, tenant["api_key"]), (other, (await mail_api.tenant())["api_key"])):
        response = await mail_api.post("/api/auth/request", {"email": address}, key)
        assert response.status_code == 200, response.text

    received = server.newest(person)
    [sender] = received.mail["From"].addresses
    assert (received.sender, sender.addr_spec) == ("hello@myapp.example", "hello@myapp.example")
    assert sender.display_name == "MyApp"
    assert server.newest(other).sender == SENDER, "on the same connection"


async def test_only_the_operator_sets_the_sender_address(mail_api: ApiClient) -> None:
    tenant = await mail_api.tenant()
    headers = {"x-api-key": tenant["secret_key"]}

    response = await mail_api.client.patch("/api/tenant/settings", json={"email_from": "a@b.example"}, headers=headers)

    assert (response.status_code, response.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(("locale", "lang"), [(tag, tag) for tag in STRINGS] + [("de-CH", "de"), ("tlh", "en")])
async def test_email_is_in_the_language_of_the_request(
    mail_api: ApiClient, server: SmtpServer, person: str, locale: str, lang: str
) -> None:
    assert (await ask(mail_api, person, locale=locale))[0] == 200

    assert server.newest(person).mail["Subject"] == STRINGS[lang].email.code_subject.format(brand="MyApp")
    assert f'<html lang="{lang}" dir="ltr">' in server.newest(person).part("html")


BRANDS = [
    "A\r\nBcc: eve@example.net",
    "A\nBcc: eve@example.net\n\nBody",
    'A" <eve@example.net>, "B',
    "A, eve@example.net",
    "A\u2028Bcc: eve@example.net\x85X\x00Y",
    "\u202eAPP\u202c",
    "=?utf-8?q?A=0D=0ABcc:_eve@example.net?=",
    "Ünïcode 日本 " * 8,
    "<b>A</b> & <script>alert(1)</script>",
]


@pytest.mark.parametrize("brand", BRANDS)
async def test_sender_name_cannot_inject_headers(provider: Smtp, server: SmtpServer, brand: str) -> None:
    await provider.send(message(brand=brand))

    [received] = server.received
    assert received.recipients == ["ann@example.com"]
    mail = received.mail
    assert set(mail.keys()) == {
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type")
    }
    [sender] = mail["From"].addresses
    assert sender.addr_spec == SENDER
    # Between the encoded words of a long name Python's own parser leaves spaces.
    assert "".join(sender.display_name.split()) == "".join(to_one_line(brand).split())
    assert received.part("plain") == "Hello\n.\nWorld\n"


async def test_tenant_name_is_escaped_and_metadata_is_not_in_the_email(
    mail_api: ApiClient, server: SmtpServer, person: str
) -> None:
    name = '"Tom" & Söhne'
    made = await mail_api.admin("POST", "/api/admin/tenants", {"name": name, "slug": person.split("@")[0][4:] + "x"})
    metadata = {"note": "X\r\nBcc: eve@example.net"}
    requested = await mail_api.post(
        "/api/auth/request", {"email": person, "metadata": metadata}, made.json()["api_key"]
    )

    assert requested.status_code == 200, requested.text
    received = server.newest(person)
    assert received.mail["From"].addresses[0].display_name == name
    assert "&#34;Tom&#34; &amp; Söhne" in received.part("html")
    assert '"Tom"' not in received.part("html")
    assert b"eve@" not in received.raw


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com\r\nRCPT TO:<eve@example.net>",
        "ann@example.com\nBcc: eve@example.net",
        "ann@example.com>, <eve@example.net",
        "ann\u0000@example.com",
        "ann@exa\u006d\u0307ple.com",
        "аnn@example.com",  # the first letter is Cyrillic
        '"ann\r\n"@example.com',
        "ann@[127.0.0.1]",
    ],
)
async def test_address_with_injected_text_is_rejected(mail_api: ApiClient, server: SmtpServer, address: str) -> None:
    status, body = await ask(mail_api, address)

    assert (status, body["code"]) == (422, "invalid_email")
    assert server.received == []


@pytest.mark.parametrize(
    ("command", "behaviour", "status", "code"),
    [
        ("RCPT", answer("550 5.1.1 No such user"), 422, "invalid_email"),
        ("RCPT", answer("451 4.3.0 Later"), 502, "delivery_failed"),
        ("RCPT", answer("554 5.1.1 No such user"), 422, "invalid_email"),
        ("RCPT", answer("556 5.1.10 Domain does not accept mail"), 422, "invalid_email"),
        ("DATA", hang_up, 502, "delivery_failed"),
    ],
)
async def test_response_shows_the_outcome_of_the_delivery(
    mail_api: ApiClient,
    server: SmtpServer,
    person: str,
    command: str,
    behaviour: smtp.Behaviour,
    status: int,
    code: str,
) -> None:
    server.on[command] = behaviour

    found, body = await ask(mail_api, person)

    assert (found, body["code"]) == (status, code)


async def test_email_that_may_have_been_accepted_is_unknown_and_counted(
    mail_api: ApiClient, server: SmtpServer, person: str, message_db: MessageDatabase
) -> None:
    tenant = await mail_api.tenant()
    server.on["DATA"] = hang_up

    await mail_api.post("/api/auth/request", {"email": person}, tenant["api_key"])

    row = await message_db.message(tenant["tenant_id"], person)
    assert (row["state"], row["provider"], row["error"]) == ("unknown", "smtp", "unknown:connection_lost")
    assert len((await message_db.identifier(tenant["tenant_id"], person))["sent_at"]) == 1


async def test_outbox_sends_queued_emails(
    mail_api: ApiClient, server: SmtpServer, person: str, message_db: MessageDatabase
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp")
    body = {"email": person, "locale": "fr"}
    requested = await mail_api.post("/api/auth/request", body, tenant["api_key"])
    assert requested.status_code == 200
    first = server.newest(person)
    await message_db.do(
        "update messages set state = 'queued', trying = null, provider = null, attention_at = now()"
        " where identifier = $1",
        person,
    )

    await mail_api.services.outbox.run_once()

    again = server.newest(person)
    assert again is not first
    assert (again.code, again.mail["Subject"]) == (first.code, first.mail["Subject"])


async def test_greylisted_mail_is_sent_later_while_its_code_is_valid(
    mail_api: ApiClient, server: SmtpServer, person: str, message_db: MessageDatabase
) -> None:
    tenant = await mail_api.tenant()
    server.on["RCPT"] = answer("451 4.7.1 Greylisted, try again in five minutes")

    requested = await mail_api.post("/api/auth/request", {"email": person}, tenant["api_key"])

    assert (requested.status_code, requested.json()["status"]) == (200, "queued")
    server.on.clear()
    await mail_api.services.outbox.run_once()
    assert server.sent_to(person) == [], "the outbox waits for the delay"
    await message_db.do("update messages set claimed_until = now(), attention_at = now() where identifier = $1", person)
    await mail_api.services.outbox.run_once()
    body = {"email": person, "code": server.newest(person).code}
    assert (await mail_api.post("/api/auth/verify", body, tenant["api_key"])).status_code == 200
    row = await message_db.message(tenant["tenant_id"], person)
    assert (row["state"], row["provider"]) == ("sent", "smtp")


async def test_mail_greylisted_until_its_code_expires_is_dropped(
    mail_api: ApiClient, server: SmtpServer, person: str, message_db: MessageDatabase
) -> None:
    tenant = await mail_api.tenant()
    server.on["RCPT"] = answer("450 4.2.0 Greylisted")
    requested = await mail_api.post("/api/auth/request", {"email": person}, tenant["api_key"])
    assert requested.json()["status"] == "queued"

    await message_db.do("update messages set claimed_until = now(), attention_at = now() where identifier = $1", person)
    await mail_api.services.outbox.run_once()
    assert (await message_db.message(tenant["tenant_id"], person))["state"] == "queued", "it is deferred again"
    await message_db.do("update messages set claimed_until = now(), attention_at = now() where identifier = $1", person)
    await message_db.do("update identifiers set code_expires_at = now() where identifier = $1", person)
    await mail_api.services.outbox.run_once()

    row = await message_db.message(tenant["tenant_id"], person)
    assert (row["state"], row["error"]) == ("failed", "code_ended")
    assert server.sent_to(person) == []


async def test_full_mailboxes_do_not_open_the_circuit_breaker(mail_api: ApiClient, server: SmtpServer) -> None:
    tenant = await mail_api.tenant()
    server.on["RCPT"] = answer("552 5.2.2 Mailbox full")
    for n in range(MAX_FAILURES + 1):
        requested = await mail_api.post("/api/auth/request", {"email": f"full.{n}@example.com"}, tenant["api_key"])
        assert (requested.status_code, requested.json()["code"]) == (502, "delivery_failed")

    assert mail_api.services.messenger.breakers["smtp"] == "closed"


async def test_email_is_unavailable_without_a_mail_server(api: ApiClient, person: str) -> None:
    status, body = await ask(api, person)

    assert (status, body["code"]) == (503, "channel_unavailable")
