"""Send a response that is larger than memory: no piece is made before the client has taken the one before."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

from auth1.core.http.request import Receive, Stream

SEND_S = 10.0  # how long a client may leave one piece unread
FINISHING_SEND_S = 0.5  # the same, once the process is stopping
CHECK_S = 0.25
PIECE_BYTES = 16 * 1024  # the server holds up to six of them for a client that does not read

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def send_all(stream: Stream, receive: Receive, send: Send, left_s: float, finishing: asyncio.Event) -> str | None:
    """Send all pieces within `left_s` seconds; return why it ended early: `client`, `unread` or `deadline`.

    A stream that ends early lacks its last piece. The server then closes the connection, so the client notices that
    the response is incomplete. The head must have been sent. Raises what the pieces raise.
    """
    sender = _Sender(send)
    pump = asyncio.ensure_future(sender.pump(stream))
    gone = asyncio.ensure_future(_hang_up(receive))
    unread = asyncio.ensure_future(sender.unread(finishing))
    try:
        await asyncio.wait((pump, gone, unread), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
            await send({"type": "http.response.body", "body": b""})
            return None
        return "client" if gone.done() else "unread" if unread.done() else "deadline"
    finally:
        for task in (pump, gone, unread):
            task.cancel()
        await asyncio.gather(pump, gone, unread, return_exceptions=True)


async def pieces(body: bytes) -> AsyncGenerator[bytes, None]:
    """Cut a large body, so that the server does not copy all of it for a client that does not read."""
    for start in range(0, len(body), PIECE_BYTES):
        yield body[start : start + PIECE_BYTES]


class _Sender:
    """Sends pieces and knows since when the client has left one unread."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._waiting_since: float | None = None

    async def pump(self, stream: Stream) -> None:
        loop = asyncio.get_running_loop()
        async with aclosing(stream.pieces) as pieces:
            async for piece in pieces:
                self._waiting_since = loop.time()
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
                self._waiting_since = None

    async def unread(self, finishing: asyncio.Event) -> None:
        """Wait until the client has left a piece unread for too long."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(CHECK_S)
            limit_s = FINISHING_SEND_S if finishing.is_set() else SEND_S
            if self._waiting_since is not None and loop.time() - self._waiting_since > limit_s:
                return


async def _hang_up(receive: Receive) -> None:
    """Wait until the client closes the connection; further data from it is ignored."""
    while (await receive())["type"] != "http.disconnect":
        continue
