"""Opens connections: TLS with the name of the host, and proxies.

Nothing of a request is sent here, so every failure means "not sent": ConnectError, ConnectTimeout or ProxyError.
"""

import asyncio
import functools
import ssl
from typing import NamedTuple

import httpx

from auth1.core.outbound.addresses import Address, connect_first, find_addresses
from auth1.core.outbound.connection import Connection
from auth1.core.outbound.http1 import Headers, write_head

SHUTDOWN_S = 1.0  # how long a closed TLS connection waits for the peer's close_notify
MAX_PROXY_RESPONSE_BYTES = 64 * 1024


class Destination(NamedTuple):
    """The destination of a connection. `connect_to` is an IP address that replaces the lookup of the host."""

    scheme: str
    host: str
    port: int
    connect_to: str | None = None


@functools.cache
def tls_context() -> ssl.SSLContext:
    """Return the context that trusts the authorities of SSL_CERT_FILE or SSL_CERT_DIR; without them, certifi's.

    Loading them takes 15 ms, so they are loaded once.
    """
    return httpx.create_ssl_context()


class Connector:
    """Opens connections, directly or through a proxy."""

    def __init__(self, tls: ssl.SSLContext, proxy: httpx.Proxy | None) -> None:
        self._tls = tls
        self._proxy = proxy
        self._proxy_tls: ssl.SSLContext | None = None
        if proxy is not None:
            if proxy.url.scheme not in ("http", "https"):
                raise ValueError(f"A proxy must be an http or https URL, not {proxy.url.scheme}")
            if proxy.url.scheme == "https":
                self._proxy_tls = proxy.ssl_context or tls

    @functools.cached_property
    def proxy_headers(self) -> Headers:
        """Return the headers that only the proxy reads."""
        if self._proxy is None:
            return []
        headers = list(self._proxy.headers.raw)
        if self._proxy.raw_auth is not None:
            user, password = self._proxy.raw_auth
            auth = httpx.BasicAuth(user, password)
            request = next(auth.auth_flow(httpx.Request("CONNECT", "http://proxy")))
            headers.append((b"Proxy-Authorization", request.headers["authorization"].encode()))
        return headers

    def forwards(self, destination: Destination) -> bool:
        """Return whether a proxy gets the whole URL, instead of opening a tunnel."""
        return self._proxy is not None and destination.scheme == "http" and destination.connect_to is None

    async def connect(self, destination: Destination, deadline: float) -> Connection:
        """Return a new connection that can carry a request. `deadline` is in the loop's time."""
        try:
            async with asyncio.timeout_at(deadline):
                if self._proxy is not None:
                    return await self._connect_through(self._proxy, destination, deadline)
                addresses = await find_addresses(
                    destination.host if destination.connect_to is None else destination.connect_to, destination.port
                )
                return await _connect(addresses, self._tls if destination.scheme == "https" else None, destination.host)
        except TimeoutError as error:
            raise httpx.ConnectTimeout("Not connected in time; the request was not sent.") from error
        except (OSError, UnicodeError, ValueError) as error:  # the last two: invalid names of hosts
            raise httpx.ConnectError(f"Not connected: {error}; the request was not sent.") from error

    async def _connect_through(self, proxy: httpx.Proxy, destination: Destination, deadline: float) -> Connection:
        host = proxy.url.raw_host.decode()
        port = proxy.url.port or (443 if self._proxy_tls is not None else 80)
        connection = await _connect(await find_addresses(host, port), self._proxy_tls, host)
        if self.forwards(destination):
            return connection
        try:
            await self._open_tunnel(connection, destination, deadline)
            if destination.scheme == "https":
                await connection.start_tls(self._tls, destination.host, SHUTDOWN_S)
        except BaseException:
            connection.abort()
            raise
        return connection

    async def _open_tunnel(self, connection: Connection, destination: Destination, deadline: float) -> None:
        """Send CONNECT (RFC 9110, section 9.3.6). Raises ProxyError."""
        host = destination.connect_to or destination.host
        target = f"[{host}]:{destination.port}" if ":" in host else f"{host}:{destination.port}"
        data = write_head("CONNECT", target.encode(), [(b"Host", target.encode()), *self.proxy_headers])
        try:
            response = await connection.exchange("CONNECT", data, deadline, MAX_PROXY_RESPONSE_BYTES)
        except httpx.TransportError as error:
            raise httpx.ProxyError(f"No valid response of the proxy to CONNECT: {error}") from error
        if not 200 <= response.status < 300:
            raise httpx.ProxyError(f"The proxy answers CONNECT with {response.status}; the request was not sent.")
        if response.has_surplus or not connection.is_usable():
            raise httpx.ProxyError("The proxy sends bytes of its own in the tunnel; the request was not sent.")


async def _connect(addresses: list[Address], tls: ssl.SSLContext | None, host: str) -> Connection:
    """Return a connection to the first address that answers, in TLS where a context is given."""
    tcp = await connect_first(addresses)
    loop = asyncio.get_running_loop()  # it closes the socket when the handshake fails or is cancelled
    if tls is None:
        _, connection = await loop.create_connection(Connection, sock=tcp)
    else:
        _, connection = await loop.create_connection(
            Connection, sock=tcp, ssl=tls, server_hostname=host, ssl_shutdown_timeout=SHUTDOWN_S
        )
    return connection
