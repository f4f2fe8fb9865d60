"""The listening socket of a test server on this machine, and the task of each of its connections."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress

Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Connections:
    """`handle` serves one connection until it returns, or until the client or the test ends it."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, port: int = 0, tls: ssl.SSLContext | None = None) -> int:
        """Listen on a port, or on a free one; return it."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, ssl=tls)
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def close(self) -> None:
        """Stop listening and end all connections."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await self._handle(reader, writer)
        finally:
            writer.close()
            self._tasks.discard(task)
