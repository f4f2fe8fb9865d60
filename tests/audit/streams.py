"""A client of event streams: of an application in this process, or over a socket."""

import asyncio
import fcntl
import termios
from array import array
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from auth1.cli.serve import SEND_BUFFER_BYTES
from auth1.core.http.asgi import App
from auth1.services import Services
from tests.support.api_client import ADMIN_TOKEN

PATIENCE_S = 60.0


class Message(NamedTuple):
    """A dispatched event of a stream."""

    id: str
    event: str
    data: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = msgspec.json.decode(self.data)
        return found


class Parser:
    """The part of the WHATWG's event stream format that servers use."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.last_id = ""
        self.retry_ms: int | None = None
        self.comments = 0
        self._rest = b""
        self._event, self._data = "", list[str]()

    def feed(self, piece: bytes) -> None:
        """Read a part of the response, cut anywhere."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._read(line.decode())

    def _read(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if line == "":
            if self._data:
                self.messages.append(Message(self.last_id, self._event, "\n".join(self._data)))
            self._event, self._data = "", []
        elif name == "":
            self.comments += 1
        elif name == "id":
            self.last_id = value
        elif name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "retry":
            self.retry_ms = int(value)


class StreamClient(Parser):
    """One stream of an application in this process. `reads` cleared: it takes nothing more."""

    def __init__(
        self, app: App[Services], path: str, *, key: str | None = None, last_id: str | None = None, method: str = "GET"
    ) -> None:
        super().__init__()
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""
        self.is_complete = False
        self.reads = asyncio.Event()
        self.reads.set()
        self._app = app
        path, _, query = path.partition("?")
        headers = [(b"host", b"localhost")]
        if key is None:
            headers.append((b"authorization", f"Bearer {ADMIN_TOKEN}".encode()))
        else:
            headers.append((b"x-api-key", key.encode()))
        if last_id is not None:
            headers.append((b"last-event-id", last_id.encode()))
        self._scope: dict[str, Any] = {
            **{"type": "http", "method": method, "path": path, "query_string": query.encode(), "headers": headers},
            **{"client": ("127.0.0.1", 4000), "http_version": "1.1"},
        }
        self._gone = asyncio.Event()
        self._changed = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._app(self._scope, self._receive, self._send))
        await self.until(lambda: self.status != 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.disconnect()
        self.reads.set()
        await asyncio.wait_for(self._task, PATIENCE_S)

    def disconnect(self) -> None:
        self._gone.set()

    async def ended(self) -> None:
        """Wait for the end of the response."""
        await asyncio.wait_for(asyncio.shield(self._task), PATIENCE_S)

    @property
    def ids(self) -> list[str]:
        """Return the ids of all messages."""
        return [message.id for message in self.messages]

    async def until(self, condition: Any) -> None:
        """Wait until a condition holds, which only what arrives can change."""
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def wait_for(self, count: int) -> list[str]:
        """Wait for a number of messages; return their ids."""
        await self.until(lambda: len(self.messages) >= count)
        return self.ids

    async def _receive(self) -> Mapping[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            await self.reads.wait()
            self.body += message["body"]
            self.feed(message["body"])
            self.is_complete = not message.get("more_body", False)
        self._changed.set()


class SocketStream(Parser):
    """One stream over a socket."""

    def __init__(self, port: int, key: str, *, last_id: str | None = None) -> None:
        super().__init__()
        self._port, self._key, self._last = port, key, last_id
        self.is_complete = False

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port, limit=4096)
        lines = ["GET /api/tenant/events/stream HTTP/1.1", "Host: localhost", f"x-api-key: {self._key}"]
        lines += [f"last-event-id: {self._last}"] if self._last is not None else []
        self._writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), PATIENCE_S)
        assert head.startswith(b"HTTP/1.1 200"), head
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    def unread_bytes(self) -> int:
        """Return the bytes that wait in the kernel's receive buffer."""
        found = array("i", [0])
        fcntl.ioctl(self._writer.get_extra_info("socket").fileno(), termios.FIONREAD, found)
        return found[0]

    def unsent_bytes(self) -> int:
        """Return the bytes that wait in the kernel's send buffer of the server, because the receive buffer is full."""
        ports = [f":{port:04X}" for port in (self._port, self._writer.get_extra_info("sockname")[1])]
        for line in Path("/proc/net/tcp").read_text().splitlines():
            fields = line.split()
            if [fields[1][-5:], fields[2][-5:]] == ports:
                return int(fields[4].partition(":")[0], 16)
        return 0

    async def until_stalled(self) -> None:
        """Wait until both buffers of the kernel are full: the server can send nothing more."""
        sizes = [(0, 0)]
        async with asyncio.timeout(PATIENCE_S):
            while sizes[-1][1] < SEND_BUFFER_BYTES or sizes[-5:] != sizes[-1:] * 5:
                await asyncio.sleep(0.2)
                sizes.append((self.unread_bytes(), self.unsent_bytes()))

    async def read(self) -> bool:
        """Read one chunk; return False at the end. A broken connection leaves `is_complete` False."""
        try:
            size = int(await asyncio.wait_for(self._reader.readline(), PATIENCE_S), 16)
            piece = await asyncio.wait_for(self._reader.readexactly(size + 2), PATIENCE_S)
        except (ValueError, ConnectionError, asyncio.IncompleteReadError):
            return False
        self.is_complete = size == 0
        self.feed(piece[:-2])
        return size > 0

    async def read_all(self) -> None:
        """Read until the end."""
        while await self.read():
            pass

    async def wait_for(self, count: int) -> list[str]:
        """Read until there are a number of messages; return their ids."""
        while len(self.messages) < count and await self.read():
            pass
        return [message.id for message in self.messages]
