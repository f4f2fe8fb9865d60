"""Fixtures of the race tests: two applications on one database, a user that logs in, a barrier, time travel."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import asyncpg
import httpx
import pytest

from auth1.core.postgres import Query
from auth1.dev.postgres import PostgresServer
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer
from tests.support.user import PhoneUser

DATABASE = "auth1_races"
# Enough connections to race. The deadlines are the longest possible: a race has one outcome on a slow machine too, and
# a 503 would be one outcome more.
SETTINGS = {"DATABASE_POOL_SIZE": "6", "TIMEOUT_SCALE": "100", "REDIS_CALL_TIMEOUT_MS": "5000"}
HOUR_S = 3600
DAY_S = 24 * HOUR_S

# Everything about one identifier, as if it had happened earlier.
_AGE = """
with i as (
  update identifiers set
    sent_at = array(select t - $3::interval from unnest(sent_at) with ordinality as u(t, n) order by n),
    wrong_at = array(select t - $3::interval from unnest(wrong_at) with ordinality as u(t, n) order by n),
    resend_at = resend_at - $3::interval, code_expires_at = code_expires_at - $3::interval,
    unnamed_locked_until = unnamed_locked_until - $3::interval
  where tenant_id = $1 and identifier = $2
), c as (
  update challenges set expires_at = expires_at - $3::interval, opened_at = opened_at - $3::interval
  where tenant_id = $1 and identifier = $2
)
update messages set created_at = created_at - $3::interval where tenant_id = $1 and identifier = $2
"""


@pytest.fixture(scope="session")
async def races_url(postgres_server: PostgresServer) -> str:
    """Return a database of the races, where a deadlock is detected before a statement timeout."""
    url = await new_database(postgres_server, DATABASE)
    connection = await asyncpg.connect(url)
    await connection.execute(f"alter database {DATABASE} set deadlock_timeout = '20ms'")
    await connection.close()
    return url


@pytest.fixture(scope="session")
async def first(start_app: Started, races_url: str) -> ApiClient:
    return await warm(await start_app(DATABASE_URL=races_url, **SETTINGS))


@pytest.fixture(scope="session")
async def second(start_app: Started, races_url: str) -> ApiClient:
    """Return another instance on the same database."""
    return await warm(await start_app(DATABASE_URL=races_url, **SETTINGS))


async def warm(api: ApiClient) -> ApiClient:
    """Open all connections of a pool, so that a race is one of statements."""
    nap = Query("nap", "select pg_sleep(0.1)")
    await asyncio.gather(*(api.services.postgres.row(nap) for _ in range(api.settings.pool_size_per_worker)))
    return api


@pytest.fixture(params=["one instance", "two instances"])
def apis(request: pytest.FixtureRequest, first: ApiClient, second: ApiClient) -> list[ApiClient]:
    return [first] if request.param == "one instance" else [first, second]


@pytest.fixture
async def database(races_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(races_url)
    yield connection
    await connection.close()


@pytest.fixture(autouse=True)
def no_deadlock(postgres_server: PostgresServer) -> Iterator[None]:
    """Fail when a statement was aborted by a deadlock."""
    beginning = postgres_server.log.stat().st_size
    yield
    assert b"deadlock detected" not in postgres_server.log.read_bytes()[beginning:]


async def at_once(*calls: Callable[[], Awaitable[httpx.Response]]) -> list[httpx.Response]:
    """Start all calls concurrently; return their responses in the order of the calls."""
    barrier = asyncio.Barrier(len(calls))

    async def begin(call: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        await barrier.wait()
        return await call()

    return list(await asyncio.gather(*(begin(call) for call in calls)))


def outcome(answer: httpx.Response) -> str:
    """Return 200, or the error code."""
    return "200" if answer.status_code == 200 else str(answer.json()["code"])


def outcomes(answers: list[httpx.Response]) -> dict[str, int]:
    """Count each outcome."""
    names = [outcome(answer) for answer in answers]
    return {name: names.count(name) for name in sorted(set(names))}


@dataclass
class RaceUser(PhoneUser):
    """A user that races."""

    @property
    def codes(self) -> list[str]:
        """Return the codes of all messages."""
        return [text.partition("code is: ")[2].partition(".")[0] for text in self.twilio.sent_to(self.phone)]

    def wrong(self, number: int = 0) -> str:
        """Return a wrong code, a different one for each number."""
        code = self.code
        return f"{(int(code) + 1 + number) % 10 ** len(code):0{len(code)}d}"

    async def ask(self, **more: object) -> httpx.Response:
        return await self.api.post("/api/auth/request", {"phone": self.phone, **more}, self.api_key)

    async def open_challenge(self, **more: object) -> str:
        """Request a code; return the id of the challenge."""
        answer = await self.ask(**more)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["challenge_id"])

    async def answer(self, code: str, **more: object) -> httpx.Response:
        return await self.api.post("/api/auth/verify", {"phone": self.phone, "code": code, **more}, self.api_key)

    async def later(self, seconds: float) -> None:
        """Move all times of this phone in the database into the past."""
        await self.database.execute(_AGE.replace("$3::interval", f"interval '{seconds} s'"), self.tenant_id, self.phone)

    async def row(self) -> asyncpg.Record:
        """Return the identifier's row."""
        row = await self.database.fetchrow(
            "select * from identifiers where tenant_id = $1 and identifier = $2", self.tenant_id, self.phone
        )
        assert row is not None
        return row

    async def count(self, table: str) -> int:
        """Return the number of rows of a table that belong to the tenant."""
        number: int = await self.database.fetchval(f"select count(*) from {table} where tenant_id = $1", self.tenant_id)
        return number

    async def events(self, kind: str) -> int:
        number: int = await self.database.fetchval(
            "select count(*) from events where tenant_id = $1 and type = $2", self.tenant_id, kind
        )
        return number


NewUser = Callable[..., Awaitable[RaceUser]]


@pytest.fixture
def new_user(first: ApiClient, twilio_server: TwilioServer, database: asyncpg.Connection) -> NewUser:
    """Create a user at a tenant with some settings, by default on one instance."""

    async def make(apis: list[ApiClient] | None = None, **settings: object) -> RaceUser:
        return RaceUser(apis or [first], await first.tenant(**settings), twilio_server, database)

    return make


@pytest.fixture
async def user(new_user: NewUser) -> RaceUser:
    return await new_user()
