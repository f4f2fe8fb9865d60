"""A message that every provider rejected is rolled back with its challenge, and nothing else is."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.races.conftest import SETTINGS, RaceUser, outcome
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Request, TwilioServer, reject, take

BUSY = reject(20429, status=429)


@pytest.fixture(scope="module")
async def carrier() -> AsyncIterator[TwilioServer]:
    """Return a carrier of the test, which may reject messages."""
    async with TwilioServer() as server:
        yield server


@pytest.fixture
async def user(
    start_app: Started, races_url: str, carrier: TwilioServer, database: asyncpg.Connection
) -> AsyncIterator[RaceUser]:
    """Return a user on an instance of the test, because circuit breakers keep state."""
    api: ApiClient = await start_app(DATABASE_URL=races_url, TWILIO_API_URL=carrier.url, **SETTINGS)
    yield RaceUser([api], await api.tenant(), carrier, database)
    carrier.behaviour = take


async def test_unsent_code_is_rejected(user: RaceUser, carrier: TwilioServer) -> None:
    carrier.behaviour = BUSY
    assert outcome(await user.ask()) == "delivery_failed"
    assert len(user.codes) == 1, "the carrier received it and rejected it"

    for code in (user.wrong(), user.code):
        assert outcome(await user.answer(code)) == "no_active_challenge"

    carrier.behaviour = take
    await user.open_challenge()
    assert (await user.answer(user.code)).status_code == 200


async def test_rejected_resend_keeps_the_first_challenge(user: RaceUser, carrier: TwilioServer) -> None:
    challenge = await user.open_challenge()
    await user.later(30)
    carrier.behaviour = BUSY

    assert outcome(await user.ask(challenge_id=challenge)) == "delivery_failed"
    assert outcome(await user.ask()) == "delivery_failed"

    assert outcome(await user.answer(user.wrong())) == "invalid_code"
    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200
    status = "select status from challenges where tenant_id = $1 and id = $2"
    assert await user.database.fetchval(status, user.tenant_id, challenge) == "answered"


async def test_rejected_message_cancels_its_challenge_only(user: RaceUser, carrier: TwilioServer) -> None:
    first = await user.open_challenge()
    await user.later(30)
    carrier.behaviour = BUSY
    await user.ask()

    row = await user.row()

    assert row["challenge_ids"] == [first]
    assert row["challenge_attempts"] == [0]
    assert len(row["sent_at"]) == 1
    rows = await user.database.fetch("select id, status from challenges where tenant_id = $1", user.tenant_id)
    assert {row["id"] == first: row["status"] for row in rows} == {True: "open", False: "cancelled"}


async def test_login_and_delivery_failure_lock_rows_in_the_same_order(
    user: RaceUser, carrier: TwilioServer, races_url: str
) -> None:
    await user.open_challenge()
    code = user.code
    await user.later(30)
    arrived, decided = asyncio.Event(), asyncio.Event()

    async def reject_when_decided(request: Request, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await decided.wait()
        await BUSY(request, writer)

    carrier.behaviour = reject_when_decided
    resend = asyncio.create_task(user.ask())
    await arrived.wait()
    holder = await asyncpg.connect(races_url)

    # Both wait for the identifier's row, the login first, while another transaction holds it.
    async with holder.transaction():
        await holder.execute("select 1 from identifiers where tenant_id = $1 for update", user.tenant_id)
        login = asyncio.create_task(user.answer(code))
        await waiting(user.database, 1, login)
        decided.set()
        await waiting(user.database, 2, resend)

    await holder.close()
    assert (await login).status_code == 200
    assert outcome(await resend) == "delivery_failed"


async def waiting(database: asyncpg.Connection, number: int, last: asyncio.Task[httpx.Response]) -> None:
    """Return when a number of statements wait for a lock, or the last of them timed out."""
    blocked = "select count(*) from pg_stat_activity where cardinality(pg_blocking_pids(pid)) > 0"
    while await database.fetchval(blocked) < number and not last.done():
        pass
