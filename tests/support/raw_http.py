"""A raw HTTP client that sends any bytes."""

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple, Self

PATIENCE_S = 300.0


class Answer(NamedTuple):
    """One response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class RawHttp:
    """A connection to a port of 127.0.0.1, closed by `async with`."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()

    async def send(self, data: bytes) -> None:
        """Send bytes as long as the other side accepts them."""
        try:
            self._writer.write(data)
            await self._writer.drain()
        except ConnectionError:
            pass

    def hang_up(self) -> None:
        self._writer.close()

    def end_input(self) -> None:
        """Close the sending half only."""
        self._writer.write_eof()

    async def answer(self) -> Answer | None:
        """Read one response; return None when the connection was closed instead."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                head = await self._reader.readuntil(b"\r\n\r\n")
                first, *lines = head.decode("latin-1").strip().split("\r\n")
                headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
                body = await self._reader.readexactly(int(headers.get("content-length", "0")))
            except (ConnectionError, asyncio.IncompleteReadError):
                return None
        return Answer(int(first.split(" ")[1]), headers, body)

    async def rest(self) -> bytes:
        """Return everything that the other side sends until it closes."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read()
            except ConnectionError:
                return b""

    async def closed(self) -> bool:
        """Wait until the other side has closed; return whether it sent nothing more."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self._reader.read(1) == b""
            except ConnectionError:
                return True


def head(method: str, path: str, length: int | None = None, **headers: str) -> bytes:
    """Return a request head; with a length it announces a JSON body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if length is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {length}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def post(path: str, body: object, **headers: str) -> bytes:
    """Return a whole request."""
    raw = json.dumps(body).encode()
    return head("POST", path, len(raw), **headers) + raw
