"""An endpoint of webhooks on the loopback: it records each call, and answers as a test decides."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self

import msgspec
from standardwebhooks import Webhook

from tests.support.connections import Connections


@dataclass
class Received:
    """One call."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    def verify(self, secret: str) -> Any:
        """Verify the call with the reference library; return its content. Raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received], "int | bytes | Awaitable[int | bytes]"]


@dataclass
class Receiver:
    """Started with `async with`. `answer` returns a status, the bytes of a response, or an awaitable of either."""

    answer: Answer = lambda call: 204
    calls: list[Received] = field(default_factory=list)
    in_progress: int = 0
    most_at_once: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/"

    @property
    def ids(self) -> list[str]:
        return [call.id for call in self.calls]

    async def wait_for(self, calls: int, seconds: float = 120.0) -> None:
        """Wait until so many calls have begun."""
        async with asyncio.timeout(seconds):
            while len(self.calls) < calls:  # noqa: ASYNC110  # the state of a server
                await asyncio.sleep(0.005)

    async def __aenter__(self) -> Self:
        self._connections = Connections(self._serve)
        self._port = await self._connections.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await self._answer_one(reader, writer)

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        body = await reader.readexactly(int(headers["content-length"]))
        call = Received(head[0].split()[1], headers, body)
        self.calls.append(call)
        self.in_progress += 1
        self.most_at_once = max(self.most_at_once, self.in_progress)
        try:
            answer = self.answer(call)
            if not isinstance(answer, int | bytes):
                answer = await answer
        finally:
            self.in_progress -= 1
        if isinstance(answer, int):
            answer = b"HTTP/1.1 %d X\r\ncontent-length: 0\r\n\r\n" % answer
        writer.write(answer)
        await writer.drain()
