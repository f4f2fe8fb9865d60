"""Requests of one moment share a statement; one that fails, waits or is cancelled changes nothing for the others."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from auth1.challenges.store import ChallengeOpened, CodeResult
from auth1.core.postgres import Postgres
from auth1.core.postgres.batches import MAX_IN_FLIGHT, MAX_ROWS
from auth1.errors import Unavailable
from tests.batches.conftest import (
    BatchUser,
    NewPostgres,
    count,
    new_users,
    open_all,
    opened_users,
    verdicts,
)
from tests.faults.relay import Hold, Relay
from tests.support.process import until

SUBMIT_CODES = "submit_codes("
SENT_S = 120.0  # generous: nothing here measures the machine
LOCKS = {
    "identifier": "select from identifiers where identifier = $1 for update",
    "user": "select from users where id = (select user_id from identifiers where identifier = $1) for update",
}


@asynccontextmanager
async def locked(database: asyncpg.Connection, lock: str, value: str) -> AsyncIterator[None]:
    """Hold a lock, like a frozen connection in a transaction."""
    async with database.transaction():
        await database.execute(lock, value)
        yield


async def log_in(postgres: Postgres, users: list[BatchUser]) -> None:
    """Create the users' accounts, and open their next challenges."""
    await open_all(postgres, users)
    assert verdicts(await asyncio.gather(*(user.submit(postgres) for user in users))) == ["ok"] * len(users)
    for user in users:
        user.session_id += "_next"
    await open_all(postgres, users)


async def occupy(
    postgres: Postgres, relay: Relay, users: list[BatchUser]
) -> tuple[list[Hold], list[asyncio.Task[CodeResult]]]:
    """Submit the codes of the first users alone, until no more statements may be in flight; hold these."""
    held = [relay.hold(SUBMIT_CODES) for _ in range(MAX_IN_FLIGHT)]
    tasks = []
    for user, hold in zip(users, held, strict=False):
        tasks.append(asyncio.create_task(user.submit(postgres)))
        await hold.caught.wait()
    return held, tasks


async def test_requests_of_one_moment_share_a_statement(postgres: Postgres, database: asyncpg.Connection) -> None:
    users = new_users(MAX_ROWS)

    for step in ("open", "record", "submit"):
        before = postgres.round_trips
        results = await asyncio.gather(*(getattr(user, step)(postgres) for user in users))
        assert len(results) == MAX_ROWS
        assert postgres.round_trips - before == 1, step
    assert await count(database, "sessions", users[0].tenant_id) == MAX_ROWS
    assert await count(database, "events", users[0].tenant_id) == 3 * MAX_ROWS


async def test_batch_is_limited_to_64_rows(postgres: Postgres) -> None:
    before = postgres.round_trips
    await open_all(postgres, new_users(MAX_ROWS + 1))
    assert postgres.round_trips - before == 2


