"""The SQL functions called with batches, past their deadline, and beside those of the previous release."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres import ConnectionLost, repeat_once, sql_directory
from auth1.core.postgres.functions import FunctionSet, functions, install_functions, installed_functions
from tests.sql.conftest import Connect

MAC, BOX = b"m" * 32, b"vers" + b"b" * 36


def row(type_name: str, release: FunctionSet, **values: object) -> tuple[object, ...]:
    """Return a value of a composite type; what is not named is null."""
    return tuple(values.get(name) for name in release.types[type_name])


def opening(tenant: str, identifier: str, release: FunctionSet | None = None, **values: object) -> tuple[object, ...]:
    defaults: dict[str, object] = {
        "tenant_id": tenant,
        "identifier": identifier,
        "type": "email" if "@" in identifier else "phone",
        "purpose": "login",
        "challenge_id": new_id("ch"),
        "code_mac": MAC,
        "code_box": BOX,
        "expires_in": 600,
        "attempts_max": 5,
        "box_prefixes": [BOX[:4]],
        "message_id": new_id("msg"),
        "sends_per_hour": 5,
        "first_wait": 30,
        "price_microdollars": 7900,
        "budget_event_id": new_id("evt"),
        "is_suppressed": False,
        "event_id": new_id("evt"),
        "actor": "key",
        "data": "{}",
        "deadline": later(5),
    }
    return row("open_challenge", release or functions(), **(defaults | values))


def submission(tenant: str, identifier: str, mac: bytes = MAC, **values: object) -> tuple[object, ...]:
    defaults: dict[str, object] = {
        "tenant_id": tenant,
        "identifier": identifier,
        "code_macs": [mac],
        "new_user_id": new_id("usr"),
        "session_id": new_id("ses"),
        "session_expires_in": 3600,
        "session_idle_after": 3600,
        "event_id": new_id("evt"),
        "user_event_id": new_id("evt"),
        "actor": "key",
        "deadline": later(5),
    }
    return row("submit_code", functions(), **(defaults | values))


def later(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


async def open_all(connection: asyncpg.Connection, *rows: object, release: FunctionSet | None = None) -> list[Any]:
    schema = (release or functions()).schema
    return list(await connection.fetch(f"select * from {schema}.open_challenges($1::{schema}.open_challenge[])", rows))


async def submit_all(connection: asyncpg.Connection, *rows: object) -> list[str]:
    schema = functions().schema
    found = await connection.fetch(f"select * from {schema}.submit_codes($1::{schema}.submit_code[])", rows)
    return [one["verdict"] for one in found]


def delivery(tenant: str, message_id: str, **values: object) -> tuple[object, ...]:
    defaults: dict[str, object] = {
        "tenant_id": tenant,
        "message_id": message_id,
        "state": "sent",
        "provider": "twilio",
        "refunds_send": False,
        "exclude_providers": [],
        "event_id": new_id("evt"),
        "actor": "key",
    }
    return row("record_delivery", functions(), **(defaults | values))


async def record_all(connection: asyncpg.Connection, *rows: object) -> set[str]:
    schema = functions().schema
    found = await connection.fetch(f"select * from {schema}.record_deliveries($1::{schema}.record_delivery[])", rows)
    return {one["message_id"] for one in found}


def new_phones(number: int) -> list[str]:
    return [f"+1555{secrets.randbelow(10**9):09d}" for _ in range(number)]


async def test_batch_opens_and_submits_64_rows(connection: asyncpg.Connection) -> None:
    tenant, phones = new_id("tn"), new_phones(64)

    opened = await open_all(connection, *(opening(tenant, phone) for phone in phones))
    verdicts = await submit_all(connection, *(submission(tenant, phone) for phone in phones))

    assert [one["verdict"] for one in opened] == ["opened"] * 64
    assert verdicts == ["ok"] * 64
    assert await connection.fetchval("select count(*) from users where tenant_id = $1", tenant) == 64
    assert await connection.fetchval("select count(*) from events where tenant_id = $1", tenant) == 3 * 64


async def test_duplicate_identifier_in_a_batch_is_an_error(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)

    with pytest.raises(asyncpg.RaiseError, match="twice"):
        await open_all(connection, opening(tenant, phone), opening(tenant, phone))
    await open_all(connection, opening(tenant, phone))
    with pytest.raises(asyncpg.RaiseError, match="twice"):
        await submit_all(connection, submission(tenant, phone), submission(tenant, phone))

    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]


async def test_one_bad_row_among_32_fails_the_batch_and_the_others_succeed_singly(
    connection: asyncpg.Connection,
) -> None:
    tenant, phones = new_id("tn"), new_phones(32)
    await open_all(connection, *(opening(tenant, phone) for phone in phones))
    taken = new_id("ses")
    await connection.execute("insert into users (tenant_id, id) values ($1, 'usr_other')", tenant)
    await connection.execute(
        "insert into sessions (tenant_id, id, user_id, expires_at) values ($1, $2, 'usr_other', now())", tenant, taken
    )
    rows = [submission(tenant, phone, session_id=taken if n == 7 else new_id("ses")) for n, phone in enumerate(phones)]

    with pytest.raises(asyncpg.UniqueViolationError):
        await submit_all(connection, *rows)
    assert await connection.fetchval("select count(*) from sessions where tenant_id = $1", tenant) == 1

    outcomes = []
    for one in rows:
        try:
            outcomes += await submit_all(connection, one)
        except asyncpg.UniqueViolationError:
            outcomes.append("failed")
    assert outcomes == ["ok"] * 7 + ["failed"] + ["ok"] * 24


async def test_locked_row_is_left_out_of_its_batch(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant, phones = new_id("tn"), new_phones(8)
    await open_all(connection, *(opening(tenant, phone) for phone in phones))
    frozen = await connect(migrated_url)
    await connection.execute("set lock_timeout = '200ms'")

    async with frozen.transaction():
        await frozen.execute("select 1 from identifiers where identifier = $1 for update", phones[3])
        assert await submit_all(connection, *(submission(tenant, phone) for phone in phones)) == ["ok"] * 7
        again = [opening(tenant, phone, message_id=f"msg_{tenant}_{n}", first_wait=0) for n, phone in enumerate(phones)]
        opened = {one["message_id"]: one["verdict"] for one in await open_all(connection, *again)}
        assert opened == {f"msg_{tenant}_{n}": "opened" for n in range(8) if n != 3}
        with pytest.raises(asyncpg.LockNotAvailableError):
            await submit_all(connection, submission(tenant, phones[3]))
    assert await submit_all(connection, submission(tenant, phones[3])) == ["ok"]


async def test_row_of_a_locked_user_is_left_out_of_its_batch(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant, phones = new_id("tn"), new_phones(4)
    await open_all(connection, *(opening(tenant, phone, first_wait=0) for phone in phones))
    assert await submit_all(connection, *(submission(tenant, phone) for phone in phones)) == ["ok"] * 4
    await open_all(connection, *(opening(tenant, phone, first_wait=0) for phone in phones))
    rows = [submission(tenant, phone) for phone in phones]
    frozen = await connect(migrated_url)

    async with frozen.transaction():
        locked = "select from users where id = (select user_id from identifiers where identifier = $1) for update"
        await frozen.execute(locked, phones[0])
        assert await submit_all(connection, *rows) == ["ok"] * 3
    left_out = "select code_mac is not null from identifiers where tenant_id = $1 and identifier = $2"
    assert await connection.fetchval(left_out, tenant, phones[0]), "nothing of the row was spent"
    assert await submit_all(connection, rows[0]) == ["ok"]


async def test_locked_message_is_left_out_of_its_batch(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant, phones = new_id("tn"), new_phones(4)
    ids = [f"msg_{tenant}_{n}" for n in range(4)]
    rows = [opening(tenant, phone, message_id=ids[n], provider="twilio") for n, phone in enumerate(phones)]
    await open_all(connection, *rows)
    frozen = await connect(migrated_url)

    async with frozen.transaction():
        await frozen.execute("select from messages where id = $1 for update", ids[1])
        assert await record_all(connection, *(delivery(tenant, one) for one in ids)) == {ids[0], ids[2], ids[3]}
    assert await record_all(connection, delivery(tenant, ids[1]), delivery(tenant, ids[0])) == {ids[0], ids[1]}
    states = await connection.fetch("select state from messages where tenant_id = $1", tenant)
    assert [row["state"] for row in states] == ["sent"] * 4


async def submit_and_repeat(connection: asyncpg.Connection, rows: list[tuple[object, ...]]) -> list[str]:
    """Submit a batch, and singly each row that it leaves out."""
    schema = functions().schema
    found = await connection.fetch(f"select * from {schema}.submit_codes($1::{schema}.submit_code[])", rows)
    done = {one["event_id"] for one in found}
    event_id = functions().types["submit_code"].index("event_id")
    left_out = [one for one in rows if one[event_id] not in done]
    singly = [verdict for one in left_out for verdict in await submit_all(connection, one)]
    return [one["verdict"] for one in found] + singly


async def test_crossing_batches_over_users_with_two_identifiers_do_not_deadlock(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant, other = new_id("tn"), await connect(migrated_url)
    for _ in range(20):
        phones, users = new_phones(8), [new_id("usr") for _ in range(8)]
        emails = [f"{secrets.token_hex(6)}@example.com" for _ in range(8)]
        await open_all(connection, *(opening(tenant, one) for one in phones + emails))
        for phone, email, user_id in zip(phones, emails, users, strict=True):
            await connection.execute("insert into users (tenant_id, id) values ($1, $2)", tenant, user_id)
            await connection.execute(
                "update identifiers set user_id = $2 where tenant_id = $1 and identifier = any($3)",
                *(tenant, user_id, [phone, email]),
            )
        mixed = [*phones[:4], *emails[4:]], [*emails[:4], *phones[4:]]

        assert (
            await asyncio.gather(
                *(
                    submit_and_repeat(one, [submission(tenant, identifier) for identifier in batch])
                    for one, batch in zip((connection, other), mixed, strict=True)
                )
            )
            == [["ok"] * 8] * 2
        )


async def test_same_identifier_in_concurrent_batches_is_answered_once(
    connection: asyncpg.Connection, connect: Connect, migrated_url: str
) -> None:
    tenant, connections = new_id("tn"), [await connect(migrated_url) for _ in range(4)]
    hot, *rest = new_phones(33)
    await open_all(connection, *(opening(tenant, phone) for phone in (hot, *rest)))

    verdicts = await asyncio.gather(
        *(
            submit_and_repeat(one, [submission(tenant, phone) for phone in (hot, *rest[8 * n : 8 * n + 8])])
            for n, one in enumerate(connections)
        )
    )

    flat = [verdict for batch in verdicts for verdict in batch]
    assert (flat.count("ok"), flat.count("none")) == (33, 3)


async def test_nothing_is_spent_after_the_deadline_of_a_request(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    with pytest.raises(asyncpg.PostgresError, match="deadline") as raised:
        await open_all(connection, opening(tenant, phone, deadline=later(-1)))
    assert raised.value.sqlstate == "AU001"
    assert await connection.fetchval("select count(*) from identifiers where tenant_id = $1", tenant) == 0

    await open_all(connection, opening(tenant, phone))
    for mac in (MAC, b"w" * 32):
        with pytest.raises(asyncpg.PostgresError, match="deadline"):
            await submit_all(connection, submission(tenant, phone, mac, deadline=later(-1)))
    attempts = "select code_attempts from identifiers where tenant_id = $1"
    assert await connection.fetchval(attempts, tenant) == 0
    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]


async def test_identifier_type_is_stored_and_not_inferred(connection: asyncpg.Connection) -> None:
    tenant, email = new_id("tn"), "+plus@example.com"
    await open_all(connection, opening(tenant, email))
    assert await submit_all(connection, submission(tenant, email)) == ["ok"]

    assert await connection.fetchval("select type from identifiers where tenant_id = $1", tenant) == "email"
    for table in ("sessions", "challenges", "messages"):
        assert await connection.fetchval(f"select channel from {table} where tenant_id = $1", tenant) == "email"


def other_release(number: int) -> FunctionSet:
    """The same functions, as if of another release: their digest differs."""
    files = {file.name: file.read_text() for file in (sql_directory() / "functions").glob("*.sql")}
    return FunctionSet(files | {"zz.sql": f"-- release {number}\n"})


async def test_functions_of_two_releases_work_side_by_side_and_older_ones_go(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    releases = [other_release(number) for number in range(3)]
    for release in releases[:2]:
        async with connection.transaction():
            assert await install_functions(connection, release)
    assert await installed_functions(connection) == [releases[1].schema, releases[0].schema]

    await open_all(connection, opening(tenant, phone, releases[0]), release=releases[0])
    again = await open_all(connection, opening(tenant, phone, releases[1]), release=releases[1])
    assert [one["verdict"] for one in again] == ["too_soon"]

    for release in (releases[2], functions()):
        async with connection.transaction():
            assert await install_functions(connection, release)
    assert await installed_functions(connection) == [functions().schema, releases[2].schema]
    await connection.reload_schema_state()
    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]


@pytest.mark.parametrize("second_run", ["ends after the first was committed", "violates a unique key"])
async def test_repeated_statement_finds_its_own_event(second_run: str) -> None:
    committed: list[str] = []
    runs = 0

    async def run() -> str:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise ConnectionLost
        committed.append("right")  # the first run, which was waiting for the lock, is committed meanwhile
        if second_run == "violates a unique key":
            raise asyncpg.UniqueViolationError
        return "none"

    async def find() -> str | None:
        return committed[0] if committed else None

    assert await repeat_once(run, find) == "right"
    assert runs == 2
