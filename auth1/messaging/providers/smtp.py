"""Email through an SMTP server (RFC 5321), over connections that are kept.

Whether a message was taken is certain up to DATA and after its answer: only what breaks in between is unknown. Nothing
is retried but on a new connection, where a kept one turns out to have ended before it was given the message.
"""

import asyncio
import ipaddress
import re
import ssl
from contextlib import suppress
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiosmtplib
from aiosmtplib import SMTP

from auth1.config.smtp import Smtp as Server
from auth1.messaging import mime
from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError, SendResult

DEADLINE_S = 4.0
CONNECT_S = 2.0
IDLE_S = 30.0  # servers end connections that say nothing; most wait for minutes
MAX_CONNECTIONS = 10

_MAILBOX = (550, 551, 553)  # replies to RCPT that say there is no such mailbox
_POLICY = re.compile(r"5\.7\.\d")  # enhanced code (RFC 3463): the same reply, but because of us or of our server


class Smtp:
    """Sends email. `app_url` names us to the server and in Message-ID."""

    name = "smtp"
    reports = False

    def __init__(self, server: Server, app_url: str, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._host = _domain(urlsplit(app_url).hostname or "localhost")
        self._tls = tls or ssl.create_default_context()
        self._room = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[tuple[float, SMTP]] = []

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Hand a message to the server; its id there is the Message-ID."""
        message_id = f"{message.message_id}@{self._host}"
        mail = mime.compose(message, self._server.sender, message_id, datetime.now(UTC))
        phase = _Phase()
        try:
            async with asyncio.timeout(DEADLINE_S), self._room:
                await self._deliver(message.to, mail, phase)
        except TimeoutError as error:
            raise SendError(phase.lost, "timeout") from error
        return SendResult(message_id)

    async def close(self) -> None:
        """Take leave of the server, where it listens."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await _leave(connection)

    async def _deliver(self, to: str, mail: bytes, phase: "_Phase") -> None:
        connection = self._kept()
        if connection is not None:
            try:
                await connection.mail(self._server.sender)
            except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPResponseException):
                connection.close()
                connection = None
            except BaseException:
                connection.close()
                raise
        if connection is None:
            connection = await self._connect()
        try:
            await self._converse(connection, to, mail, phase)
        except BaseException:
            connection.close()
            raise
        self._idle.append((asyncio.get_running_loop().time() + IDLE_S, connection))

    def _kept(self) -> SMTP | None:
        now = asyncio.get_running_loop().time()
        while self._idle:
            until, connection = self._idle.pop()
            if connection.is_connected and until > now:
                return connection
            connection.close()
        return None

    async def _connect(self) -> SMTP:
        """Open a connection, log in where there is a user, and name the sender."""
        server = self._server
        connection = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password if server.username else None,
            local_hostname=self._host,
            timeout=CONNECT_S,
            use_tls=server.tls,
            start_tls=False if server.tls else server.starttls,
            tls_context=self._tls,
        )
        try:
            await connection.connect()
            await connection.mail(server.sender)
        except TimeoutError as error:
            connection.close()
            raise SendError(Failure.TRANSIENT, "timeout") from error
        except (aiosmtplib.SMTPException, OSError) as error:
            connection.close()
            raise _before_message(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    async def _converse(self, connection: SMTP, to: str, mail: bytes, phase: "_Phase") -> None:
        try:
            await connection.rcpt(to, timeout=DEADLINE_S)
            phase.lost = Failure.UNKNOWN
            await connection.data(mail, timeout=DEADLINE_S)
        except aiosmtplib.SMTPRecipientRefused as error:
            raise SendError(_of_recipient(error.code, error.message), f"rcpt_{error.code}") from error
        except aiosmtplib.SMTPResponseException as error:
            raise SendError(_of_reply(error.code), f"smtp_{error.code}") from error
        except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
            raise SendError(phase.lost, "connection_lost") from error


class _Phase:
    """What losing the connection now would mean."""

    def __init__(self) -> None:
        self.lost = Failure.TRANSIENT


def _before_message(error: Exception) -> SendError:
    """Judge what went wrong before there was a message: nothing was sent."""
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return SendError(Failure.CONFIGURATION, "tls")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return SendError(_of_reply(error.code), f"smtp_{error.code}")
    if isinstance(error, OSError):
        return SendError(Failure.TRANSIENT, "no_connection")
    return SendError(Failure.CONFIGURATION, "not_supported")  # STARTTLS or AUTH


def _of_recipient(code: int, text: str) -> Failure:
    if code in _MAILBOX and not _POLICY.match(text):
        return Failure.IMPOSSIBLE
    return _of_reply(code)


def _of_reply(code: int) -> Failure:
    """Judge by the reply: 4yz may work another time, 5yz not until somebody mends it; all else is no SMTP."""
    if 400 <= code < 500:
        return Failure.TRANSIENT
    return Failure.CONFIGURATION if 500 <= code < 600 else Failure.UNKNOWN


def _domain(host: str) -> str:
    """Write a host as SMTP does: an address stands in brackets (RFC 5321, 4.1.3)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


async def _leave(connection: SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        await connection.quit(timeout=0.5)
    connection.close()
