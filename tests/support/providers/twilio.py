"""A real HTTP server in Twilio's place that records requests and responds as configured."""

import asyncio
import base64
import json
import re
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl

from tests.support.connections import Connections

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "a token that only the tests know"
SERVICE_SID = "MG" + "0" * 32


@dataclass
class Request:
    """A received request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def form(self) -> dict[str, str]:
        return dict(parse_qsl(self.body.decode(), keep_blank_values=True))

    @property
    def credentials(self) -> str:
        return base64.b64decode(self.headers["authorization"].removeprefix("Basic ")).decode()


# Writes a whole answer, or whatever else a broken provider would do.
Behaviour = Callable[[Request, asyncio.StreamWriter], Awaitable[None]]


def answer(status: int, body: object, headers: dict[str, str] | None = None) -> Behaviour:
    """Respond with a status and JSON, or with raw bytes."""

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(payload)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)
        await writer.drain()

    return behave


def reject(code: int, status: int = 400) -> Behaviour:
    """Respond with an error of the API: its legacy error document."""
    return answer(status, {"code": code, "message": "no", "more_info": "", "status": status})


async def take(request: Request, writer: asyncio.StreamWriter) -> None:
    """Accept the message."""
    sid = "SM" + secrets.token_hex(16)
    await answer(201, {"sid": sid, "status": "accepted", "error_code": None, "num_segments": "0"})(request, writer)


async def hang(request: Request, writer: asyncio.StreamWriter) -> None:
    """Never respond."""
    await asyncio.sleep(60)


async def hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
    """Close the connection."""
    writer.close()


@dataclass
class TwilioServer:
    """A server, started with `async with`. `behaviour` applies to every message, `script` to the next ones."""

    behaviour: Behaviour = take
    script: list[Behaviour] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def sent_to(self, phone: str) -> list[str]:
        """Return the texts of all messages to a number."""
        return [request.form["Body"] for request in self.requests if request.form.get("To") == phone]

    def code_for(self, phone: str) -> str:
        """Return the code in the newest message to a number."""
        found = re.search(r": (\d{4,12})\.", self.sent_to(phone)[-1])
        assert found is not None
        return found[1]

    async def __aenter__(self) -> Self:
        self.port = await self._connections.open(self.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()

    def __post_init__(self) -> None:
        self._connections = Connections(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing() and (request := await self._read(reader)) is not None:
            self.requests.append(request)
            await (self.script.pop(0) if self.script else self.behaviour)(request, writer)

    async def _read(self, reader: asyncio.StreamReader) -> Request | None:
        head = await reader.readuntil(b"\r\n\r\n") if not reader.at_eof() else b""
        if not head:
            return None
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, path, _ = first.split(" ")
        return Request(method, path, headers, await reader.readexactly(int(headers.get("content-length", "0"))))
