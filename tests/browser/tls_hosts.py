"""Host names of one domain over TLS: Auth1 behind a proxy, and sites beside it whose pages a test writes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.certificates import make_certificate

# Chromium finds *.localhost on the loopback, and takes the last two labels for the domain that hosts share.
AUTH, APP, SIBLING, OTHER = "auth.acme.localhost", "app.acme.localhost", "evil.acme.localhost", "evil.localhost"
DOMAIN = "acme.localhost"


@dataclass
class Sites:
    """The other sites, on one port. A path has the page and the cookies that a test gives it."""

    port: int = 0
    pages: dict[str, str] = field(default_factory=dict)
    cookies: dict[str, list[str]] = field(default_factory=dict)

    def url(self, host: str, path: str = "/") -> str:
        return f"https://{host}:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            head = await reader.readuntil(b"\r\n\r\n")
            path = head.split(b" ", 2)[1].decode().partition("?")[0]
            body = f"<!doctype html><title>Another site</title>{self.pages.get(path, '')}".encode()
            lines = ["HTTP/1.1 200 OK", "content-type: text/html", f"content-length: {len(body)}", "connection: close"]
            lines += [f"set-cookie: {cookie}" for cookie in self.cookies.get(path, [])]
            writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            await writer.drain()
        writer.close()


@asynccontextmanager
async def tls_sites(directory: Path) -> AsyncIterator[tuple[Sites, ssl.SSLContext]]:
    """Serve the other sites; return them with the settings of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (directory / "tls.pem").write_bytes(make_certificate(AUTH, APP, SIBLING, OTHER))
    context.load_cert_chain(directory / "tls.pem")
    sites = Sites()
    server = await asyncio.start_server(sites.answer, "127.0.0.1", 0, ssl=context)
    sites.port = server.sockets[0].getsockname()[1]
    async with server:
        yield sites, context


@asynccontextmanager
async def tls_proxy(context: ssl.SSLContext, port: int) -> AsyncIterator[str]:
    """Serve what a port of the loopback serves as https://AUTH; return the address."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            from_server, to_server = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(_copy(reader, to_server), _copy(from_server, writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0, ssl=context)
    async with server:
        yield f"https://{AUTH}:{server.sockets[0].getsockname()[1]}"


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
