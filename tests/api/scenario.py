"""The application, tenant and phone of one API test."""

import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg
import httpx

from auth1.dev.postgres import PostgresServer
from tests.conftest import Started
from tests.support.api_client import REQUEST, VERIFY, ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import Behaviour, TwilioServer
from tests.support.raw_asgi import RawAsgi

TOLL_FREE = "+448081570123"  # of the range that is kept free for drama


@dataclass
class ApiScenario:
    """The default application with one phone and one tenant, and means to start other applications."""

    api: ApiClient
    raw_asgi: RawAsgi
    twilio: TwilioServer
    database: asyncpg.Connection
    postgres: PostgresServer
    start_app: Started
    phone: str
    directory: Path
    tenant: dict[str, Any] = field(default_factory=dict)

    async def request(
        self, phone: str | None = None, *, api: ApiClient | None = None, **settings: Any
    ) -> httpx.Response:
        """Request a code; `settings` apply to the tenant at the first call."""
        api = api or self.api
        self.tenant = self.tenant or await api.tenant(**settings)
        return await api.post(REQUEST, {"phone": phone or self.phone}, self.key)

    async def verify(self, code: str) -> httpx.Response:
        return await self.api.post(VERIFY, {"phone": self.phone, "code": code}, self.key)

    async def tokens(self) -> dict[str, Any]:
        """Log in; return the response."""
        assert (await self.request()).status_code == 200
        answer: dict[str, Any] = (await self.verify(self.twilio.code_for(self.phone))).json()
        return answer

    async def login(self) -> str:
        """Log in; return the user's id."""
        return str((await self.tokens())["user_id"])

    async def refresh(self, refresh_token: str) -> httpx.Response:
        grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self.api.post("/api/auth/token", grant, self.key)

    async def log_out(self, token: str) -> httpx.Response:
        return await self.api.post("/api/auth/logout", {}, self.key, authorization=f"Bearer {token}")

    @property
    def key(self) -> str:
        return str(self.tenant["api_key"])

    def wrong_code(self) -> str:
        """Return a code of the same length that was not sent."""
        right = self.twilio.code_for(self.phone)
        return f"{(int(right) + 1) % 1_000_000:06d}"

    @contextlib.contextmanager
    def providers(self, behaviour: Behaviour) -> Iterator[None]:
        """Set Twilio's response to the next message."""
        self.twilio.script.append(behaviour)
        yield
        assert not self.twilio.script, "the message went to Twilio"

    @contextlib.asynccontextmanager
    async def own_database(self, name: str) -> AsyncIterator[tuple[ApiClient, asyncpg.Connection]]:
        """Return an application with a database that the test may break."""
        url = await new_database(self.postgres, name, is_relaxed=False)
        connection = await asyncpg.connect(url)
        try:
            yield await self.start_app(DATABASE_URL=url), connection
        finally:
            await connection.close()
