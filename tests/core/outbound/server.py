"""A scripted HTTP server: each connection runs the next behaviour."""

import asyncio
import re
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Self

Behaviour = Callable[["Peer"], Awaitable[None]]
PATIENCE_S = 300.0
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: "Server", reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.server = server
        self.reader = reader
        self.writer = writer
        self.is_closed_by_client = asyncio.Event()

    async def read_head(self) -> bytes:
        """Read the head of a request and record it. Raises IncompleteReadError at the end of the connection."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.server.requests.append(head)
        return head

    async def read(self) -> bytes:
        """Read a whole request."""
        head = await self.read_head()
        length = _LENGTH.search(head)
        return head + await self.reader.readexactly(int(length[1]) if length else 0)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        """Close the connection; in TLS with close_notify."""
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()

    async def truncate(self) -> None:
        """End the connection without close_notify."""
        self.writer.transport.abort()
        await asyncio.sleep(0.05)

    async def reset(self) -> None:
        """End the connection with RST."""
        tcp: socket.socket = self.writer.get_extra_info("socket")
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await self.truncate()

    async def wait_closed_by_client(self) -> None:
        """Wait until the client ends the connection."""
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError, ssl.SSLError):
                while await self.reader.read(65536):
                    pass
        self.is_closed_by_client.set()


async def serve(peer: Peer) -> None:
    """Answer every request with "ok", until the client closes the connection."""
    while True:
        await peer.read()
        await peer.send(OK)


def respond(*pieces: bytes) -> Behaviour:
    """Answer one request with these bytes, each written alone, then wait for the client to close the connection."""

    async def behave(peer: Peer) -> None:
        await peer.read()
        for piece in pieces:
            await peer.send(piece)
            await asyncio.sleep(0.01)
        await peer.wait_closed_by_client()

    return behave


async def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds that no event announces."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110  # the state of a transport
            await asyncio.sleep(0.01)


class Server:
    """A server on the loopback, started with `async with`. After its behaviours it answers "ok"."""

    def __init__(self, tls: ssl.SSLContext | None = None, behaviours: list[Behaviour] | None = None) -> None:
        self._tls = tls
        self._behaviours = behaviours or []
        self._tasks: set[asyncio.Task[None]] = set()
        self.peers: list[Peer] = []
        self.requests: list[bytes] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/"

    @property
    def connections(self) -> int:
        return len(self.peers)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._run, "127.0.0.1", 0, ssl=self._tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for peer in self.peers:
            with suppress(AttributeError):  # of asyncio in Python 3.11.2, for a connection that was closed twice
                peer.writer.transport.abort()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)

    async def _run(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        behave = self._behaviours.pop(0) if self._behaviours else serve
        try:
            await behave(peer)
        except (ConnectionError, ssl.SSLError, asyncio.IncompleteReadError, asyncio.CancelledError):
            peer.is_closed_by_client.set()
        finally:
            writer.close()
            self._tasks.discard(task)
