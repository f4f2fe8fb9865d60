"""Erasures and bans race with other operations on the same user."""

import asyncio
from collections.abc import Iterator

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from tests.conftest import new_phone
from tests.support.effort import effort
from tests.support.elapsed import end_resend_delay
from tests.support.polling import until
from tests.users.conftest import UserAdmin, at_once, new_email

ROUNDS = effort(15, 100)
IDENTIFIER = "select user_id from identifiers where tenant_id = $1 and identifier = $2"


@pytest.fixture(autouse=True)
def no_deadlock(postgres_server: PostgresServer) -> Iterator[None]:
    """Fail when a statement was aborted by a deadlock."""
    beginning = postgres_server.log.stat().st_size
    yield
    assert b"deadlock detected" not in postgres_server.log.read_bytes()[beginning:]


def distant_phone() -> str:
    """Return a number of a rarely used prefix, because a prefix allows twenty unverified codes."""
    return [new_phone() for _ in range(10)][-1]


async def orphans(database: asyncpg.Connection, admin: UserAdmin) -> int:
    """Count sessions and identifiers without a user, which foreign keys should prevent."""
    number: int = await database.fetchval(
        "select (select count(*) from sessions s where s.tenant_id = $1"
        "   and not exists (select from users u where u.tenant_id = $1 and u.id = s.user_id))"
        " + (select count(*) from identifiers i where i.tenant_id = $1 and i.user_id is not null"
        "   and not exists (select from users u where u.tenant_id = $1 and u.id = i.user_id))",
        admin.tenant_id,
    )
    return number


async def test_login_racing_an_erasure_is_erased_or_a_new_user(admin: UserAdmin, database: asyncpg.Connection) -> None:
    ends: list[str] = []
    for _ in range(ROUNDS):
        phone = distant_phone()
        erased = (await admin.make(phone=phone))["user_id"]
        code = await admin.request(phone)

        login, erasure = await at_once(
            lambda phone=phone, code=code: admin.verify(phone, code),
            lambda erased=erased: admin.call("DELETE", f"/{erased}"),
        )

        assert erasure.status_code == 204, erasure.text
        row = await database.fetchrow(IDENTIFIER, admin.tenant_id, phone)
        if login.status_code == 200:
            ends.append("erased" if login.json()["user_id"] == erased else "new")
            assert (row is None) == (login.json()["user_id"] == erased)
        else:
            assert login.json()["code"] == "no_active_challenge", login.text
            ends.append("nothing to answer")
            assert row is None
        assert await database.fetchval("select count(*) from sessions where user_id = $1", erased) == 0
    assert await orphans(database, admin) == 0
    assert set(ends) <= {"erased", "new", "nothing to answer"}


async def test_request_racing_an_erasure_sends_a_valid_code_or_none(
    admin: UserAdmin, database: asyncpg.Connection
) -> None:
    for _ in range(10):
        phone = distant_phone()
        erased = (await admin.make(phone=phone))["user_id"]

        requested, erasure = await at_once(
            lambda phone=phone: admin.api.post("/api/auth/request", {"phone": phone}, admin.tenant["api_key"]),
            lambda erased=erased: admin.call("DELETE", f"/{erased}"),
        )

        assert (requested.status_code, erasure.status_code) == (200, 204), erasure.text
        verified = await admin.verify(phone, admin.twilio.code_for(phone))
        assert verified.status_code == 200 or verified.json()["code"] == "no_active_challenge"
        assert await database.fetchval("select count(*) from users where id = $1", erased) == 0


