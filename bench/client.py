"""The client of the measurements: raw keep-alive connections, at about a tenth of the cost of httpx.

It shares the machine with the servers, so it must use little CPU.
"""

import asyncio
import json
import re
from time import perf_counter
from typing import Any, NamedTuple, Self

EXCHANGE_S = 15.0
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)


class Response(NamedTuple):
    """A response. `elapsed_s` is from the write of the request to the last byte of the response."""

    status: int
    body: bytes
    elapsed_s: float
    head: bytes = b""

    def header(self, name: str) -> str:
        """Return the first value of a header; "" without it."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            found, _, value = line.partition(":")
            if found.lower() == name:
                return value.strip()
        return ""

    def json(self) -> Any:
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection to this machine, one request at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._data = b""
        self._waiter: asyncio.Future[Response] | None = None
        self._started = 0.0

    @classmethod
    async def open(cls, port: int) -> Self:
        _, connection = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return connection

    @property
    def is_closed(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self._transport.close()

    async def send(self, request: bytes) -> Response:
        """Send a whole request. Raises ConnectionError when the server hangs up."""
        if self._transport.is_closing():
            raise ConnectionResetError("the server has hung up")
        self._data, self._waiter = b"", asyncio.get_running_loop().create_future()
        self._started = perf_counter()
        self._transport.write(request)
        return await self._waiter

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # asyncio promises less than TCP gives

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error or ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0 or self._waiter is None:
            return
        length = _LENGTH.search(self._data, 0, end)
        body = self._data[end + 4 :]
        if _CHUNKED.search(self._data, 0, end):
            if not body.endswith(b"0\r\n\r\n"):
                return
            body = _join_chunks(body)
        elif len(body) != (int(length[1]) if length else 0):
            return
        elapsed_s = perf_counter() - self._started
        self._waiter.set_result(Response(int(self._data[9:12]), body, elapsed_s, self._data[:end]))


def _join_chunks(data: bytes) -> bytes:
    """Return the content of a complete chunked body without extensions and trailers."""
    body = b""
    while data:
        size, _, data = data.partition(b"\r\n")
        body += data[: int(size, 16)]
        data = data[int(size, 16) + 2 :]
    return body


class UnexpectedResponse(Exception):
    """An unexpected response, which would distort a measurement."""


class Phone:
    """The receiver of codes: the fake Twilio."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @classmethod
    async def at(cls, port: int) -> Self:
        return cls(await Connection.open(port))

    async def read(self, number: str) -> str:
        """Read the code that was sent to a number. Raises UnexpectedResponse without one."""
        message = await self._connection.send(f"GET /codes/{number} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        return expect(message, 200).body.decode()

    @property
    def is_closed(self) -> bool:
        return self._connection.is_closed

    def close(self) -> None:
        self._connection.close()


class Person:
    """A simulated user: requests a code, reads it from the phone, and logs in."""

    def __init__(self, api: Connection, phone: Phone, api_key: str) -> None:
        self._api = api
        self._phone = phone
        self._headers = f"host: localhost\r\ncontent-type: application/json\r\nx-api-key: {api_key}\r\n"

    @classmethod
    async def arrive(cls, port: int, codes_port: int, api_key: str) -> Self:
        return cls(await Connection.open(port), await Phone.at(codes_port), api_key)

    @property
    def is_gone(self) -> bool:
        """Return whether a server has closed a connection of this user."""
        return self._api.is_closed or self._phone.is_closed

    def leave(self) -> None:
        self._api.close()
        self._phone.close()

    async def ask(self, number: str) -> Response:
        return await self._post("/api/auth/request", f'{{"phone":"{number}"}}')

    async def answer(self, number: str, code: str) -> Response:
        return await self._post("/api/auth/verify", f'{{"phone":"{number}","code":"{code}"}}')

    async def log_in(self, number: str) -> tuple[float, float]:
        """Log in; return the times of the request and the verification. Raises UnexpectedResponse."""
        requested = expect(await self.ask(number), 200)
        answered = expect(await self.answer(number, await self._phone.read(number)), 200)
        return requested.elapsed_s, answered.elapsed_s

    async def _post(self, path: str, body: str) -> Response:
        head = f"POST {path} HTTP/1.1\r\n{self._headers}content-length: {len(body)}\r\n\r\n"
        return await self._api.send((head + body).encode())


async def exchange(port: int, request: bytes) -> Response:
    """Send a request on a connection of its own. Raises OSError, and TimeoutError after 15 s."""
    async with asyncio.timeout(EXCHANGE_S):
        connection = await Connection.open(port)
        try:
            return await connection.send(request)
        finally:
            connection.close()


def expect(response: Response, status: int) -> Response:
    """Return a response if it is the expected one. Raises UnexpectedResponse."""
    if response.status != status:
        raise UnexpectedResponse(f"{response.status} instead of {status}: {response.body.decode(errors='replace')}")
    return response
