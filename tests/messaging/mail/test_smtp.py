"""SMTP against a real server: replies, TLS, and connection reuse."""

import asyncio
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest

from auth1.config.smtp import read_smtp_url
from auth1.messaging.providers.protocol import Failure
from auth1.messaging.providers.smtp import Smtp
from tests.messaging.mail.conftest import APP_URL, SENDER, failure_of, message
from tests.support.providers import smtp
from tests.support.providers.smtp import PASSWORD, USER, SmtpServer, answer, hang, hang_up


@pytest.mark.parametrize(
    ("command", "reply", "failure"),
    [
        ("MAIL", "421 4.3.2 Shutting down", Failure.TRANSIENT),
        ("MAIL", "451 4.7.1 Greylisted", Failure.DEFERRED),
        ("MAIL", "553 5.7.1 Sender address rejected", Failure.CONFIGURATION),
        ("MAIL", "451 4.3.0 Local error", Failure.TRANSIENT),
        ("RCPT", "421 4.3.2 Shutting down", Failure.TRANSIENT),
        ("RCPT", "450 4.2.0 Greylisted, see http://example.com", Failure.DEFERRED),
        ("RCPT", "450 4.2.1 Mailbox busy", Failure.DEFERRED),
        ("RCPT", "451 4.7.1 Greylisting in action", Failure.DEFERRED),
        ("RCPT", "451 Try again later", Failure.DEFERRED),
        ("RCPT", "452 4.2.2 Mailbox full", Failure.DEFERRED),
        ("RCPT", "452 4.3.1 Out of storage", Failure.TRANSIENT),
        ("RCPT", "554 5.1.1 No such user", Failure.IMPOSSIBLE),
        ("RCPT", "554 5.1.10 Domain has null MX", Failure.IMPOSSIBLE),
        ("RCPT", "556 5.1.10 Domain does not accept mail", Failure.IMPOSSIBLE),
        ("RCPT", "501 5.1.3 Bad recipient address syntax", Failure.IMPOSSIBLE),
        ("RCPT", "511 Bad destination", Failure.IMPOSSIBLE),
        ("RCPT", "511 5.1.1 Bad destination", Failure.IMPOSSIBLE),
        ("RCPT", "501 Syntax error", Failure.CONFIGURATION),
        ("RCPT", "554 Transaction failed", Failure.CONFIGURATION),
        ("RCPT", "550 5.1.1 No such user", Failure.IMPOSSIBLE),
        ("RCPT", "550 No such user", Failure.IMPOSSIBLE),
        ("RCPT", "551 User not local", Failure.IMPOSSIBLE),
        ("RCPT", "553 5.1.3 Bad mailbox name", Failure.IMPOSSIBLE),
        ("RCPT", "550 5.7.1 Relaying denied", Failure.CONFIGURATION),
        ("RCPT", "554 5.7.1 Blocked", Failure.CONFIGURATION),
        ("RCPT", "552 5.2.2 Mailbox full", Failure.CONFIGURATION),
        ("DATA", "450 4.2.0 Greylisted", Failure.DEFERRED),
        ("DATA", "452 4.3.1 Out of storage", Failure.TRANSIENT),
        ("DATA", "550 5.1.1 No such user", Failure.IMPOSSIBLE),
        ("DATA", "554 5.6.0 Message refused", Failure.CONFIGURATION),
    ],
)
async def test_smtp_error_reply_maps_to_failure(
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
async def test_connection_lost_after_message_data_is_unknown(
    provider: Smtp, server: SmtpServer, command: str, behaviour: smtp.Behaviour, expected: Failure
) -> None:
    server.on[command] = behaviour
    found, _ = await failure_of(provider.send(message()))

    assert found is expected
    assert server.received == []


async def test_refused_smtp_connection_is_transient_failure(unused_port: int) -> None:
    provider = Smtp(read_smtp_url(f"smtp://127.0.0.1:{unused_port}", SENDER), APP_URL)

    assert await failure_of(provider.send(message())) == (Failure.TRANSIENT, "no_connection")


@pytest.fixture
async def unused_port() -> int:
    async with SmtpServer() as server:
        return server.port


async def test_connections_are_reused_and_reopened(provider: Smtp, server: SmtpServer) -> None:
    before = server.connections

    for _ in range(3):
        await provider.send(message())
    assert server.connections - before == 1

    server.hang_up_all()
    await provider.send(message())
    assert server.connections - before == 2
    assert len(server.received) == 4


async def test_concurrent_sends_share_a_bounded_number_of_connections(provider: Smtp, server: SmtpServer) -> None:
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
async def test_password_is_sent_over_tls(certificate: Path, url: Url, tls_at_once: bool) -> None:
    async with SmtpServer(certificate=certificate, tls_at_once=tls_at_once, authenticate=True) as server:
        provider = Smtp(read_smtp_url(url(server), SENDER), APP_URL, trusting(certificate))
        assert await provider.send(message()) is not None
        await provider.close()

    [received] = server.received
    assert received.tls or tls_at_once


@pytest.mark.parametrize(("url", "tls_at_once"), [(STARTTLS, False), (UNSAID, False), (AT_ONCE, True)])
async def test_untrusted_certificate_is_rejected(certificate: Path, url: Url, tls_at_once: bool) -> None:
    async with SmtpServer(certificate=certificate, tls_at_once=tls_at_once, authenticate=True) as server:
        provider = Smtp(read_smtp_url(url(server), SENDER), APP_URL)
        assert await failure_of(provider.send(message())) == (Failure.CONFIGURATION, "tls")
        assert server.received == []


@pytest.mark.parametrize("url", [STARTTLS, UNSAID])
async def test_password_is_never_sent_without_tls(url: Url) -> None:
    async with SmtpServer(authenticate=True) as server:  # an attacker removed STARTTLS from its greeting
        provider = Smtp(read_smtp_url(url(server), SENDER), APP_URL)
        assert (await failure_of(provider.send(message())))[0] is Failure.CONFIGURATION


async def test_wrong_password_is_a_configuration_failure(certificate: Path) -> None:
    async with SmtpServer(certificate=certificate, authenticate=True) as server:
        url = f"smtp://someone:wrong@127.0.0.1:{server.port}?starttls=true"
        provider = Smtp(read_smtp_url(url, SENDER), APP_URL, trusting(certificate))
        assert await failure_of(provider.send(message())) == (Failure.CONFIGURATION, "smtp_535")
