"""A relay between the program and PostgreSQL that can hold a statement or lose its result.

It parses a part of the protocol (PostgreSQL's manual, "Message Formats"): Parse names a statement and its text, Bind
selects the statement to execute, Sync ends a group, and Query combines them; ReadyForQuery ends the response.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit

SSL_REQUEST = 80877103  # in the place of a version, in the first message
PARSE, BIND, READY, QUERY = b"P", b"B", b"Z", b"Q"
WAITS = b"PBDEC"  # messages that the server answers only after a Sync or a Flush


class Hold:
    """One execution of a statement that is held. `caught` is set when it arrives."""

    def __init__(self, marker: str, *, answer: bool) -> None:
        self.marker = marker.encode()
        self.answer = answer
        self.caught = asyncio.Event()
        self._decided = asyncio.Event()
        self.cut_off = False

    def let_go(self) -> None:
        """Let the statement pass."""
        self._decided.set()

    def cut(self) -> None:
        """Drop the statement and close the connection."""
        self.cut_off = True
        self._decided.set()

    async def decided(self) -> bool:
        """Wait for the decision; return whether to continue."""
        self.caught.set()
        await self._decided.wait()
        return not self.cut_off


class Relay:
    """A relay, started with `async with`; the program connects to `url`."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._holds: list[Hold] = []
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._server: asyncio.Server

    @property
    def url(self) -> str:
        port = self._server.sockets[0].getsockname()[1]
        return self._parts._replace(netloc=f"{self._parts.username}@127.0.0.1:{port}").geturl()

    def hold(self, marker: str) -> Hold:
        """Hold the next statement with this text before the server receives it."""
        self._holds.append(Hold(marker, answer=False))
        return self._holds[-1]

    def hold_answer(self, marker: str) -> Hold:
        """Let the server execute the next statement with this text, and hold its result."""
        self._holds.append(Hold(marker, answer=True))
        return self._holds[-1]

    def lose_answer(self, marker: str) -> Hold:
        """Let the server execute the next statement with this text, and drop its result."""
        hold = self.hold_answer(marker)
        hold.cut()
        return hold

    def cut(self, marker: str) -> int:
        """Close the connections whose newest statement has this text; return their number.

        The server does not notice while it waits for a lock, and executes the statement afterwards.
        """
        tasks = [task for task, connection in self._connections.items() if marker.encode() in connection.newest]
        for task in tasks:
            task.cancel()
        return len(tasks)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await asyncio.sleep(0)  # who has just connected begins to be served, so that it can be ended
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = self._connections[task] = _Connection(self._holds, reader, writer)
        try:
            await connection.run(self._parts.hostname or "", self._parts.port or 5432)
        except asyncio.CancelledError:
            pass  # the end of the test, or `cut`
        finally:
            writer.close()
            self._connections.pop(task)


class _Connection:
    """One connection of the program."""

    def __init__(self, holds: list[Hold], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._holds = holds
        self._client_in, self._client_out = reader, writer
        self._statements: dict[bytes, bytes] = {}
        self._held_answer: Hold | None = None
        self.newest = b""  # the statement that was executed last, or is being executed

    async def run(self, host: str, port: int) -> None:
        self._server_in, self._server_out = await asyncio.open_connection(host, port)
        pumps = [asyncio.create_task(self._upward()), asyncio.create_task(self._downward())]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._server_out.close()
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _upward(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._startup() == SSL_REQUEST:
                self._client_out.write(b"N")
            together: list[bytes] = []
            async for kind, message in _messages(self._client_in):
                together.append(message)
                if kind == PARSE:
                    name, text, _ = message[5:].split(b"\0", 2)
                    self._statements[name] = text
                elif kind == BIND:
                    if not await self._pass(self._statements.get(message[5:].split(b"\0", 2)[1], b"")):
                        return
                elif kind == QUERY and not await self._pass(message[5:]):
                    return
                if kind not in WAITS:
                    self._server_out.write(b"".join(together))
                    together.clear()

    async def _startup(self) -> int:
        """Relay a startup message, which has no kind; return its code."""
        size, code = struct.unpack("!II", await self._client_in.readexactly(8))
        rest = await self._client_in.readexactly(size - 8)
        if code != SSL_REQUEST:
            self._server_out.write(struct.pack("!II", size, code) + rest)
        return int(code)

    async def _pass(self, statement: bytes) -> bool:
        """Hold the message if requested; return whether to continue."""
        self.newest = statement
        for hold in self._holds:
            if hold.marker in statement:
                self._holds.remove(hold)
                if not hold.answer:
                    return await hold.decided()
                self._held_answer = hold
                break
        return True

    async def _downward(self) -> None:
        held: list[bytes] = []
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            async for kind, message in _messages(self._server_in):
                held.append(message)
                if self._held_answer is None or kind == READY:
                    if self._held_answer is not None and not await self._held_answer.decided():
                        return
                    self._held_answer = None
                    self._client_out.write(b"".join(held))
                    held.clear()


async def _messages(reader: asyncio.StreamReader) -> AsyncIterator[tuple[bytes, bytes]]:
    """Yield messages with their kind until the other side closes."""
    with suppress(asyncio.IncompleteReadError):
        while True:
            head = await reader.readexactly(5)
            yield head[:1], head + await reader.readexactly(struct.unpack("!I", head[1:])[0] - 4)
