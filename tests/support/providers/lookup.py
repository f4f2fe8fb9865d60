"""A real HTTP server in the place of Twilio Lookup: it answers by number, or misbehaves as configured."""

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.connections import Connections


@dataclass
class LookupRequest:
    """A received request."""

    path: str
    headers: dict[str, str]

    @property
    def phone(self) -> str:
        return unquote(urlsplit(self.path).path.rpartition("/")[2])

    @property
    def fields(self) -> list[str]:
        return parse_qs(urlsplit(self.path).query)["Fields"][0].split(",")


# Writes a whole response, or what else a broken service would do.
Behaviour = Callable[["LookupServer", LookupRequest, asyncio.StreamWriter], Awaitable[None]]


def packages(line_type: str | None = "mobile", *, risk: int | None = 7, swapped: bool | None = False) -> dict[str, Any]:
    """Return the packages of a response, as in Twilio's own examples."""
    return {
        "line_type_intelligence": {
            "error_code": None,
            "mobile_country_code": "240",
            "mobile_network_code": "38",
            "carrier_name": "Carrier",
            "type": line_type,
        },
        "sms_pumping_risk": {
            "carrier_risk_category": "low",
            "number_blocked": False,
            "number_blocked_date": None,
            "number_blocked_last_3_months": None,
            "sms_pumping_risk_score": risk,
            "error_code": None,
        },
        "sim_swap": {
            "last_sim_swap": {"last_sim_swap_date": None, "swapped_period": "PT24H", "swapped_in_period": swapped},
            "carrier_name": "Carrier",
            "error_code": None,
        },
    }


def body(request: LookupRequest, found: dict[str, Any], **changes: object) -> dict[str, Any]:
    """Return a response: packages that were not fetched are null."""
    return {
        "calling_country_code": "1",
        "country_code": "US",
        "phone_number": request.phone,
        "valid": True,
        "validation_errors": None,
        "line_type_intelligence": None,
        "sms_pumping_risk": None,
        "sim_swap": None,
        **{name: found[name] for name in request.fields},
        **changes,
    }


async def respond(
    writer: asyncio.StreamWriter, status: int, payload: object, headers: dict[str, str] | None = None
) -> None:
    """Write a response with JSON, or with raw bytes."""
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json", f"content-length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + data)
    await writer.drain()


async def answer(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
    """Respond with the packages of the number."""
    await asyncio.sleep(server.delay_s)
    await respond(writer, 200, body(request, server.numbers.get(request.phone, packages())))


def status(code: int, payload: object = b"", headers: dict[str, str] | None = None) -> Behaviour:
    """Respond with a status."""

    async def behave(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
        await respond(writer, code, payload, headers)

    return behave


def changed(**changes: object) -> Behaviour:
    """Respond with changed fields."""

    async def behave(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
        await respond(writer, 200, body(request, packages(), **changes))

    return behave


async def hang(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
    """Never respond."""
    await asyncio.sleep(300)


async def hang_up(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
    """Close the connection."""
    writer.close()


async def trickle(server: "LookupServer", request: LookupRequest, writer: asyncio.StreamWriter) -> None:
    """Send a byte at intervals that are shorter than a read timeout."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


@dataclass
class LookupServer:
    """A server, started with `async with`. `numbers` are the packages by number; others are mobiles."""

    behaviour: Behaviour = answer
    tls: ssl.SSLContext | None = None
    numbers: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[LookupRequest] = field(default_factory=list)
    delay_s: float = 0.0
    port: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    def reset(self) -> None:
        """Behave well; forget all numbers and requests."""
        self.behaviour, self.delay_s = answer, 0.0
        self.numbers.clear()
        self.requests.clear()

    def requests_for(self, phone: str) -> list[LookupRequest]:
        return [request for request in self.requests if request.phone == phone]

    async def __aenter__(self) -> Self:
        self.port = await self._connections.open(self.port, self.tls)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._connections.close()

    def __post_init__(self) -> None:
        self._connections = Connections(self._serve)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            head = await reader.readuntil(b"\r\n\r\n")
            first, *lines = head.decode("latin-1").strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            request = LookupRequest(first.split(" ")[1], headers)
            self.requests.append(request)
            await self.behaviour(self, request, writer)
