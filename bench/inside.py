"""Run Auth1 in this process, called as granian calls it, to measure its internals."""

import os
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from auth1.app import build_app, relax_collector, start_services, stop_services
from auth1.config.settings import load_settings
from auth1.core.http.asgi import App
from auth1.core.telemetry.log import Log
from auth1.messaging.providers.console import OnMessage
from auth1.services import Services
from auth1.tenants import service
from auth1.tenants.schemas import TenantCreated, TenantIn
from auth1.tenants.settings import TenantSettings
from bench.client import Phone, UnexpectedResponse
from bench.stage import POLICY, SETTINGS, Stage


@dataclass(frozen=True)
class Inside:
    """An application with its services, without background jobs; a tenant; and the receiver of its codes."""

    app: App[Services]
    tenant: TenantCreated
    phone: Phone

    @property
    def services(self) -> Services:
        return self.app.services

    async def ask(self, number: str) -> None:
        await self.post("/api/auth/request", b'{"phone":"%b"}' % number.encode())

    async def answer(self, number: str, code: str) -> bytes:
        return await self.post("/api/auth/verify", b'{"phone":"%b","code":"%b"}' % (number.encode(), code.encode()))

    async def log_in(self, number: str) -> None:
        await self.ask(number)
        await self.answer(number, await self.phone.read(number))

    async def set_policy(self) -> None:
        """Set the fraud policy of measurements."""
        body = msgspec.json.encode(POLICY)
        headers = [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-api-key", self.tenant.secret_key.encode()),
        ]
        await self.call("PUT", "/api/tenant/fraud/policy", headers, body)

    async def post(self, path: str, body: bytes) -> bytes:
        """POST JSON with the tenant's publishable key; return the body. Raises UnexpectedResponse unless it is 200."""
        headers = [
            (b"host", b"localhost"),
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-api-key", self.tenant.api_key.encode()),
        ]
        return await self.call("POST", path, headers, body)

    async def call(
        self, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes = b"", query: bytes = b""
    ) -> bytes:
        """Call the application; return the body. Raises UnexpectedResponse unless the status is 200 or 204."""
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "client": ("127.0.0.1", 4000),
            "headers": headers,
        }
        sent: list[dict[str, Any]] = []

        async def receive() -> Mapping[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        if sent[0]["status"] not in (200, 204):
            raise UnexpectedResponse(f"{sent[0]['status']} {sent[1]['body']}")
        answer: bytes = sent[1]["body"]
        return answer


@asynccontextmanager
async def inside(stage: Stage, on_console: OnMessage | None = None) -> AsyncIterator[Inside]:
    """Start Auth1 in this process, without a log."""
    settings = load_settings(stage.environment)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    log = Log(settings.log_level, nowhere)
    relax_collector()
    app = build_app(settings, log)
    app.services = await start_services(settings, log, background=False, on_console=on_console)
    phone = await Phone.at(stage.twilio.port)
    try:
        tenant_in = TenantIn(
            name="Bench", slug=f"b{secrets.token_hex(6)}", settings=msgspec.convert(SETTINGS, TenantSettings)
        )
        one = Inside(app, await service.create_tenant(app.services, tenant_in), phone)
        await one.set_policy()
        yield one
    finally:
        phone.close()
        await stop_services(app.services)
        os.close(nowhere)
