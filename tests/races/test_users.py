"""Logins race with bans and erasures of their user."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import httpx
import pytest

from tests.races.conftest import NewUser, RaceUser, outcome
from tests.support.api_client import ApiClient
from tests.support.effort import effort

ROUNDS = effort(5, 30)


async def race(login: Callable[[], Awaitable[httpx.Response]], act: Callable[[], Awaitable[None]]) -> httpx.Response:
    """Start both concurrently; return the response of the login."""
    barrier = asyncio.Barrier(2)

    async def begin_login() -> httpx.Response:
        await barrier.wait()
        return await login()

    async def begin_act() -> None:
        await barrier.wait()
        await act()

    answer, _ = await asyncio.gather(begin_login(), begin_act())
    return answer


async def ban(database: asyncpg.Connection, tenant_id: str, user_id: str) -> None:
    """Run two statements: the second sees the sessions of logins that the first waited for."""
    async with database.transaction():
        await database.execute(
            "update users set banned_until = 'infinity' where tenant_id = $1 and id = $2", tenant_id, user_id
        )
        await database.execute(
            "update sessions set revoked_at = now() where tenant_id = $1 and user_id = $2 and revoked_at is null",
            *(tenant_id, user_id),
        )


async def erase(database: asyncpg.Connection, tenant_id: str, user_id: str) -> None:
    """Delete the identifiers first, then the user, in the lock order of a login."""
    async with database.transaction():
        await database.execute(
            "select 1 from identifiers where tenant_id = $1 and user_id = $2 order by identifier for update",
            *(tenant_id, user_id),
        )
        await database.execute("delete from users where tenant_id = $1 and id = $2", tenant_id, user_id)


async def logged_in(user: RaceUser) -> str:
    """Log in and request the next code; return the user's id."""
    await user.open_challenge()
    verified = await user.answer(user.code)
    assert verified.status_code == 200, verified.text
    await user.open_challenge()
    return str(verified.json()["user_id"])


async def test_ban_racing_a_login_revokes_all_sessions(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        user = await new_user(apis)
        user_id = await logged_in(user)

        answer = await race(
            lambda user=user: user.answer(user.code),  # type: ignore[misc]
            lambda user=user, user_id=user_id: ban(user.database, user.tenant_id, user_id),  # type: ignore[misc]
        )

        assert outcome(answer) in ("200", "user_banned")
        sessions = await user.database.fetch("select revoked_at from sessions where user_id = $1", user_id)
        assert len(sessions) == (2 if answer.status_code == 200 else 1)
        assert all(row["revoked_at"] is not None for row in sessions)


async def test_ban_is_reported_after_a_correct_code_only(user: RaceUser) -> None:
    user_id = await logged_in(user)
    await ban(user.database, user.tenant_id, user_id)

    assert outcome(await user.answer(user.wrong())) == "invalid_code"
    rejected = await user.answer(user.code)

    assert (rejected.status_code, outcome(rejected)) == (403, "user_banned")
    assert outcome(await user.answer(user.code)) == "no_active_challenge"
    assert (await user.ask()).status_code == 200, "a code request does not reveal the ban"
    assert await user.events("login.denied") == 1
    assert await user.count("sessions") == 1


async def test_user_can_log_in_after_the_ban_expires(user: RaceUser) -> None:
    user_id = await logged_in(user)
    await user.database.execute("update users set banned_until = now() where id = $1", user_id)

    verified = await user.answer(user.code)

    assert verified.status_code == 200
    assert verified.json()["user_id"] == user_id


async def test_erasure_racing_a_login_leaves_no_user_data(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        user = await new_user(apis)
        erased = await logged_in(user)

        answer = await race(
            lambda user=user: user.answer(user.code),  # type: ignore[misc]
            lambda user=user, erased=erased: erase(user.database, user.tenant_id, erased),  # type: ignore[misc]
        )

        assert answer.status_code == 200, answer.text
        now_known_as = (await user.row())["user_id"]
        assert await user.database.fetchval("select count(*) from users where id = $1", erased) == 0
        assert await user.database.fetchval("select count(*) from sessions where user_id = $1", erased) == 0
        if answer.json()["user_id"] == erased:  # the login came first, and was erased with all else
            assert now_known_as is None
        else:
            assert answer.json()["is_new_user"] is True
            assert now_known_as == answer.json()["user_id"]
            sessions = "select count(*) from sessions where user_id = $1"
            assert await user.database.fetchval(sessions, now_known_as) == 1


@pytest.mark.parametrize("first_to_come", ["login", "erasure"])
async def test_login_waiting_for_an_erasure_creates_a_new_user(
    user: RaceUser, races_url: str, first_to_come: str
) -> None:
    erased = await logged_in(user)
    eraser = await asyncpg.connect(races_url)

    async with eraser.transaction():
        await eraser.execute("select 1 from identifiers where user_id = $1 for update", erased)
        login = asyncio.create_task(user.answer(user.code))
        if first_to_come == "login":
            while not await user.database.fetchval(
                "select count(*) from pg_stat_activity where $1 = any(pg_blocking_pids(pid))", eraser.get_server_pid()
            ):
                assert not login.done()
        await eraser.execute("delete from users where id = $1", erased)
    await eraser.close()

    verified = await login
    assert verified.status_code == 200, verified.text
    assert verified.json()["is_new_user"] is True
    assert verified.json()["user_id"] != erased
