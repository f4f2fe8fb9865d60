"""The ASGI application of `auth1 dev`: the inbox below /dev/inbox, and Auth1 for every other path.

The inbox shows live codes, so other pages in the developer's browser must not read it. Requests for messages carry a
header of their own, which a page elsewhere cannot send (CORS), and the Host must not be a foreign name (DNS rebinding).
"""

import hashlib
import ipaddress
import logging
import os
import re
from typing import Any
from urllib.parse import urlsplit

from auth1.app import build_app
from auth1.config.settings import load_settings
from auth1.core import schemas
from auth1.core.http.asgi import App, Scope, Send
from auth1.core.http.request import Receive
from auth1.core.redis import Redis, RedisUnavailable
from auth1.core.telemetry.log import Log, LogHandler
from auth1.inbox.page import EMAIL_POLICY, frame_email, render_page
from auth1.inbox.store import InboxStore
from auth1.services import Services, new_redis

PATH = "/dev/inbox"
MESSAGES_PATH = f"{PATH}/messages"
HEADER = b"x-auth1-inbox"
_HTML = b"text/html; charset=utf-8"
_ID = re.compile(rf"{MESSAGES_PATH}/([A-Za-z0-9_]{{1,64}})")
_HEADERS = [
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
]

Response = tuple[int, bytes, list[tuple[bytes, bytes]]]


def make_app() -> "DevApp":
    """Make the application of a worker of `auth1 dev`; granian calls this in each."""
    settings = load_settings(os.environ)
    log = Log(settings.log_level, format=settings.log_format, events=settings.log_events)
    logging.getLogger().addHandler(LogHandler(log))
    redis = new_redis(settings, log, "auth1-inbox")
    store = InboxStore(redis, log)
    return DevApp(build_app(settings, log, on_console=store.add), store, redis, urlsplit(settings.app_url).hostname)


class DevApp:
    """Serves /dev/inbox and passes other requests to the application."""

    def __init__(self, app: App[Services], store: InboxStore, redis: Redis, host: str | None) -> None:
        self._app = app
        self._store = store
        self._redis = redis
        self._host = host
        self._page, self._policy = render_page()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._redis.start()
            await self._app(scope, receive, send)
            await self._redis.stop()
        elif scope["type"] == "http" and (scope["path"] == PATH or scope["path"].startswith(f"{PATH}/")):
            status, body, headers = await self._respond(scope)
            headers = [*_HEADERS, (b"content-length", b"%d" % len(body)), *headers]
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            await self._app(scope, receive, send)

    async def _respond(self, scope: Scope) -> Response:
        headers = dict(scope["headers"])
        if not self._is_own_host(headers.get(b"host", b"").decode("latin-1")):
            return _error(403, "Open the inbox at the address that auth1 dev prints.")
        method, path = scope["method"], scope["path"]
        if path == PATH and method in ("GET", "HEAD"):
            return 200, self._page, [(b"content-type", _HTML), (b"content-security-policy", self._policy)]
        try:
            if (found := _ID.fullmatch(path)) and method in ("GET", "HEAD"):
                return await self._email(found[1])
            if path == MESSAGES_PATH and HEADER not in headers:
                return _error(403, f"The header {HEADER.decode()} is required.")
            if path == MESSAGES_PATH and method == "DELETE":
                await self._store.clear()
                return 204, b"", []
            if path == MESSAGES_PATH and method == "GET":
                return await self._messages(headers.get(b"if-none-match"))
        except RedisUnavailable:
            return _error(503, "Redis is unavailable.")
        return _error(404, "Not found.")

    async def _messages(self, known: bytes | None) -> Response:
        body = schemas.encode({"data": await self._store.messages()})
        etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'.encode()
        if known == etag:
            return 304, b"", [(b"etag", etag)]
        return 200, body, [(b"content-type", b"application/json"), (b"etag", etag)]

    async def _email(self, message_id: str) -> Response:
        html = await self._store.html(message_id)
        if html is None:
            return _error(404, "Not found.")
        return 200, frame_email(html), [(b"content-type", _HTML), (b"content-security-policy", EMAIL_POLICY)]

    def _is_own_host(self, header: str) -> bool:
        """Return whether a Host is an address, this machine's name or APP_URL's: no foreign name that leads here."""
        try:
            host = urlsplit(f"//{header}").hostname or ""
            ipaddress.ip_address(host)
            return True
        except ValueError:
            host = header.rpartition(":")[0] or header
        return host == "localhost" or host.endswith(".localhost") or host == self._host


def _error(status: int, detail: str) -> Response:
    body: dict[str, Any] = {"status": status, "detail": detail}
    return status, schemas.encode(body), [(b"content-type", b"application/problem+json")]
