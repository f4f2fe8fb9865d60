"""Email by SMTP, against a real server: what is sent, what each answer means, and what no name can smuggle in."""

import asyncio
import email.utils
import itertools
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from auth1 import mail_server
from auth1.challenges import outbox
from auth1.messaging.mail_words import WORDS
from auth1.messaging.mails import one_line
from auth1.messaging.provider import Failure, Letter, Outgoing, SendError
from auth1.messaging.smtp import DEADLINE_S, Smtp
from tests.conftest import Door, Started
from tests.messaging.conftest import Books
from tests.outside import smtp
from tests.outside.smtp import PASSWORD, USER, SmtpServer, answer, hang, hang_up

APP_URL = "https://auth.example.com"
SENDER = "no-reply@example.com"
_people = itertools.count()


@pytest.fixture(scope="module")
async def module_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture
def server(module_server: SmtpServer) -> SmtpServer:
    """A mail server that takes everything, until a test says otherwise."""
    module_server.on.clear()
    module_server.received.clear()
    return module_server


@pytest.fixture(scope="module")
async def mail_door(start_app: Started, module_server: SmtpServer) -> Door:
    return await start_app(SMTP_URL=module_server.url, EMAIL_FROM=f"Auth1 <{SENDER}>", APP_URL=APP_URL)


@pytest.fixture
def person() -> str:
    return f"ann.{next(_people)}@example.com"


@pytest.fixture
async def provider(server: SmtpServer) -> AsyncIterator[Smtp]:
    provider = Smtp(mail_server.read(server.url, SENDER), APP_URL)
    yield provider
    await provider.close()


def message(to: str = "ann@example.com", brand: str = "My App") -> Outgoing:
    letter = Letter(brand, f"Log in to {brand}", "<p>Hello</p>")
    return Outgoing("tn_1", "msg_" + "0" * 26, to, "Hello\n.\nWorld\n", 600, letter)


async def failure_of(sending: Awaitable[str | None]) -> tuple[Failure, str]:
    with pytest.raises(SendError) as caught:
        await sending
    return caught.value.failure, caught.value.code


async def ask(door: Door, person: str, **fields: object) -> tuple[int, dict[str, object]]:
    """Ask for a code for an address, by a tenant of its own: status and body."""
    tenant = await door.tenant(sms_branding="MyApp")
    asked = await door.post("/api/auth/request", {"email": person, **fields}, tenant["api_key"])
    return asked.status_code, asked.json()


