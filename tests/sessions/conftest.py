"""A user that has logged in, and operations on its tokens."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import httpx
import pytest

from tests.conftest import Door, Started, new_phone
from tests.outside.twilio import TwilioServer

TOKEN, LOGOUT, INTROSPECT = "/api/auth/token", "/api/auth/logout", "/api/auth/introspect"
SESSIONS = "/api/auth/me/sessions"


@dataclass
class Person:
    """A user with a phone at a tenant. Calls alternate between the instances."""

    doors: list[Door]
    tenant: dict[str, Any]
    twilio: TwilioServer
    database: asyncpg.Connection
    phone: str = field(default_factory=new_phone)
    key: str = "api_key"

    def __post_init__(self) -> None:
        self._turns: Iterator[Door] = itertools.cycle(self.doors)

    @property
    def door(self) -> Door:
        return next(self._turns)

    async def log_in(self, **device: str) -> dict[str, Any]:
        """Log in on another device; return the response of /verify."""
        await self.database.execute("update identifiers set sent_at = '{}' where identifier = $1", self.phone)
        asked = await self.door.post("/api/auth/request", {"phone": self.phone}, self.tenant[self.key], **device)
        assert asked.status_code == 200, asked.text
        code = "000000" if self.key == "test_key" else self.twilio.code_for(self.phone)
        body = {"phone": self.phone, "code": code}
        verified = await self.door.post("/api/auth/verify", body, self.tenant[self.key], **device)
        assert verified.status_code == 200, verified.text
        answer: dict[str, Any] = verified.json()
        return answer

    async def refresh(self, refresh_token: str, door: Door | None = None) -> httpx.Response:
        grant = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await (door or self.door).post(TOKEN, grant, self.tenant[self.key])

    async def call(self, method: str, path: str, token: str, body: object = None) -> httpx.Response:
        """Call as the user."""
        headers = {"x-api-key": self.tenant[self.key], "authorization": f"Bearer {token}"}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.door.client.request(method, path, headers=headers, **arguments)

    async def manage(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Call as the tenant's server."""
        headers = {"x-api-key": self.tenant["secret_key"]}
        arguments: dict[str, Any] = {} if body is None else {"json": body}
        return await self.door.client.request(method, "/api/tenant" + path, headers=headers, **arguments)

    async def introspect(self, token: str, key: str = "secret_key") -> dict[str, Any]:
        answer = await self.door.post(INTROSPECT, {"token": token}, self.tenant[key])
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    async def is_live(self, token: str) -> bool:
        """Return whether introspection and the user's routes accept a token; all instances must agree."""
        told = {(await self.introspect(token))["active"] for _ in self.doors}
        seen = {(await self.call("GET", SESSIONS, token)).status_code for _ in self.doors}
        assert seen == ({200} if told == {True} else {401}), (told, seen)
        return told == {True}

    async def age(self, session_id: str, seconds: float) -> None:
        """Move all times of a session in the database into the past."""
        await self.database.execute(
            f"""update sessions set created_at = created_at - i, refreshed_at = refreshed_at - i,
                rotated_at = array(select r - i from unnest(rotated_at) with ordinality as u (r, n) order by n),
                  last_used_at = last_used_at - i, expires_at = expires_at - i, idle_at = idle_at - i
                from (select interval '{seconds} s' as i) as age where id = $1""",
            session_id,
        )

    async def events(self, kind: str) -> list[asyncpg.Record]:
        rows: list[asyncpg.Record] = await self.database.fetch(
            "select * from events where tenant_id = $1 and type = $2 order by id", self.tenant["tenant_id"], kind
        )
        return rows


NewPerson = Callable[..., Awaitable[Person]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture(scope="session")
async def doors(start_app: Started) -> list[Door]:
    """Return two instances on the same servers, which share invalidations."""
    doors = [await start_app(), await start_app()]
    for door in doors:
        await door.services.tenants.start()
    return doors


@pytest.fixture
def new_person(door: Door, twilio_server: TwilioServer, database: asyncpg.Connection) -> NewPerson:
    """Create a user at a tenant with some settings."""

    async def make(doors: list[Door] | None = None, key: str = "api_key", **settings: object) -> Person:
        return Person(doors or [door], await door.tenant(**settings), twilio_server, database, key=key)

    return make


@pytest.fixture
async def person(new_person: NewPerson) -> Person:
    return await new_person()
