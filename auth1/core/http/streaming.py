"""Send an answer that is larger than memory: no piece is made before the client has taken the one before."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

from auth1.core.http.request import Receive, Stream

Send = Callable[[dict[str, Any]], Awaitable[None]]


async def send_all(stream: Stream, receive: Receive, send: Send, left_s: float) -> str | None:
    """Send all pieces within some seconds; returns why it ended early, `client` or `deadline`. Raises what they raise.

    A stream that ends early ends without its last piece: the server then closes the connection, and the client can tell
    a part from the whole. The head must have been sent.
    """
    pump = asyncio.ensure_future(_pump(stream, send))
    gone = asyncio.ensure_future(_hang_up(receive))
    try:
        await asyncio.wait((pump, gone), timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
            await send({"type": "http.response.body", "body": b""})
            return None
        return "client" if gone.done() else "deadline"
    finally:
        pump.cancel()
        gone.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(stream: Stream, send: Send) -> None:
    async with aclosing(stream.pieces) as pieces:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _hang_up(receive: Receive) -> None:
    """Wait until the client closes the connection; what it may still send is of no interest."""
    while (await receive())["type"] != "http.disconnect":
        continue