async def test_a_person_logs_in_with_a_code_by_email(mail_door: Door, server: SmtpServer, person: str) -> None:
    tenant = await mail_door.tenant(sms_branding="MyApp")

    asked = await mail_door.post("/api/auth/request", {"email": person.upper()}, tenant["api_key"])

    assert asked.status_code == 200, asked.text
    assert asked.json() | {"challenge_id": ""} == {
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
    answered = await mail_door.post("/api/auth/verify", {"email": person, "code": received.code}, tenant["api_key"])
    assert (answered.status_code, answered.json()["is_new_user"]) == (200, True)


async def test_a_mail_is_what_a_mail_client_expects(mail_door: Door, server: SmtpServer, person: str) -> None:
    status, _ = await ask(mail_door, person)

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
    assert received.code not in await mail_door.log()


@pytest.mark.parametrize(("locale", "lang"), [(tag, tag) for tag in WORDS] + [("de-CH", "de"), ("tlh", "en")])
async def test_a_mail_is_in_the_language_of_its_reader(
    mail_door: Door, server: SmtpServer, person: str, locale: str, lang: str
) -> None:
    assert (await ask(mail_door, person, locale=locale))[0] == 200

    assert server.newest(person).mail["Subject"] == WORDS[lang].subject_code.format(brand="MyApp")
    assert f'<html lang="{lang}">' in server.newest(person).part("html")


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
async def test_no_name_smuggles_anything_into_a_header(provider: Smtp, server: SmtpServer, brand: str) -> None:
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
    assert "".join(sender.display_name.split()) == "".join(one_line(brand).split())
    assert received.part("plain") == "Hello\n.\nWorld\n"


async def test_a_tenants_name_is_escaped_and_metadata_is_not_in_the_mail(
    mail_door: Door, server: SmtpServer, person: str
) -> None:
    name = '<script>alert("1")</script> & Söhne'
    made = await mail_door.admin("POST", "/api/admin/tenants", {"name": name, "slug": person.split("@")[0][4:] + "x"})
    metadata = {"note": "X\r\nBcc: eve@example.net"}
    asked = await mail_door.post("/api/auth/request", {"email": person, "metadata": metadata}, made.json()["api_key"])

    assert asked.status_code == 200, asked.text
    received = server.newest(person)
    assert received.mail["From"].addresses[0].display_name == name
    assert "&lt;script&gt;alert(&quot;1&quot;)&lt;/script&gt; &amp; Söhne" in received.part("html")
    assert "<script" not in received.part("html")
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
async def test_an_address_that_is_more_than_an_address_is_refused(
    mail_door: Door, server: SmtpServer, address: str
) -> None:
    status, body = await ask(mail_door, address)

    assert (status, body["code"]) == (422, "invalid_email")
    assert server.received == []


@pytest.mark.parametrize(
    ("command", "reply", "failure"),
    [
        ("MAIL", "421 4.3.2 Shutting down", Failure.TRANSIENT),
        ("MAIL", "451 4.7.1 Greylisted", Failure.TRANSIENT),
        ("MAIL", "553 5.7.1 Sender address rejected", Failure.CONFIGURATION),
        ("RCPT", "450 4.2.1 Mailbox busy", Failure.TRANSIENT),
        ("RCPT", "550 5.1.1 No such user", Failure.IMPOSSIBLE),
        ("RCPT", "550 No such user", Failure.IMPOSSIBLE),
        ("RCPT", "551 User not local", Failure.IMPOSSIBLE),
        ("RCPT", "553 5.1.3 Bad mailbox name", Failure.IMPOSSIBLE),
        ("RCPT", "550 5.7.1 Relaying denied", Failure.CONFIGURATION),
        ("RCPT", "554 5.7.1 Blocked", Failure.CONFIGURATION),
        ("RCPT", "552 5.2.2 Mailbox full", Failure.CONFIGURATION),
        ("DATA", "452 4.3.1 Out of storage", Failure.TRANSIENT),
        ("DATA", "554 5.6.0 Message refused", Failure.CONFIGURATION),
    ],
)
async def test_each_refusal_is_told_from_the_others(
    provider: Smtp, server: SmtpServer, command: str, reply: str, failure: Failure
) -> None:
    server.on[command] = answer(reply)

    found, code = await failure_of(provider.send(message()))

    assert found is failure
    assert reply[:3] in code
    server.on.clear()
    assert await provider.send(message()) is not None, "the next message finds its way"


@pytest.mark.parametrize(
    ("command", "behaviour", "expected"),
    [
        ("EHLO", hang_up, Failure.TRANSIENT),
        ("MAIL", hang_up, Failure.TRANSIENT),
        ("RCPT", hang_up, Failure.TRANSIENT),
        ("DATA", hang_up, Failure.UNKNOWN),
        ("RCPT", hang, Failure.TRANSIENT),
        ("DATA", hang, Failure.UNKNOWN),
    ],
)
async def test_only_what_breaks_after_the_message_is_unknown(
    provider: Smtp, server: SmtpServer, command: str, behaviour: smtp.Behaviour, expected: Failure
) -> None:
    server.on[command] = behaviour
    started = asyncio.get_running_loop().time()

    found, _ = await failure_of(provider.send(message()))

    assert found is expected
    assert asyncio.get_running_loop().time() - started < DEADLINE_S + 1.5
    assert server.received == []


async def test_a_server_that_is_not_there_is_told(unused_port: int) -> None:
    provider = Smtp(mail_server.read(f"smtp://127.0.0.1:{unused_port}", SENDER), APP_URL)

    assert await failure_of(provider.send(message())) == (Failure.TRANSIENT, "no_connection")


@pytest.fixture
async def unused_port() -> int:
    async with SmtpServer() as server:
        return server.port


async def test_connections_are_kept_and_renewed(provider: Smtp, server: SmtpServer) -> None:
    before = server.connections

    for _ in range(3):
        await provider.send(message())
    assert server.connections - before == 1

    server.hang_up_all()
    await provider.send(message())
    assert server.connections - before == 2
    assert len(server.received) == 4


async def test_many_at_once_share_a_bounded_number_of_connections(provider: Smtp, server: SmtpServer) -> None:
    before = server.connections

    await asyncio.gather(*(provider.send(message(f"p{n}@example.com")) for n in range(30)))

    assert sorted(received.recipients[0] for received in server.received) == sorted(
        f"p{n}@example.com" for n in range(30)
    )
    assert server.connections - before <= 10


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    path = tmp_path / "mail.pem"
    path.write_bytes(smtp.certificate_for_localhost())
    return path


def trusting(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.load_verify_locations(certificate)
    return context


Url = Callable[[SmtpServer], str]
CREDENTIALS = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}"
STARTTLS: Url = lambda server: f"smtp://{CREDENTIALS}@127.0.0.1:{server.port}?starttls=true"  # noqa: E731
UNSAID: Url = lambda server: f"smtp://{CREDENTIALS}@127.0.0.1:{server.port}"  # noqa: E731
AT_ONCE: Url = lambda server: f"smtps://{CREDENTIALS}@127.0.0.1:{server.port}"  # noqa: E731


@pytest.mark.parametrize(("url", "tls_at_once"), [(STARTTLS, False), (UNSAID, False), (AT_ONCE, True)])
async def test_a_password_is_given_under_tls(certificate: Path, url: Url, tls_at_once: bool) -> None:
    async with SmtpServer(certificate=certificate, tls_at_once=tls_at_once, authenticate=True) as server:
        provider = Smtp(mail_server.read(url(server), SENDER), APP_URL, trusting(certificate))
        assert await provider.send(message()) is not None
        await provider.close()

    [received] = server.received
    assert received.tls or tls_at_once


@pytest.mark.parametrize(("url", "tls_at_once"), [(STARTTLS, False), (UNSAID, False), (AT_ONCE, True)])
async def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path, url: Url, tls_at_once: bool) -> None:
    async with SmtpServer(certificate=certificate, tls_at_once=tls_at_once, authenticate=True) as server:
        provider = Smtp(mail_server.read(url(server), SENDER), APP_URL)
        assert await failure_of(provider.send(message())) == (Failure.CONFIGURATION, "tls")
        assert server.received == []


