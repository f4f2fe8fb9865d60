"""An application whose webhooks may call the loopback, and an endpoint."""

import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from auth1.core.outbound.connection import Connection
from auth1.core.outbound.http1 import ResponseParser
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.receiver import Receiver
from tests.webhooks.conftest import Owner

LOOPBACK = "127.0.0.0/8"


@pytest.fixture(scope="module")
async def webhook_api(webhook_url: str, start_app: Started) -> ApiClient:
    """Return an application whose webhooks may call the loopback."""
    return await start_app(
        DATABASE_URL=webhook_url, APP_URL="https://auth.example.com", WEBHOOK_ALLOWED_NETWORKS=LOOPBACK
    )


@pytest.fixture
async def owner(owner: Owner) -> AsyncIterator[Owner]:
    yield owner
    await owner.database.execute("update webhooks set is_enabled = false where tenant_id = $1", owner.tenant_id)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def departures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of calls in the order in which they leave. Over several connections they arrive in any order."""
    left: list[str] = []
    real = Connection.exchange

    async def exchange(self: Connection, method: str, data: bytes, *arguments: Any, **options: Any) -> ResponseParser:
        if found := re.search(rb"webhook-id: (\S+)", data, re.IGNORECASE):
            left.append(found[1].decode())
        return await real(self, method, data, *arguments, **options)

    monkeypatch.setattr(Connection, "exchange", exchange)
    return left