async def test_request_after_the_last_batch_is_sent(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller of a finished batch sends its next request before the event loop has removed the batch's task."""
    monkeypatch.setattr("auth1.core.postgres.batches.MAX_IN_FLIGHT", 1)
    users = new_users(1)
    async with asyncio.timeout(SENT_S):  # a request that is not sent waits forever
        for _ in range(3):
            await open_all(postgres, users)
            await users[0].submit(postgres, b"w" * 32)
            await users[0].submit(postgres, b"w" * 32)


async def test_each_request_gets_its_own_result(postgres: Postgres) -> None:
    users = new_users(20)
    await open_all(postgres, users[:15])

    results = await asyncio.gather(
        *(user.submit(postgres, b"w" * 32) for user in users[:5]), *(user.submit(postgres) for user in users[5:])
    )

    assert verdicts(results) == ["wrong"] * 5 + ["ok"] * 10 + ["none"] * 5
    assert len({result.user_id for result in results[5:15]}) == 10


async def test_lone_request_is_sent_while_none_is_waiting(relayed: Postgres, relay: Relay) -> None:
    users = await opened_users(relayed, 5)

    held, tasks = await occupy(relayed, relay, users)  # each is sent without waiting for more
    before = relayed.round_trips
    tasks += [asyncio.create_task(user.submit(relayed)) for user in users[MAX_IN_FLIGHT:]]
    await asyncio.sleep(0)
    held[0].let_go()

    assert verdicts(await asyncio.gather(tasks[0], *tasks[2:])) == ["ok"] * 4
    assert relayed.round_trips - before == 1, "the others share the statement that follows"
    assert not tasks[1].done()
    held[1].let_go()
    assert (await tasks[1]).verdict == "ok"


@pytest.mark.parametrize("bad", ["session id is taken", "NUL in the User-Agent"])
async def test_one_bad_row_among_32_fails_alone(postgres: Postgres, database: asyncpg.Connection, bad: str) -> None:
    other, *users = await opened_users(postgres, 33)
    assert (await other.submit(postgres)).verdict == "ok"
    expected = "UniqueViolationError"
    if bad == "NUL in the User-Agent":
        users[7].user_agent, expected = "a\0b", "CharacterNotInRepertoireError"
    else:
        users[7].session_id = other.session_id

    results = await asyncio.gather(*(user.submit(postgres) for user in users), return_exceptions=True)

    assert verdicts(results) == ["ok"] * 7 + [expected] + ["ok"] * 24
    assert await count(database, "sessions", other.tenant_id) == 32
    users[7].session_id, users[7].user_agent = "ses_good", None
    assert (await users[7].submit(postgres)).verdict == "ok", "nothing of the bad row was spent"


@pytest.mark.parametrize("kind", LOCKS)
async def test_held_lock_stalls_no_other_row(postgres: Postgres, database: asyncpg.Connection, kind: str) -> None:
    users = new_users(16)
    await log_in(postgres, users)

    async with locked(database, LOCKS[kind], users[3].phone):
        stalled = asyncio.create_task(users[3].submit(postgres))
        others = await asyncio.gather(*(user.submit(postgres) for user in users if user is not users[3]))
        assert verdicts(others) == ["ok"] * 15
        assert not stalled.done()
    assert (await stalled).verdict == "ok"
    assert await count(database, "sessions", users[0].tenant_id) == 32


async def test_held_lock_stalls_no_other_code_request(postgres: Postgres, database: asyncpg.Connection) -> None:
    known, *new = new_users(16)
    await open_all(postgres, [known])

    async with locked(database, LOCKS["identifier"], known.phone):
        stalled = asyncio.create_task(known.open(postgres))
        await open_all(postgres, new)
        assert not stalled.done()
    assert isinstance(await stalled, ChallengeOpened)
    sends = "select sends from identifiers where tenant_id = $1 and identifier = $2"
    assert await database.fetchval(sends, known.tenant_id, known.phone) == 2


async def test_held_lock_stalls_no_other_delivery(postgres: Postgres, database: asyncpg.Connection) -> None:
    users = await opened_users(postgres, 16)

    async with locked(database, "select from messages where id = $1 for update", users[3].message_id):
        stalled = asyncio.create_task(users[3].record(postgres))
        await asyncio.gather(*(user.record(postgres) for user in users if user is not users[3]))
        assert not stalled.done()
    await stalled
    states = await database.fetch("select state from messages where tenant_id = $1", users[0].tenant_id)
    assert [row["state"] for row in states] == ["sent"] * 16


async def test_held_lock_is_waited_for_by_one_connection(postgres: Postgres, database: asyncpg.Connection) -> None:
    hot, *users = await opened_users(postgres, 6)

    async with locked(database, LOCKS["identifier"], hot.phone):
        before = postgres.round_trips
        stalled = [asyncio.create_task(hot.submit(postgres)) for _ in range(20)]
        assert verdicts([await user.submit(postgres) for user in users]) == ["ok"] * 5
        assert postgres.round_trips - before == 1 + len(users)
    assert sorted(verdicts(await asyncio.gather(*stalled))) == ["none"] * 19 + ["ok"]


async def test_failed_and_sent_deliveries_are_recorded_together(
    postgres: Postgres, database: asyncpg.Connection
) -> None:
    users = await opened_users(postgres, 12)
    expected = ["failed" if n % 3 == 0 else "sent" for n in range(12)]

    await asyncio.gather(*(user.record(postgres, state) for user, state in zip(users, expected, strict=True)))

    sql = "select state from messages where tenant_id = $1 and identifier = $2"
    assert [await database.fetchval(sql, user.tenant_id, user.phone) for user in users] == expected
    failed = "select count(*) from events where tenant_id = $1 and type = 'message.failed'"
    assert await database.fetchval(failed, users[0].tenant_id) == 4


async def test_cancelled_caller_does_not_cancel_its_batch(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection
) -> None:
    users = await opened_users(relayed, 8)
    held = relay.hold_answer(SUBMIT_CODES)
    tasks = [asyncio.create_task(user.submit(relayed)) for user in users]
    await held.caught.wait()

    tasks[0].cancel()
    held.let_go()

    assert verdicts(await asyncio.gather(*tasks[1:])) == ["ok"] * 7
    assert tasks[0].cancelled()
    assert await count(database, "sessions", users[0].tenant_id) == 8, "its row was committed with the others"
    assert (await users[0].submit(relayed)).verdict == "none"


async def test_batch_is_committed_when_all_its_callers_are_cancelled(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection
) -> None:
    users = await opened_users(relayed, 8)
    held = relay.hold(SUBMIT_CODES)
    tasks = [asyncio.create_task(user.submit(relayed)) for user in users]
    await held.caught.wait()

    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    held.let_go()

    async def is_committed() -> bool:
        return await count(database, "sessions", users[0].tenant_id) == 8

    await until(is_committed)
    assert verdicts([await user.submit(relayed) for user in users]) == ["none"] * 8


async def test_request_cancelled_before_it_is_sent_is_withdrawn(
    relayed: Postgres, relay: Relay, database: asyncpg.Connection
) -> None:
    users = await opened_users(relayed, MAX_IN_FLIGHT + 3)
    held, tasks = await occupy(relayed, relay, users)
    waiting = [asyncio.create_task(user.submit(relayed)) for user in users[MAX_IN_FLIGHT:]]
    await asyncio.sleep(0)

    waiting[0].cancel()
    for hold in held:
        hold.let_go()

    assert verdicts(await asyncio.gather(*tasks, *waiting[1:])) == ["ok"] * (MAX_IN_FLIGHT + 2)
    assert await count(database, "sessions", users[0].tenant_id) == MAX_IN_FLIGHT + 2
    assert (await users[MAX_IN_FLIGHT].submit(relayed)).verdict == "ok", "its code was not spent"


async def test_request_that_waited_too_long_is_not_sent(
    new_postgres: NewPostgres, relay: Relay, database: asyncpg.Connection
) -> None:
    postgres = await new_postgres(relay.url, timeout_scale=0.5)
    users = new_users(MAX_IN_FLIGHT + 5)
    await open_all(await new_postgres(), users)
    held, tasks = await occupy(postgres, relay, users)
    before = postgres.round_trips
    tasks += [asyncio.create_task(user.submit(postgres)) for user in users[MAX_IN_FLIGHT:]]

    results = await asyncio.gather(*tasks, return_exceptions=True)

    assert all(isinstance(result, Unavailable) for result in results), results
    assert postgres.round_trips == before
    for hold in held:
        hold.cut()
    assert await count(database, "sessions", users[0].tenant_id) == 0
    again = await new_postgres()
    assert verdicts(await asyncio.gather(*(user.submit(again) for user in users))) == ["ok"] * len(users)
