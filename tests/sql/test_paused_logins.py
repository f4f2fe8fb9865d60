"""Right codes that pause for hooks: nothing is counted, consumed or created until the second run."""

from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres.functions import functions
from tests.sql.test_functions import new_phones, open_all, opening, row, submission, submit_all

WRONG = b"w" * 32
STATE = """
select code_mac is not null as is_live, code_attempts, cardinality(wrong_at) as wrong, user_id
from identifiers where tenant_id = $1 and identifier = $2
"""


async def submit(connection: asyncpg.Connection, *rows: object) -> list[Any]:
    schema = functions().schema
    return list(await connection.fetch(f"select * from {schema}.submit_codes($1::{schema}.submit_code[])", rows))


async def logged_in(connection: asyncpg.Connection, tenant: str, phone: str) -> str:
    """Log in a new user, and open the next challenge; return the user's id."""
    await open_all(connection, opening(tenant, phone, first_wait=0))
    [result] = await submit(connection, submission(tenant, phone))
    await open_all(connection, opening(tenant, phone, first_wait=0))
    return str(result["user_id"])


async def count(connection: asyncpg.Connection, table: str, tenant: str) -> int:
    number: int = await connection.fetchval(f"select count(*) from {table} where tenant_id = $1", tenant)
    return number


@pytest.mark.parametrize("pause_before", ["creation", "login"])
async def test_right_code_without_a_user_pauses_and_continues_once_allowed(
    connection: asyncpg.Connection, pause_before: str
) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    await open_all(connection, opening(tenant, phone))
    new_user_id = new_id("usr")
    fields: dict[str, Any] = {"pause_before": pause_before, "new_user_id": new_user_id}

    paused = await submit(connection, submission(tenant, phone, **fields))
    before = await connection.fetchrow(STATE, tenant, phone)
    events = await count(connection, "events", tenant)
    again = await submit(connection, submission(tenant, phone, **fields))
    [allowed] = await submit(connection, submission(tenant, phone, **fields, allowed_user_id=new_user_id))

    for [one] in (paused, again):
        assert (one["verdict"], one["user_id"], one["is_new_user"], one["events"]) == ("new", new_user_id, True, None)
    assert before is not None
    assert tuple(before) == (True, 0, 0, None)
    assert events == 1  # challenge.opened
    assert (allowed["verdict"], allowed["user_id"], allowed["is_new_user"]) == ("ok", new_user_id, True)
    assert await submit_all(connection, submission(tenant, phone, **fields)) == ["none"]


async def test_code_of_a_user_pauses_before_a_login_only(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    user_id = await logged_in(connection, tenant, phone)

    [paused] = await submit(connection, submission(tenant, phone, pause_before="login"))
    [other] = await submit(connection, submission(tenant, phone, pause_before="login", allowed_user_id=new_id("usr")))
    sessions = await count(connection, "sessions", tenant)
    verdict = await submit_all(connection, submission(tenant, phone, pause_before="creation"))

    for one in (paused, other):
        assert (one["verdict"], one["user_id"], one["is_new_user"]) == ("known", user_id, False)
    assert sessions == 1
    assert verdict == ["ok"]


async def test_user_that_appears_during_the_pause_is_not_created_twice(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    await open_all(connection, opening(tenant, phone))
    new_user_id, imported = new_id("usr"), new_id("usr")
    fields: dict[str, Any] = {"new_user_id": new_user_id, "allowed_user_id": new_user_id}
    await connection.execute("insert into users (tenant_id, id) values ($1, $2)", tenant, imported)
    await connection.execute("update identifiers set user_id = $2 where tenant_id = $1", tenant, imported)

    [paused] = await submit(connection, submission(tenant, phone, pause_before="login", **fields))
    [result] = await submit(connection, submission(tenant, phone, pause_before="creation", **fields))

    assert (paused["verdict"], paused["user_id"]) == ("known", imported)
    assert (result["verdict"], result["user_id"], result["is_new_user"]) == ("ok", imported, False)


async def test_wrong_codes_during_the_pause_are_counted_and_can_exhaust_it(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    await open_all(connection, opening(tenant, phone, attempts_max=2))
    new_user_id = new_id("usr")
    fields: dict[str, Any] = {"pause_before": "creation", "new_user_id": new_user_id}

    verdicts = []
    for mac in (b"m" * 32, WRONG, b"m" * 32, WRONG, b"m" * 32):
        verdicts += await submit_all(connection, submission(tenant, phone, mac, **fields))
    verdicts += await submit_all(connection, submission(tenant, phone, **fields, allowed_user_id=new_user_id))

    assert verdicts == ["new", "wrong", "new", "wrong", "exhausted", "exhausted"]
    assert await count(connection, "users", tenant) == 0


async def test_paused_logins_share_a_batch_with_others(connection: asyncpg.Connection) -> None:
    tenant, phones = new_id("tn"), new_phones(6)
    user_id = await logged_in(connection, tenant, phones[0])
    await open_all(connection, *(opening(tenant, phone) for phone in phones[1:]))
    allowed = new_id("usr")
    rows = [
        submission(tenant, phones[0], pause_before="login"),
        submission(tenant, phones[1], pause_before="creation"),
        submission(tenant, phones[2], WRONG, pause_before="creation"),
        submission(tenant, phones[3]),
        submission(tenant, phones[4], pause_before="login", new_user_id=allowed, allowed_user_id=allowed),
        submission(tenant, new_phones(1)[0], pause_before="login"),
    ]

    results = {row["event_id"]: row for row in await submit(connection, *rows)}

    event_id = functions().types["submit_code"].index("event_id")
    ordered = [results[str(row[event_id])] for row in rows]
    assert [row["verdict"] for row in ordered] == ["known", "new", "wrong", "ok", "ok", "none"]
    assert ordered[0]["user_id"] == user_id
    assert await count(connection, "sessions", tenant) == 3
    assert await count(connection, "users", tenant) == 3


async def test_previews_of_refreshes_share_a_batch_and_rotate_nothing(connection: asyncpg.Connection) -> None:
    tenant, phones = new_id("tn"), new_phones(3)
    await connection.execute("insert into tenants (id, name, slug, settings) values ($1, 'a', $1, '{}')", tenant)
    sessions = [new_id("ses") for _ in phones]
    await open_all(connection, *(opening(tenant, phone) for phone in phones))
    await submit_all(
        connection,
        *(submission(tenant, phone, session_id=session) for phone, session in zip(phones, sessions, strict=True)),
    )
    late = "update sessions set refreshes = 2, refreshed_at = now() - interval '1 h' where tenant_id = $1 and id = $2"
    await connection.execute(late, tenant, sessions[2])
    rows = [
        row(
            "refresh_session",
            functions(),
            tenant_id=tenant,
            session_id=session,
            number=0,
            grace_s=30,
            idle_after=60,
            event_id=new_id("evt"),
            actor="key",
            is_preview=is_preview,
        )
        for session, is_preview in zip(sessions, (True, False, True), strict=True)
    ]

    schema = functions().schema
    results = await connection.fetch(f"select * from {schema}.refresh_sessions($1::{schema}.refresh_session[])", rows)

    verdicts = {one["session_id"]: one["verdict"] for one in results}
    assert [verdicts[session] for session in sessions] == ["rotated", "rotated", "reused"]
    assert {one["identifier"] for one in results} == set(phones)
    stored = await connection.fetch("select id, refreshes, revoked_at from sessions where tenant_id = $1", tenant)
    by_id = {one["id"]: (one["refreshes"], one["revoked_at"] is not None) for one in stored}
    assert [by_id[session] for session in sessions] == [(0, False), (1, False), (2, True)]
