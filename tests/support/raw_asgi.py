"""A raw ASGI client: any framing, any bytes, any peer."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import httpx

from auth1.app import build_app
from auth1.core.http.asgi import App
from auth1.core.http.router import Route
from auth1.routes import ROUTES
from auth1.services import Services
from tests.support import described
from tests.support.api_client import ApiClient

Header = tuple[bytes, bytes]
HOST: Header = (b"host", b"localhost:3000")
JSON: Header = (b"content-type", b"application/json")


class RawAsgi:
    """Call an application without a server. A call returns None when the application sent nothing."""

    def __init__(self, api: ApiClient, routes: Sequence[Route] | None = None) -> None:
        """Call the routes of Auth1, or others."""
        self._app: App[Services] = build_app(api.settings, api.services.log, routes=routes or ROUTES)
        self._app.services = api.services

    async def __call__(
        self,
        method: str,
        path: str,
        headers: Sequence[Header] = (),
        body: bytes | Sequence[bytes] = b"",
        *,
        query: bytes = b"",
        host: Sequence[Header] = (HOST,),
        client: tuple[str, int] | None = ("127.0.0.1", 4000),
        version: str = "1.1",
        raw_path: bytes = b"",
        then: Literal["the end", "hang up", "stall"] = "the end",
        on_stall: Callable[[], None] = lambda: None,
        pause_s: float = 0.0,
    ) -> httpx.Response | None:
        """Send one request with its body in pieces, then end it, hang up, or call `on_stall` and stall.

        `pause_s`: before each piece.
        """
        scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": [*host, *headers],
            "client": client,
            "http_version": version,
        }
        pieces = [body] if isinstance(body, bytes) else list(body)
        sent: list[dict[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            if pieces:
                await asyncio.sleep(pause_s)
                piece = pieces.pop(0)
                return {"type": "http.request", "body": piece, "more_body": bool(pieces) or then != "the end"}
            if then == "stall":
                on_stall()
                await asyncio.Event().wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        if not sent:
            return None
        start, *rest = sent
        assert start["type"] == "http.response.start"
        assert {message["type"] for message in rest} == {"http.response.body"}
        content = b"".join(message["body"] for message in rest)
        return httpx.Response(start["status"], headers=start["headers"], content=content)

    async def stall(self, method: str, path: str) -> None:
        """Send one request and read only the head of its response."""

        async def receive() -> Mapping[str, Any]:
            await asyncio.Event().wait()
            return {}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": [HOST]}
        await self._app(scope | {"client": ("127.0.0.1", 4000)}, receive, send)

    async def answer(self, method: str, path: str, *arguments: Any, **named: Any) -> httpx.Response:
        """Send one request and return its response."""
        answer = await self(method, path, *arguments, **named)
        assert answer is not None
        if method != "OPTIONS":
            described.check(method, path, answer)
        return answer
