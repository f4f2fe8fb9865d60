"""Checks and refreshes of sessions share statements, and keep tenants and sessions apart."""

import asyncio
from collections import Counter

import asyncpg

from auth1.core.postgres import Postgres
from auth1.sessions import store
from auth1.sessions.refresh_tokens import Refresh
from auth1.sessions.store import Refreshed
from tests.batches.conftest import CONTEXT, BatchUser, NewPostgres, count, new_users, open_all, verdicts
from tests.faults.relay import Relay


async def logged_in(postgres: Postgres, database: asyncpg.Connection, number: int) -> list[BatchUser]:
    """Return users of a new tenant with a session each."""
    users = new_users(number)
    tenant_id = users[0].tenant_id
    await database.execute("insert into tenants (id, slug, name) values ($1, $1, 'Test')", tenant_id)
    await open_all(postgres, users)
    assert verdicts(await asyncio.gather(*(user.submit(postgres) for user in users))) == ["ok"] * number
    return users


async def refresh(postgres: Postgres, user: BatchUser, number: int = 0) -> Refreshed | None:
    return await store.refresh_session(postgres, user.tenant_id, Refresh(user.session_id, number), 600, CONTEXT)


async def test_checks_of_one_moment_share_a_statement(postgres: Postgres, database: asyncpg.Connection) -> None:
    users = await logged_in(postgres, database, 30)
    before = postgres.round_trips

    found = await asyncio.gather(
        *(store.find_session(postgres, user.tenant_id, user.session_id) for user in users * 2),
        store.find_session(postgres, users[0].tenant_id, "ses_unknown"),
    )

    assert postgres.round_trips - before == 1
    assert [one.phone if one else None for one in found] == [*(user.phone for user in users * 2), None]


async def test_session_of_another_tenant_is_not_found_in_a_shared_batch(
    postgres: Postgres, database: asyncpg.Connection
) -> None:
    [owner] = await logged_in(postgres, database, 1)
    [other] = await logged_in(postgres, database, 1)

    found = await asyncio.gather(
        store.find_session(postgres, other.tenant_id, owner.session_id),
        store.find_session(postgres, owner.tenant_id, owner.session_id),
        store.find_session(postgres, other.tenant_id, owner.session_id),
    )
    assert [one is not None for one in found] == [False, True, False]

    stolen = BatchUser(other.tenant_id, session_id=owner.session_id)
    refreshed = await asyncio.gather(*(refresh(postgres, one) for one in (stolen, owner, stolen)))
    assert [one.verdict if one else None for one in refreshed] == [None, "rotated", None]


async def test_refreshes_of_one_moment_share_a_statement(postgres: Postgres, database: asyncpg.Connection) -> None:
    users = await logged_in(postgres, database, 20)
    ended, copied, *live = users
    await store.end_session(
        postgres, ended.tenant_id, ended.session_id, await owner(database, ended), context=CONTEXT, reason="logout"
    )
    for number in range(2):
        assert await refresh(postgres, copied, number)
    await database.execute("update sessions set rotated_at = '{}' where id = $1", copied.session_id)
    before = postgres.round_trips

    results = await asyncio.gather(
        *(refresh(postgres, user) for user in users), refresh(postgres, BatchUser(ended.tenant_id))
    )

    assert postgres.round_trips - before == 1
    assert results[-1] is None
    assert [one and (one.verdict, one.number) for one in results[:-1]] == [
        ("revoked", 0),
        ("reused", 2),
        *[("rotated", 1)] * len(live),
    ]
    assert [one.identifier for one in results if one and one.verdict == "rotated"] == [user.phone for user in live]
    assert await count(database, "sessions", ended.tenant_id) == 20
    revoked = "select count(*) from sessions where tenant_id = $1 and revoked_at is not null"
    assert await database.fetchval(revoked, ended.tenant_id) == 2
    event = "select count(*) from events where tenant_id = $1 and type = 'session.revoked' and subject = $2"
    assert await database.fetchval(event, ended.tenant_id, copied.session_id) == 1


async def owner(database: asyncpg.Connection, user: BatchUser) -> str:
    return str(await database.fetchval("select user_id from sessions where id = $1", user.session_id))


async def test_one_token_refreshed_by_two_workers_is_rotated_once(
    new_postgres: NewPostgres, database: asyncpg.Connection
) -> None:
    pools = [await new_postgres(), await new_postgres()]
    hot, *others = await logged_in(pools[0], database, 9)

    results = await asyncio.gather(
        *(refresh(pools[n % 2], hot) for n in range(16)),
        *(refresh(pools[n % 2], user) for n, user in enumerate(others)),
    )

    assert Counter(one.verdict for one in results if one) == {"rotated": 1 + len(others), "repeated": 15}
    assert {one.number for one in results if one} == {1}
    assert await database.fetchval("select refreshes from sessions where id = $1", hot.session_id) == 1


async def test_held_lock_stalls_no_other_refresh(postgres: Postgres, database: asyncpg.Connection) -> None:
    users = await logged_in(postgres, database, 8)

    async with database.transaction():
        await database.execute("select from sessions where id = $1 for update", users[3].session_id)
        stalled = asyncio.create_task(refresh(postgres, users[3]))
        others = await asyncio.gather(*(refresh(postgres, user) for user in users if user is not users[3]))
        assert [one.verdict for one in others if one] == ["rotated"] * 7
        assert not stalled.done()
    result = await stalled
    assert result is not None
    assert result.verdict == "rotated"


async def test_lost_connection_of_a_refresh_batch_returns_the_live_tokens(
    new_postgres: NewPostgres, relay: Relay, database: asyncpg.Connection
) -> None:
    postgres = await new_postgres(relay.url)
    users = await logged_in(postgres, database, 8)
    lost = relay.lose_answer("refresh_sessions(")

    results = await asyncio.gather(*(refresh(postgres, user) for user in users))

    assert lost.caught.is_set()
    assert [one and one.number for one in results] == [1] * 8
    total = "select sum(refreshes) from sessions where tenant_id = $1"
    assert await database.fetchval(total, users[0].tenant_id) == 8
