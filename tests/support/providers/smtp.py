"""A real SMTP server (aiosmtpd) that records messages and replies as configured."""

import asyncio
import datetime
import email
import email.policy
import ipaddress
import re
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

USER, PASSWORD = "auth1@example.com", "p@ss/word: é?"

# Answers a command, or whatever else a broken server would do.
Behaviour = Callable[[SMTP], Awaitable[str]]


def answer(reply: str) -> Behaviour:
    """Reply to a command with this line."""

    async def behave(server: SMTP) -> str:
        return reply

    return behave


async def hang(server: SMTP) -> str:
    """Never reply."""
    await asyncio.sleep(60)
    return "451 slow"


async def hang_up(server: SMTP) -> str:
    """Close the connection."""
    assert isinstance(server.transport, asyncio.Transport)
    server.transport.abort()
    await asyncio.sleep(60)  # nothing more is written to what is gone
    return "451 gone"


@dataclass
class Received:
    """A message that was accepted, with its envelope."""

    sender: str
    recipients: list[str]
    raw: bytes
    tls: bool

    @property
    def mail(self) -> EmailMessage:
        """Return the message as a mail client parses it."""
        parsed = email.message_from_bytes(self.raw, policy=email.policy.default)
        assert isinstance(parsed, EmailMessage)
        return parsed

    def part(self, kind: str) -> str:
        """Return the text of the part `plain` or `html`."""
        found = self.mail.get_body((kind,))
        assert found is not None
        content: str = found.get_content()
        return content.replace("\r\n", "\n")

    @property
    def code(self) -> str:
        found = re.search(r"^(\d{4,12})$", self.part("plain"), re.MULTILINE)
        assert found is not None, self.part("plain")
        return found[1]

    @property
    def link(self) -> str:
        found = re.search(r"^(https?://\S+)$", self.part("plain"), re.MULTILINE)
        assert found is not None, self.part("plain")
        return found[1]


@dataclass
class SmtpServer:
    """A server, started with `async with`. `on` holds a behaviour for MAIL, RCPT, DATA (its end) or EHLO."""

    certificate: Path | None = None  # with its key: STARTTLS is offered, or TLS is spoken at once
    tls_at_once: bool = False
    authenticate: bool = False
    on: dict[str, Behaviour] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def sent_to(self, address: str) -> list[Received]:
        """Return all messages to an address, oldest first."""
        return [message for message in self.received if message.recipients == [address]]

    def newest(self, address: str) -> Received:
        return self.sent_to(address)[-1]

    async def __aenter__(self) -> Self:
        context = None
        if self.certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate)
        options: dict[str, Any] = {"tls_context": None if self.tls_at_once else context}
        if self.authenticate:
            options |= {"authenticator": _check, "auth_require_tls": context is not None and not self.tls_at_once}
        self._protocols: list[_Server] = []

        def make() -> "_Server":
            protocol = _Server(_Handler(self), hostname="mail.example.com", **options)
            self._protocols.append(protocol)
            return protocol

        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(
            make, "127.0.0.1", self.port, ssl=context if self.tls_at_once else None
        )
        self.port = self._listener.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        self.hang_up_all()
        await asyncio.sleep(0)

    def hang_up_all(self) -> None:
        """Close every connection, as a restart does."""
        for protocol in self._protocols:
            if isinstance(protocol.transport, asyncio.Transport):
                with suppress(AttributeError):  # of asyncio in Python 3.11.2, for a connection that was closed twice
                    protocol.transport.abort()
            if protocol._handler_coroutine is not None:
                protocol._handler_coroutine.cancel()
        self._protocols.clear()


class _Server(SMTP):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        handler: _Handler = self.event_handler
        handler.owner.connections += self.session is None or self.session.ssl is None
        super().connection_made(transport)


class _Handler:
    """Handlers that aiosmtpd calls by name."""

    def __init__(self, owner: SmtpServer) -> None:
        self.owner = owner

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        session.host_name = hostname
        if "EHLO" in self.owner.on:
            return [await self.owner.on["EHLO"](server)]
        return responses

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.owner.on:
            return await self.owner.on["MAIL"](server)
        if self.owner.authenticate and not session.authenticated:
            return "530 5.7.0 Authentication required"
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.owner.on:
            return await self.owner.on["RCPT"](server)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "DATA" in self.owner.on:
            return await self.owner.on["DATA"](server)
        assert isinstance(envelope.content, bytes)
        assert envelope.mail_from is not None
        self.owner.received.append(
            Received(envelope.mail_from, envelope.rcpt_tos, envelope.content, session.ssl is not None)
        )
        return "250 2.0.0 OK queued"


def _check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode())
    return AuthResult(success=right, handled=False)


@lru_cache(maxsize=1)
def certificate_for_localhost() -> bytes:
    """Return a self-signed key and certificate for 127.0.0.1 as one PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.example.com")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return pem + made.public_bytes(serialization.Encoding.PEM)
