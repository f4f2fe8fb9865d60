"""`auth1 dev` on the servers of the tests, and the keys that it prints."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.support.postgres_files import new_database
from tests.support.process import Auth1


@dataclass
class Dev:
    """A running `auth1 dev`."""

    server: Auth1
    client: httpx.AsyncClient  # without the check against the API description, which the inbox is not part of
    key: str

    async def request(self, **body: str) -> dict[str, object]:
        """Request a code and return the response."""
        response = await self.server.post("/api/auth/request", body, self.key)
        assert response.status_code == 200, response.text
        found: dict[str, object] = response.json()
        return found

    async def messages(self) -> list[dict[str, str]]:
        """Return the messages of the inbox, newest first."""
        response = await self.client.get("/dev/inbox/messages", headers={"x-auth1-inbox": "1"})
        assert response.status_code == 200, response.text
        found: list[dict[str, str]] = response.json()["data"]
        return found


@pytest.fixture(scope="module")
async def dev(
    postgres_server: PostgresServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Dev]:
    directory = tmp_path_factory.mktemp("dev")
    name = "inbox_" + re.sub(r"\W", "", directory.parent.name + directory.name)
    environment = {
        "DATABASE_URL": await new_database(postgres_server, name),
        "REDIS_URL": redis_server.url(2),
        "WORKERS": "2",
        # A busy machine is not an unavailable Redis.
        "REDIS_CONNECT_TIMEOUT_MS": "5000",
        "REDIS_CALL_TIMEOUT_MS": "5000",
    }
    async with Auth1(environment, directory / "log", arguments=("dev", "--data", str(directory / "data"))) as server:
        key = re.search(r"auth1_pk_demo_\w+", server.text())
        assert key is not None
        async with httpx.AsyncClient(base_url=server.url, trust_env=False) as client:
            yield Dev(server, client, key[0])
