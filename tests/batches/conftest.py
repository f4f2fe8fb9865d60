"""Fixtures of the tests of group commit: pools on one database, and users that log in through the stores.

All calls that begin in the same step of the event loop are in one batch, because the batch is taken in the next step.
"""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import asyncpg
import pytest

from auth1.challenges import store
from auth1.challenges.codes import SealedCode
from auth1.challenges.store import ChallengeOpened, ChallengeRejected, CodeResult, OpenChallenge, SubmitCode
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.events.log import EventContext
from auth1.identifiers import Identifier
from auth1.messaging.store import Delivery, RecordedDelivery, record_delivery
from auth1.sessions.create import NewSession
from tests.faults.relay import Relay
from tests.support.postgres_files import new_database

RIGHT, BOX = b"r" * 32, b"vers" + b"b" * 36
CONTEXT = EventContext("key", "req_1", "192.0.2.0/24")
_numbers = itertools.count()


@dataclass
class BatchUser:
    """A phone of a tenant, with the requests of its login. A test may change the ids, so that a request fails."""

    tenant_id: str
    phone: str = field(default_factory=lambda: f"+1555{next(_numbers):07}")
    session_id: str = field(default_factory=lambda: new_id("ses"))
    user_agent: str | None = None
    message_id: str = ""

    async def open(self, postgres: Postgres, *, first_wait: int = 0) -> ChallengeOpened | ChallengeRejected:
        self.message_id = new_id("msg")
        request = OpenChallenge(
            tenant_id=self.tenant_id,
            context=CONTEXT,
            identifier=Identifier(self.phone, "sms", self.phone, "US"),
            code=SealedCode(RIGHT, BOX),
            expires_in=600,
            attempts=5,
            sends_per_hour=100,
            first_wait=first_wait,
            repeat_id=None,
            provider="twilio",
            data={"channel": "sms"},
            challenge_id=new_id("ch"),
            message_id=self.message_id,
            event_id=new_id("evt"),
            locale=None,
            box_prefixes=[BOX[:4]],
            budget_event_id=new_id("evt"),
        )
        return await store.open_challenge(postgres, request)

    async def submit(self, postgres: Postgres, mac: bytes = RIGHT) -> CodeResult:
        request = SubmitCode(
            tenant_id=self.tenant_id,
            context=CONTEXT,
            identifier=Identifier(self.phone, "sms", self.phone, "US"),
            macs=[mac],
            challenge_id=None,
            user_id=new_id("usr"),
            session=NewSession(self.session_id, 3600, 3600, None, self.user_agent),
            event_id=new_id("evt"),
            user_event_id=new_id("evt"),
        )
        return await store.submit_code(postgres, request)

    async def record(self, postgres: Postgres, state: str = "sent") -> RecordedDelivery:
        delivery = Delivery(
            tenant_id=self.tenant_id,
            context=CONTEXT,
            message_id=self.message_id,
            state=state,
            provider="twilio",
            provider_message_id=f"SM{self.message_id}",
            error=None if state == "sent" else "rejected",
            refunds_send=state == "failed",
            event_id=new_id("evt"),
            report_in=None,
        )
        return await record_delivery(postgres, delivery)


def new_users(number: int) -> list[BatchUser]:
    """Make users of a new tenant."""
    tenant_id = new_id("tn")
    return [BatchUser(tenant_id) for _ in range(number)]


async def open_all(postgres: Postgres, users: Sequence[BatchUser]) -> None:
    """Open a challenge for each user."""
    opened = await asyncio.gather(*(user.open(postgres) for user in users))
    assert {one.verdict for one in opened} <= {"opened", "repeated"}


async def opened_users(postgres: Postgres, number: int) -> list[BatchUser]:
    """Make users of a new tenant with an open challenge each."""
    users = new_users(number)
    await open_all(postgres, users)
    return users


def verdicts(results: Sequence[CodeResult | BaseException]) -> list[str]:
    """Return each verdict, or the name of an error."""
    return [one.verdict if isinstance(one, CodeResult) else type(one).__name__ for one in results]


@pytest.fixture(scope="module")
async def url(postgres_server: PostgresServer) -> str:
    return await new_database(postgres_server, f"auth1_batches_{next(_numbers)}")


NewPostgres = Callable[..., Awaitable[Postgres]]


@pytest.fixture
async def new_postgres(url: str) -> AsyncIterator[NewPostgres]:
    """Return a function that opens a pool, like that of another worker."""
    pools: list[Postgres] = []
    log = Log("debug", os.open(os.devnull, os.O_WRONLY))

    async def make(through: str = url, *, timeout_scale: float = 20.0, size: int = 6) -> Postgres:
        postgres = Postgres(through, log, size=size, ready=size, timeout_scale=timeout_scale)
        pools.append(postgres)
        await postgres.start()
        return postgres

    yield make
    for pool in pools:
        await pool.stop()


@pytest.fixture
async def postgres(new_postgres: NewPostgres) -> Postgres:
    return await new_postgres()


@pytest.fixture
async def relay(url: str) -> AsyncIterator[Relay]:
    async with Relay(url) as relay:
        yield relay


@pytest.fixture
async def relayed(new_postgres: NewPostgres, relay: Relay) -> Postgres:
    """Return a pool whose connections a test can hold and cut."""
    return await new_postgres(relay.url)


@pytest.fixture
async def database(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection of the test, which can hold locks."""
    connection = await asyncpg.connect(url)
    yield connection
    connection.terminate()


@pytest.fixture
async def observer(url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a connection outside of transactions, which sees what others wait for."""
    connection = await asyncpg.connect(url)
    yield connection
    connection.terminate()


async def count(database: asyncpg.Connection, table: str, tenant_id: str) -> int:
    number: int = await database.fetchval(f"select count(*) from {table} where tenant_id = $1", tenant_id)
    return number