@pytest.mark.parametrize("url", [STARTTLS, UNSAID])
async def test_a_password_is_never_given_in_the_clear(url: Url) -> None:
    async with SmtpServer(authenticate=True) as server:  # somebody has taken STARTTLS out of its greeting
        provider = Smtp(mail_server.read(url(server), SENDER), APP_URL)
        assert (await failure_of(provider.send(message())))[0] is Failure.CONFIGURATION


async def test_a_wrong_password_is_a_matter_of_configuration(certificate: Path) -> None:
    async with SmtpServer(certificate=certificate, authenticate=True) as server:
        url = f"smtp://someone:wrong@127.0.0.1:{server.port}?starttls=true"
        provider = Smtp(mail_server.read(url, SENDER), APP_URL, trusting(certificate))
        assert await failure_of(provider.send(message())) == (Failure.CONFIGURATION, "smtp_535")


@pytest.mark.parametrize(
    ("command", "behaviour", "status", "code"),
    [
        ("RCPT", answer("550 5.1.1 No such user"), 422, "invalid_email"),
        ("RCPT", answer("451 4.3.0 Later"), 502, "delivery_failed"),
        ("DATA", hang_up, 502, "delivery_failed"),
    ],
)
async def test_the_caller_learns_what_became_of_the_mail(
    mail_door: Door, server: SmtpServer, person: str, command: str, behaviour: smtp.Behaviour, status: int, code: str
) -> None:
    server.on[command] = behaviour

    found, body = await ask(mail_door, person)

    assert (found, body["code"]) == (status, code)


async def test_a_mail_that_may_have_been_taken_is_unknown_and_counts(
    mail_door: Door, server: SmtpServer, person: str, books: Books
) -> None:
    tenant = await mail_door.tenant()
    server.on["DATA"] = hang_up

    await mail_door.post("/api/auth/request", {"email": person}, tenant["api_key"])

    row = await books.message(tenant["tenant_id"], person)
    assert (row["state"], row["provider"], row["error"]) == ("unknown", "smtp", "unknown:connection_lost")
    assert len((await books.identifier(tenant["tenant_id"], person))["sent_at"]) == 1


async def test_the_outbox_sends_mails_too(mail_door: Door, server: SmtpServer, person: str, books: Books) -> None:
    tenant = await mail_door.tenant(sms_branding="MyApp")
    body = {"email": person, "locale": "fr"}
    asked = await mail_door.post("/api/auth/request", body, tenant["api_key"])
    assert asked.status_code == 200
    first = server.newest(person)
    await books.do("update messages set state = 'queued', trying = null, provider = null where identifier = $1", person)

    await outbox.finish(mail_door.services)

    again = server.newest(person)
    assert again is not first
    assert (again.code, again.mail["Subject"]) == (first.code, first.mail["Subject"])


async def test_without_a_server_email_is_off(door: Door, person: str) -> None:
    status, body = await ask(door, person)

    assert (status, body["code"]) == (503, "channel_unavailable")
