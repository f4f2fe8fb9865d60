"""Email through an SMTP server (RFC 5321), over kept connections.

Whether a message was accepted is certain before DATA and after its reply; only a failure in between is unknown. Nothing
is retried, except on a new connection where a kept one had ended before it got the message.
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

from auth1.config.smtp import SmtpSettings
from auth1.messaging import mime
from auth1.messaging.providers.protocol import Cause, Failure, OutgoingMessage, SendError, SendResult

DEADLINE_S = 4.0
CONNECT_S = 2.0
IDLE_S = 30.0  # servers close idle connections; most after minutes
MAX_CONNECTIONS = 10

_NO_MAILBOX = (511, 550, 551, 553, 556)  # replies to RCPT: no such mailbox, or a domain without mail (RFC 7504)
_BAD_ADDRESS = re.compile(
    r"5\.1\.(?:1|2|3|6|10)(?!\d)"
)  # enhanced codes (RFC 3463, RFC 7505) of a bad recipient address
_SERVER = re.compile(r"4\.[34]\.\d")  # enhanced code: the server or its network has a temporary problem
_POLICY = re.compile(r"5\.7\.\d")  # enhanced code: rejected because of the sender or the server, not of the mailbox


class Smtp:
    """Sends email. The host of `app_url` is the name in EHLO and in Message-ID."""

    name = "smtp"
    reports = False

    def __init__(
        self, server: SmtpSettings, app_url: str, tls: ssl.SSLContext | None = None, *, timeout_scale: float = 1.0
    ) -> None:
        self._deadline_s = DEADLINE_S * timeout_scale
        self._connect_s = CONNECT_S * timeout_scale
        self._server = server
        self._host = _domain(urlsplit(app_url).hostname or "localhost")
        self._tls = tls or ssl.create_default_context()
        self._limit = asyncio.Semaphore(MAX_CONNECTIONS)
        self._idle: list[tuple[float, SMTP]] = []

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Send a message; its id is the Message-ID."""
        message_id = f"{message.message_id}@{self._host}"
        sender = message.email_from or self._server.sender
        mail = mime.compose(message, sender, message_id, datetime.now(UTC))
        phase = _Phase()
        try:
            async with asyncio.timeout(self._deadline_s), self._limit:
                await self._deliver(sender, message.to, mail, phase)
        except TimeoutError as error:
            raise SendError(phase.lost, "timeout") from error
        return SendResult(message_id)

    async def close(self) -> None:
        """Close kept connections with QUIT where the server responds."""
        idle, self._idle = self._idle, []
        for _, connection in idle:
            await _quit(connection)

    async def _deliver(self, sender: str, to: str, mail: bytes, phase: "_Phase") -> None:
        connection = self._kept()
        if connection is not None:
            try:
                await connection.mail(sender)
            except (aiosmtplib.SMTPServerDisconnected, aiosmtplib.SMTPResponseException):
                connection.close()
                connection = None
            except BaseException:
                connection.close()
                raise
        if connection is None:
            connection = await self._connect(sender)
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

    async def _connect(self, sender: str) -> SMTP:
        """Open a connection, log in where a user is configured, and send MAIL FROM."""
        server = self._server
        connection = SMTP(
            hostname=server.host,
            port=server.port,
            username=server.username,
            password=server.password if server.username else None,
            local_hostname=self._host,
            timeout=self._connect_s,
            use_tls=server.tls,
            start_tls=False if server.tls else server.starttls,
            tls_context=self._tls,
        )
        try:
            await connection.connect()
            await connection.mail(sender)
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
            await connection.rcpt(to, timeout=self._deadline_s)
            phase.lost = Failure.UNKNOWN
            await connection.data(mail, timeout=self._deadline_s)
        except aiosmtplib.SMTPRecipientRefused as error:
            raise _error_of_recipient(error.code, error.message) from error
        except aiosmtplib.SMTPResponseException as error:
            raise _error_of_data(error.code, error.message) from error
        except (aiosmtplib.SMTPServerDisconnected, OSError) as error:
            raise SendError(phase.lost, "connection_lost") from error


class _Phase:
    """The failure that a lost connection would mean now."""

    def __init__(self) -> None:
        self.lost = Failure.TRANSIENT


def _before_message(error: Exception) -> SendError:
    """Classify an error before the message: nothing was sent."""
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return SendError(Failure.CONFIGURATION, "tls")
    if isinstance(error, aiosmtplib.SMTPResponseException):
        is_deferred = error.code in (450, 451) and not _SERVER.match(error.message)
        return SendError(Failure.DEFERRED if is_deferred else _of_reply(error.code), f"smtp_{error.code}")
    if isinstance(error, OSError):
        return SendError(Failure.TRANSIENT, "no_connection")
    return SendError(Failure.CONFIGURATION, "not_supported")  # STARTTLS or AUTH


def _error_of_recipient(code: int, text: str) -> SendError:
    """Classify a reply to RCPT. Only a policy reply concerns the account: others concern this mailbox."""
    name = f"rcpt_{code}"
    if _BAD_ADDRESS.match(text) or (code in _NO_MAILBOX and not _POLICY.match(text)):
        return SendError(Failure.IMPOSSIBLE, name)
    if _is_deferral(code, text):
        return SendError(Failure.DEFERRED, name)
    cause = None if _POLICY.match(text) or code == 421 else Cause.RECIPIENT
    return SendError(_of_reply(code), name, cause)


def _error_of_data(code: int, text: str) -> SendError:
    """Classify the reply to the message itself. Some servers check the recipient only here."""
    name = f"smtp_{code}"
    if _BAD_ADDRESS.match(text):
        return SendError(Failure.IMPOSSIBLE, name)
    if _is_deferral(code, text):
        return SendError(Failure.DEFERRED, name)
    return SendError(_of_reply(code), name, Cause.RECIPIENT if code == 552 else None)  # 552: the mailbox is full


def _is_deferral(code: int, text: str) -> bool:
    """Return whether a later try is wanted: greylisting (RFC 6647), or a busy or full mailbox; not a server problem."""
    return code in (450, 451, 452) and not _SERVER.match(text)


def _of_reply(code: int) -> Failure:
    """Classify by reply code: 4yz is transient, 5yz permanent; anything else is not SMTP."""
    if 400 <= code < 500:
        return Failure.TRANSIENT
    return Failure.CONFIGURATION if 500 <= code < 600 else Failure.UNKNOWN


def _domain(host: str) -> str:
    """Format a host for SMTP: an IP address is written in brackets (RFC 5321, 4.1.3)."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


async def _quit(connection: SMTP) -> None:
    with suppress(aiosmtplib.SMTPException, OSError):
        await connection.quit(timeout=0.5)
    connection.close()
