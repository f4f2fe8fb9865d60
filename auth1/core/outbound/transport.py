"""A transport for httpx: one request over a kept connection, within one deadline, never sent twice.

It replaces httpx's own transport (httpcore, anyio, h11), which checks the socket of every idle connection at every
request: O(connections) of CPU. `python -m bench.outbound` compares both; docs/performance.md has the figures. The
oracle of its tests is httpx's own transport on the same servers, and h11 for the parser.

Each error states whether the request was sent:

    not sent        ConnectError, ConnectTimeout, PoolTimeout, ProxyError, LocalProtocolError, UnsupportedProtocol
    possibly sent   ReadError, ReadTimeout, RemoteProtocolError, ResponseTooLarge

httpx's `read` timeout is the deadline of the whole request, from waiting for a connection to the end of the body.
`pool` and `connect` bound these two steps; `write` is not used. Responses are read completely, up to a bound.
Content-Encoding is left to the caller: `Response.aiter_raw` returns the bytes as bounded here.
"""

import asyncio
import errno
import ipaddress
import ssl
from collections.abc import Awaitable, Callable

import httpx

from auth1.core.outbound.connect import Connector, Destination, tls_context
from auth1.core.outbound.connection import ResponseTooLarge
from auth1.core.outbound.http1 import serialize
from auth1.core.outbound.pool import Pool, Timing
from auth1.core.telemetry import tracing

__all__ = ["BEFORE_SEND", "CONNECT_TO", "NOT_SENT", "ResponseTooLarge", "Transport", "is_own_shortage"]

BEFORE_SEND = "before_send"  # request extension: an async function to await between the connection and the request
CONNECT_TO = "connect_to"  # request extension: the IP address to connect to; TLS still verifies the host
DEADLINE_S = 60.0  # of a request without a read timeout
KEEP_ALIVE_S = 60.0
MAX_CONNECTIONS = 100
MAX_WAITING = 1000
MAX_BODY_BYTES = 64 * 1024

# The request was not sent; any other error of httpx means that it possibly was.
NOT_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.LocalProtocolError,
    httpx.UnsupportedProtocol,
)

# Errors of a new socket that say nothing about the other side.
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL)

_PORTS = {"http": 80, "https": 443}


class Transport(httpx.AsyncBaseTransport):
    """Sends requests of httpx. `tls` defaults to `tls_context`; `proxy` serves all requests.

    A body beyond `max_body_bytes` is an error, or with `truncates` is cut off there.
    """

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        proxy: httpx.Proxy | str | None = None,
        max_connections: int = MAX_CONNECTIONS,
        max_waiting: int = MAX_WAITING,
        max_body_bytes: int = MAX_BODY_BYTES,
        keep_alive_s: float = KEEP_ALIVE_S,
        truncates: bool = False,
    ) -> None:
        tls = tls or tls_context()
        tls.set_alpn_protocols(["http/1.1"])
        self._connector = Connector(tls, httpx.Proxy(proxy) if isinstance(proxy, str) else proxy)
        self._pool = Pool(self._connector, max_connections, max_waiting, keep_alive_s)
        self._max_body_bytes = max_body_bytes
        self._truncates = truncates

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request once and return its complete response. A request of a trace names the trace."""
        if tracing.current() is None:
            return await self._send(request)
        host = request.url.host
        attributes = {"server.address": host, "http.request.method": request.method}
        with tracing.span(f"{request.method} {host}", "client", attributes):
            request.headers["traceparent"] = str(tracing.current())
            return await self._send(request)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        timeout = request.extensions.get("timeout") or {}
        deadline = asyncio.get_running_loop().time() + (timeout.get("read") or DEADLINE_S)
        destination = _destination(request)
        if self._connector.forwards(destination):
            data = serialize(request, to_proxy=True, proxy_headers=self._connector.proxy_headers)
        else:
            data = serialize(request)
        timing = Timing(deadline, timeout.get("pool"), timeout.get("connect"))
        connection = await self._pool.acquire(destination, timing)
        is_reusable = False
        try:
            if (before_send := request.extensions.get(BEFORE_SEND)) is not None:
                await _wait(before_send, deadline)
            response = await connection.exchange(
                request.method, data, deadline, self._max_body_bytes, truncates=self._truncates
            )
            is_reusable = response.is_reusable
        finally:
            self._pool.release(destination, connection, is_reusable)
        return httpx.Response(
            response.status,
            headers=response.headers,
            stream=httpx.ByteStream(bytes(response.body)),
            extensions={"http_version": b"HTTP/1.1"},
        )

    async def aclose(self) -> None:
        """Close all connections; requests in flight fail."""
        await self._pool.close()


def is_own_shortage(error: Exception) -> bool:
    """Return whether a request was not sent because this process or machine had no connection for it."""
    cause = error.__cause__
    return isinstance(error, httpx.PoolTimeout) or (isinstance(cause, OSError) and cause.errno in _SHORTAGES)


async def _wait(before_send: Callable[[], Awaitable[None]], deadline: float) -> None:
    """Await the function that runs before a request. Raises ConnectTimeout: the request was not sent."""
    try:
        async with asyncio.timeout_at(deadline):
            await before_send()
    except TimeoutError:
        raise httpx.ConnectTimeout("The request had to wait for too long; it was not sent.") from None


def _destination(request: httpx.Request) -> Destination:
    """Return the destination of a request. Raises UnsupportedProtocol, LocalProtocolError."""
    url = request.url
    host = url.raw_host.decode("ascii")
    if url.scheme not in _PORTS or not host:
        raise httpx.UnsupportedProtocol("The URL must begin with http:// or https:// and name a host.")
    address = request.extensions.get(CONNECT_TO)
    if address is not None and not _is_ip_address(address):
        raise httpx.LocalProtocolError("connect_to must be an IP address.")
    return Destination(url.scheme, host, url.port or _PORTS[url.scheme], address)


def _is_ip_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
