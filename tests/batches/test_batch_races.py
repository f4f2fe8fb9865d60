"""The races of single rows, as batches of two workers and mixed with single rows: the same limits hold."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

import asyncpg
import pytest

from auth1.challenges.store import CodeResult
from auth1.core.postgres import Batched, Postgres, repeat_once
from tests.batches.conftest import RIGHT, BatchUser, NewPostgres, count, new_users, open_all, verdicts
from tests.support.effort import effort

Result = TypeVar("Result")
Submit = Callable[[Postgres], Awaitable[CodeResult]]
ROUNDS = effort(5, 30)
ATTEMPTS = 5
WRONG = b"w" * 32


@pytest.fixture(params=["batches", "batches and single rows"])
async def pools(
    request: pytest.FixtureRequest, new_postgres: NewPostgres, monkeypatch: pytest.MonkeyPatch
) -> list[Postgres]:
    """Return the pools of two workers. In one variant the second one executes single rows, like an older release."""
    pools = [await new_postgres(), await new_postgres()]
    if request.param == "batches and single rows":
        shared = Batched.call

        async def call(self: object, postgres: Postgres, row: object, find: Callable[[], Awaitable[object]]) -> object:
            batched = self
            assert isinstance(batched, Batched)
            if postgres is pools[0]:
                return await shared(batched, postgres, row, find)

            async def run() -> object:
                [result] = await postgres.call(batched.function, row)
                return result

            return await repeat_once(run, find)

        monkeypatch.setattr(Batched, "call", call)
    return pools


async def spread(pools: Sequence[Postgres], *calls: Callable[[Postgres], Awaitable[Result]]) -> list[Result]:
    """Begin all calls at once, alternating between the pools."""
    return list(await asyncio.gather(*(call(pools[n % len(pools)]) for n, call in enumerate(calls))))


async def test_guesses_in_several_batches_compare_five(pools: list[Postgres], database: asyncpg.Connection) -> None:
    for _ in range(ROUNDS):
        hot, *others = new_users(17)
        await open_all(pools[0], [hot, *others])
        guesses = [partial(hot.submit, mac=WRONG)] * 40
        calls: list[Submit] = [*guesses, *(user.submit for user in others)]
        random.shuffle(calls)

        results = await spread(pools, *calls)

        seen = Counter(verdicts(results))
        assert seen == {"wrong": ATTEMPTS, "exhausted": 40 - ATTEMPTS, "ok": len(others)}
        attempts = "select code_attempts from identifiers where tenant_id = $1 and identifier = $2"
        assert await database.fetchval(attempts, hot.tenant_id, hot.phone) == ATTEMPTS


async def test_right_codes_in_several_batches_are_accepted_once(
    pools: list[Postgres], database: asyncpg.Connection
) -> None:
    for _ in range(ROUNDS):
        users = new_users(4)
        await open_all(pools[0], users)
        twins = [BatchUser(user.tenant_id, user.phone) for user in users for _ in range(8)]
        random.shuffle(twins)

        results = await spread(pools, *(twin.submit for twin in twins))

        assert Counter(verdicts(results)) == {"ok": 4, "none": 28}
        assert await count(database, "sessions", users[0].tenant_id) == 4
        assert await count(database, "users", users[0].tenant_id) == 4


async def test_right_and_wrong_codes_are_counted_exactly(pools: list[Postgres], database: asyncpg.Connection) -> None:
    for _ in range(ROUNDS):
        [user] = new_users(1)
        await open_all(pools[0], [user])
        twins = [BatchUser(user.tenant_id, user.phone) for _ in range(4)]
        calls: list[Submit] = [*(twin.submit for twin in twins), *[partial(user.submit, mac=WRONG)] * 8]
        random.shuffle(calls)

        seen = Counter(verdicts(await spread(pools, *calls)))

        assert seen["wrong"] <= ATTEMPTS
        assert seen["ok"] == (seen["wrong"] < ATTEMPTS)
        assert await count(database, "sessions", user.tenant_id) == seen["ok"]
        failed = "select count(*) from events where tenant_id = $1 and type = 'challenge.attempt_failed'"
        assert await database.fetchval(failed, user.tenant_id) == seen["wrong"]


async def test_code_requests_for_one_identifier_in_several_batches_send_one_message(
    pools: list[Postgres], database: asyncpg.Connection
) -> None:
    for _ in range(ROUNDS):
        hot, *others = new_users(9)
        calls = [partial(BatchUser(hot.tenant_id, hot.phone).open, first_wait=30) for _ in range(16)]
        results = await spread(pools, *calls, *(user.open for user in others))

        assert Counter(one.verdict for one in results) == {"opened": 1 + len(others), "too_soon": 15}
        assert await count(database, "messages", hot.tenant_id) == 1 + len(others)


async def test_crossing_batches_over_users_with_two_identifiers_all_log_in(
    pools: list[Postgres], database: asyncpg.Connection
) -> None:
    for _ in range(ROUNDS):
        users = new_users(16)
        await open_all(pools[0], users)
        ids = [f"usr_{user.phone}" for user in users[:8]]
        tenant_id = users[0].tenant_id
        await database.executemany("insert into users (tenant_id, id) values ($1, $2)", [(tenant_id, i) for i in ids])
        link = "update identifiers set user_id = $3 where tenant_id = $1 and identifier = any($2)"
        for one, other, user_id in zip(users[:8], reversed(users[8:]), ids, strict=True):
            await database.execute(link, tenant_id, [one.phone, other.phone], user_id)
        random.shuffle(users)

        results = await spread(pools, *(user.submit for user in users))

        assert verdicts(results) == ["ok"] * 16
        assert await count(database, "users", tenant_id) == 8
        assert await count(database, "sessions", tenant_id) == 16


async def test_requests_of_one_identifier_are_executed_in_their_order(new_postgres: NewPostgres) -> None:
    postgres = await new_postgres()
    [user] = new_users(1)
    await open_all(postgres, [user])

    results = await asyncio.gather(*(user.submit(postgres, mac) for mac in (WRONG, WRONG, RIGHT, WRONG)))

    assert verdicts(results) == ["wrong", "wrong", "ok", "none"]
    assert [result.attempts_remaining for result in results[:2]] == [4, 3]
