"""Calls of untrusted URLs: one POST to an address that the guard checked, within bounds and one deadline.

Nothing of the environment or of an earlier answer changes a call: no proxy, cookie, redirect or decompression. The host
is resolved at each call, and the connection goes to an address that was just checked, with the name of the host in
SNI, certificate and Host header. Connections are kept for a moment; a kept one is used only if its address was checked
again.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal, get_args

import httpx
import msgspec

from auth1.core.outbound.guard import AddressNotAllowed, Guard, UrlNotAllowed
from auth1.core.outbound.transport import BEFORE_SEND, CONNECT_TO, Transport

CallError = Literal["address_not_allowed", "dns", "connection", "tls", "timeout", "bad_answer"]
CALL_ERRORS: tuple[CallError, ...] = get_args(CallError)

KEEP_BYTES = 1024
KEEP_ALIVE_S = 2.0  # less than servers keep idle connections: five seconds is the shortest common default
MAX_ADDRESSES = 3  # tried in one call
USER_AGENT = "Auth1-Webhooks/1.0"


class Answer(msgspec.Struct, frozen=True):
    """The result of a call: a status with the beginning of the answer's body, or an error."""

    status: int | None
    ms: int
    error: CallError | None = None
    body: bytes = b""  # at most `keep_bytes`
    is_truncated: bool = False  # the answer was longer than `body`
    retry_after: str | None = None  # the header of this name

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


class GuardedClient:
    """POSTs to untrusted URLs. More than `max_calls` calls at once fail with `connection`."""

    def __init__(self, guard: Guard, *, max_calls: int, tls: ssl.SSLContext | None = None) -> None:
        self._guard = guard
        self._transport = Transport(
            tls=tls, max_connections=max_calls, max_waiting=0, keep_alive_s=KEEP_ALIVE_S, truncates=True
        )

    async def post(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        *,
        timeout_s: float,
        keep_bytes: int = KEEP_BYTES,
        before_send: Callable[[], Awaitable[None]] | None = None,
    ) -> Answer:
        """Send `body` once and return the answer. `timeout_s` bounds the whole call, the look-up included.

        `before_send` is awaited once a connection is ready; the request leaves as soon as it returns. The method
        raises nothing but the cancellation of its task.
        """
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            response = await self._call(url, body, headers, started + timeout_s, before_send)
        except (UrlNotAllowed, AddressNotAllowed, OSError, httpx.TransportError) as error:
            return Answer(None, _ms(started), _error_of(error))
        assert isinstance(response.stream, httpx.ByteStream)
        content = b"".join(response.stream)
        return Answer(
            response.status_code,
            _ms(started),
            body=content[:keep_bytes],
            is_truncated=len(content) > keep_bytes,
            retry_after=response.headers.get("retry-after"),
        )

    async def close(self) -> None:
        """Close all connections; calls in progress fail."""
        await self._transport.aclose()

    async def _call(
        self,
        url: str,
        body: bytes,
        headers: Mapping[str, str],
        deadline: float,
        before_send: Callable[[], Awaitable[None]] | None,
    ) -> httpx.Response:
        """Try the checked addresses in turn until one accepts a connection."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout_at(deadline):
            addresses = await self._guard.find_addresses(url)
        addresses = addresses[:MAX_ADDRESSES]
        sent = {"user-agent": USER_AGENT, **headers}
        while True:
            address = addresses.pop(0)
            remaining_s = deadline - loop.time()
            connect_s = remaining_s / 2 if addresses else remaining_s
            timeout = {"read": max(remaining_s, 0.001), "connect": connect_s}
            extensions: dict[str, Any] = {"timeout": timeout, CONNECT_TO: address, BEFORE_SEND: before_send}
            request = httpx.Request("POST", url, content=body, headers=sent, extensions=extensions)
            try:
                return await self._transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                if not addresses or isinstance(error.__cause__, ssl.SSLError):
                    raise


def _error_of(error: Exception) -> CallError:
    match error:
        case UrlNotAllowed() | AddressNotAllowed():
            return "address_not_allowed"
        case OSError():  # TimeoutError too: only the look-up of the host raises it
            return "dns"
        case httpx.ConnectError() if isinstance(error.__cause__, ssl.SSLError):
            return "tls"
        case httpx.PoolTimeout():
            return "connection"
        case httpx.TimeoutException():
            return "timeout"
        case httpx.RemoteProtocolError():
            return "bad_answer"
    return "connection"


def _ms(started: float) -> int:
    return round((asyncio.get_running_loop().time() - started) * 1000)
