"""Installations for the move of a tenant."""

import secrets
from collections.abc import Awaitable, Callable, Iterator

import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from tests.conftest import Started
from tests.support.postgres_files import PostgresFiles, new_database
from tests.support.providers.twilio import TwilioServer
from tests.tenants.installations import Installation, Installations

BURN = "do $$ begin for n in 1..3000 loop perform pg_current_xact_id(); commit; end loop; end $$"
NewInstallations = Callable[..., Awaitable[Installations]]


@pytest.fixture(scope="module")
def other_server(postgres_files: PostgresFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """Return a cluster whose transaction ids are lower."""
    with postgres_files.server(tmp_path_factory.mktemp("other")) as server:
        yield server


@pytest.fixture
def new_installations(
    postgres_server: PostgresServer,
    other_server: PostgresServer,
    redis_server: RedisServer,
    twilio_server: TwilioServer,
    start_app: Started,
) -> NewInstallations:
    """Create two installations."""

    async def create(*, background: bool = False, **variables: str) -> Installations:
        name = f"move_{secrets.token_hex(6)}"
        urls = await new_database(postgres_server, name), await new_database(other_server, name, is_relaxed=False)
        source, target = [
            Installation(url, await start_app(background=background, DATABASE_URL=url, REDIS_URL=redis, **variables))
            for url, redis in zip(urls, (redis_server.url(12), redis_server.url(13)), strict=True)
        ]
        await source.fetch(BURN)
        return Installations(source, target, twilio_server, await source.api.tenant(sms_branding="MyApp"))

    return create