async def test_identifier_set_during_an_erasure_is_erased(admin: UserAdmin, database: asyncpg.Connection) -> None:
    for _ in range(ROUNDS // 2):
        phone, email = new_phone(), new_email()
        erased = (await admin.make(phone=phone))["user_id"]

        patched, erasure = await at_once(
            lambda email=email, erased=erased: admin.call("PATCH", f"/{erased}", {"email": email}),
            lambda erased=erased: admin.call("DELETE", f"/{erased}"),
        )

        assert erasure.status_code == 204, erasure.text
        assert patched.status_code in (200, 404)
        left = "select count(*) from identifiers where tenant_id = $1 and identifier = any($2)"
        assert await database.fetchval(left, admin.tenant_id, [phone, email]) == 0
    assert await orphans(database, admin) == 0


async def test_erasure_waits_for_a_delivery_record(
    admin: UserAdmin, database: asyncpg.Connection, database_url: str
) -> None:
    phone = new_phone()
    user_id = (await admin.login(phone))["user_id"]
    writer = await asyncpg.connect(database_url)
    postgres = admin.api.services.postgres

    async with writer.transaction():
        await writer.execute("update messages set error = 'x' where identifier = $1", phone)
        trips = postgres.round_trips
        erasure = asyncio.create_task(admin.call("DELETE", f"/{user_id}"))

        async def has_met_the_message() -> bool:
            return postgres.round_trips >= trips + 2

        assert await until(has_met_the_message)
        # It lets go of the identifier again and again, so the other can have it, in its own order.
        await end_resend_delay(writer, phone)
    await writer.close()

    assert (await erasure).status_code == 204
    assert await database.fetchval("select count(*) from messages where identifier = $1", phone) == 0


async def test_erasure_restarts_after_a_concurrent_identifier_change(
    admin: UserAdmin, database: asyncpg.Connection, database_url: str
) -> None:
    user_id, email = (await admin.make())["user_id"], new_email()
    giver = await asyncpg.connect(database_url)

    async with giver.transaction():
        await giver.execute("select from users where id = $1 for no key update", user_id)
        await giver.execute(
            "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, 'email', $3)",
            *(admin.tenant_id, email, user_id),
        )
        await giver.execute(
            "insert into challenges (tenant_id, id, identifier, channel, expires_at)"
            " values ($1, 'ch_x', $2, 'email', now())",
            *(admin.tenant_id, email),
        )
        erasure = asyncio.create_task(admin.call("DELETE", f"/{user_id}"))

        async def waits() -> bool:
            blocked = "select count(*) from pg_stat_activity where $1 = any(pg_blocking_pids(pid))"
            waiting: bool = await database.fetchval(blocked, giver.get_server_pid()) > 0
            return waiting

        assert await until(waits)
    await giver.close()

    assert (await erasure).status_code == 204
    for table in ("identifiers", "challenges"):
        assert await database.fetchval(f"select count(*) from {table} where tenant_id = $1", admin.tenant_id) == 0


async def test_ban_racing_a_login_leaves_no_session(admin: UserAdmin, database: asyncpg.Connection) -> None:
    for _ in range(20):
        phone = distant_phone()
        user_id = (await admin.make(phone=phone))["user_id"]
        code = await admin.request(phone)

        login, banned = await at_once(
            lambda phone=phone, code=code: admin.verify(phone, code),
            lambda user_id=user_id: admin.call("POST", f"/{user_id}/ban"),
        )

        assert banned.status_code == 200
        if login.status_code == 200:
            assert not await admin.is_live(login.json())
        else:
            assert login.json()["code"] == "user_banned"
        live = "select count(*) from sessions where user_id = $1 and revoked_at is null"
        assert await database.fetchval(live, user_id) == 0


async def test_concurrent_phone_swap_leaves_one_phone_per_user(admin: UserAdmin) -> None:
    for _ in range(10):
        one, other = await admin.make(), await admin.make()

        answers = await at_once(
            lambda one=one, other=other: admin.call("PATCH", f"/{one['user_id']}", {"phone": other["phone"]}),
            lambda one=one, other=other: admin.call("PATCH", f"/{other['user_id']}", {"phone": one["phone"]}),
        )

        assert [answer.status_code for answer in answers] == [409, 409]
