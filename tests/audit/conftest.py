"""An application with a database of its own, and events made by hand or by logins."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from auth1.audit.sealing import seals
from auth1.core.ids import new_id
from auth1.dev.postgres import PostgresServer
from auth1.services import Services
from auth1.webhooks.delivery import fan_out
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database

TEMPLATE = "auth1_audit"
_numbers = itertools.count()


@dataclass
class AuditLog:
    """A database, an application on it, and a connection to change rows as no API can."""

    api: ApiClient
    database: asyncpg.Connection
    url: str
    start_app: Started

    @property
    def services(self) -> Services:
        return self.api.services

    async def add(self, tenant_id: str, count: int = 1, *, age: timedelta = timedelta(0), **columns: Any) -> list[str]:
        """Insert events, each in a transaction of its own; return their ids."""
        ids = []
        for _ in range(count):
            await asyncio.sleep(0.0015)  # ids of one millisecond have no order
            event_id = new_id("evt")
            if age:
                floor = await self.database.fetchval("select id_floor('evt', $1)", datetime.now(UTC) - age)
                event_id = floor + event_id[-16:]
            await insert(self.database, tenant_id, event_id, **columns)
            ids.append(event_id)
        return ids

    async def seal(self) -> int:
        """Let all readers read: seal all events; return their number. A purge waits for every reader."""
        await fan_out.fan_out(self.services)
        total = 0
        while count := await seals.seal_once(self.services):
            total += count
        return total

    async def restart(self, **environment: str) -> Services:
        """Return the services of an application with another environment on the same database."""
        api = await self.start_app(DATABASE_URL=self.url, **environment)
        await seals.continue_chains(api.services)
        return api.services


async def insert(
    database: Any,
    tenant_id: str,
    event_id: str,
    *,
    type: str = "user.updated",  # noqa: A002  # the column
    subject: str = "usr_1",
    data: str = '{"changed": ["email"]}',
    request_id: str | None = "req_0123456789",
    network: str | None = "192.0.2.0/24",
) -> None:
    await database.execute(
        """insert into events (tenant_id, id, type, actor, subject, request_id, network, data)
           values ($1, $2, $3, 'key_1', $4, $5, $6, $7::jsonb)""",
        *(tenant_id, event_id, type, subject, request_id, network, data),
    )


@pytest.fixture(scope="session")
async def template(postgres_server: PostgresServer) -> str:
    await new_database(postgres_server, TEMPLATE, is_relaxed=False)
    return TEMPLATE


@pytest.fixture
async def audit_log(postgres_server: PostgresServer, template: str, start_app: Started) -> AsyncIterator[AuditLog]:
    """Return an audit log without events."""
    name = f"{template}_{next(_numbers)}"
    admin = await asyncpg.connect(postgres_server.url())
    await admin.execute(f"create database {name} template {template}")
    await admin.close()
    url = postgres_server.url(name)
    database = await asyncpg.connect(url)
    yield AuditLog(await start_app(DATABASE_URL=url), database, url, start_app)
    await database.close()
