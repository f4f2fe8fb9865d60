"""Concurrent changes of account identifiers: one owner, one phone, no session that should be revoked."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

import asyncpg
import httpx
import pytest

from tests.account.user import ME, AccountUser
from tests.conftest import new_phone
from tests.races.conftest import at_once, outcome, outcomes
from tests.support.api_client import ApiClient
from tests.support.effort import effort
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer

ROUNDS = effort(4, 20)

Call = Callable[[], Awaitable[httpx.Response]]
NewUser = Callable[..., Awaitable[AccountUser]]


@pytest.fixture
def new_user(first: ApiClient, twilio_server: TwilioServer, database: asyncpg.Connection) -> NewUser:
    """Log a user in, by default at a new tenant."""

    async def make(like: AccountUser | None = None) -> AccountUser:
        tenant = like.tenant if like else await first.tenant(rate_limit_per_hour=100)
        user = AccountUser([first], tenant, twilio_server, SmtpServer(), database, key="secret_key")
        await user.log_in()
        return user

    return make


def after_change(call: Call) -> Call:
    """Return the same call, repeated while it answers that another request is changing the account."""

    async def again() -> httpx.Response:
        answer = await call()
        while answer.status_code == 503:
            assert answer.json()["detail"] == "The account is being changed by another request; retry."
            answer = await call()
        return answer

    return again


async def phones_of(user: AccountUser) -> list[str]:
    rows = await user.database.fetch(
        "select identifier from identifiers where tenant_id = $1 and user_id = $2", user.tenant_id, user.user_id
    )
    return [row["identifier"] for row in rows]


async def is_live(user: AccountUser, session_id: str) -> bool:
    live: bool = await user.database.fetchval("select revoked_at is null from sessions where id = $1", session_id)
    return live


async def test_two_users_adding_the_same_number_concurrently_one_succeeds(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    for _ in range(ROUNDS):
        one = await new_user()
        two = replace(await new_user(like=one), apis=[apis[-1]])
        phone = new_phone()

        begun = await at_once(*(partial(who.begin, phone) for who in (one, two) for _ in range(3)))
        assert outcomes(begun) == {"200": 1, "resend_too_soon": 5}
        code = one.code(phone)
        proved = await at_once(*(partial(who.prove, phone, code) for who in (one, two) for _ in range(5)))

        assert outcomes(proved) == {"200": 1, "no_active_challenge": 9}
        winner = next(who for who, answers in ((one, proved[:5]), (two, proved[5:])) if "200" in outcomes(answers))
        assert await one.owner(phone) == winner.user_id


async def test_user_proving_two_numbers_concurrently_keeps_one(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        here = await new_user()
        there = replace(here, apis=[apis[-1]])
        there.tokens = dict(here.tokens)
        await here.log_in()
        new = {here.tokens["session_id"]: new_phone(), there.tokens["session_id"]: new_phone()}
        for who in (here, there):
            assert (await who.begin(new[who.tokens["session_id"]])).status_code == 200

        answers = await at_once(
            *(after_change(partial(who.prove, new[who.tokens["session_id"]])) for who in (here, there))
        )

        [kept] = await phones_of(here)
        alive = [session for session in new if await is_live(here, session)]
        assert [new[session] for session in alive] == [kept], "the last change ended the session of the first"
        assert "200" in outcomes(answers)
        assert set(outcomes(answers)) <= {"200", "session_revoked"}


async def test_one_of_two_concurrent_removals_is_rejected(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        user = await new_user()
        await user.database.execute(
            "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, 'email', $3)",
            *(user.tenant_id, f"{user.identifier[1:]}@example.com", user.user_id),
        )
        there = replace(user, apis=[apis[-1]])

        answers = await at_once(partial(user.remove, "phone"), partial(there.remove, "email"))

        assert sorted(answer.status_code for answer in answers) in ([204, 409], [204, 401])
        assert len(await phones_of(user)) == 1


async def test_login_with_the_old_number_leaves_no_session_after_a_change(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    for _ in range(ROUNDS):
        user = await new_user()
        there, old, new = replace(user, apis=[apis[-1]]), user.identifier, new_phone()
        old_tokens = dict(user.tokens)
        await user.log_in()
        await user.wait(old)
        assert (await user.api.post("/api/auth/request", {"phone": old}, user.api_key)).status_code == 200
        assert (await user.begin(new)).status_code == 200
        login = {"phone": old, "code": user.code(old)}
        grant = {"grant_type": "refresh_token", "refresh_token": old_tokens["refresh_token"]}

        proved, logged_in, refreshed = await at_once(
            partial(user.prove, new),
            partial(there.api.post, "/api/auth/verify", login, user.api_key),
            partial(there.api.post, "/api/auth/token", grant, user.api_key),
        )

        assert (proved.status_code, logged_in.status_code) == (200, 200)
        assert outcome(refreshed) in ("200", "session_revoked")
        assert await phones_of(user) == [new]
        account = logged_in.json()
        same = account["user_id"] == user.user_id
        assert account["is_new_user"] is not same
        assert await is_live(user, account["session_id"]) is not same
        assert not await is_live(user, old_tokens["session_id"])
        assert await is_live(user, user.tokens["session_id"])
        assert (await user.owner(old)) == (None if same else account["user_id"])


async def test_login_code_of_another_user_does_not_prove_an_added_number(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    for _ in range(ROUNDS):
        user, phone = await new_user(), new_phone()
        assert (await user.begin(phone)).status_code == 200
        await user.wait(phone)
        code = user.code(phone)

        proved, requested = await at_once(
            partial(user.prove, phone, code),
            partial(apis[-1].post, "/api/auth/request", {"phone": phone}, user.api_key),
        )

        assert requested.status_code == 200
        stranger = replace(user, tokens={})
        verified = await stranger.api.post("/api/auth/verify", {"phone": phone, "code": user.code(phone)}, user.api_key)
        assert verified.status_code == 200
        if outcome(proved) == "200":
            assert verified.json()["user_id"] == user.user_id
        else:
            assert outcome(proved) == "no_active_challenge"
            assert verified.json()["is_new_user"] is True


async def test_swapping_numbers_concurrently_does_not_deadlock(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        one = await new_user()
        two = replace(await new_user(like=one), apis=[apis[-1]])
        for who, other in ((one, two), (two, one)):
            await who.wait(other.identifier)
            assert (await who.begin(other.identifier)).status_code == 200

        answers = await at_once(
            partial(one.prove, two.identifier),
            partial(two.prove, one.identifier),
        )

        assert outcomes(answers) == {"conflict": 2}
        assert (await one.owner(one.identifier), await two.owner(two.identifier)) == (one.user_id, two.user_id)


async def test_identifiers_are_locked_in_order(new_user: NewUser, database: asyncpg.Connection, races_url: str) -> None:
    """The lock order is observed directly, because a race rarely meets a deadlock."""
    one = await new_user()
    two = await new_user(like=one)
    low, high = sorted((one, two), key=lambda user: user.identifier)
    await low.wait(high.identifier)
    assert (await low.begin(high.identifier)).status_code == 200
    lock = "select 1 from identifiers where tenant_id = $1 and identifier = $2 for no key update nowait"
    holder = await asyncpg.connect(races_url)

    async with holder.transaction():
        await holder.execute(lock, low.tenant_id, low.identifier)
        proving = asyncio.create_task(low.prove(high.identifier))
        while not await database.fetchval(
            "select count(*) from pg_stat_activity where $1 = any(pg_blocking_pids(pid))", holder.get_server_pid()
        ):
            assert not proving.done()
        await database.execute(lock, low.tenant_id, high.identifier)
    await holder.close()

    assert outcome(await proving) == "conflict"


async def test_erasure_racing_a_proof_leaves_no_user_data(new_user: NewUser, apis: list[ApiClient]) -> None:
    for _ in range(ROUNDS):
        user, phone = await new_user(), new_phone()
        assert (await user.begin(phone)).status_code == 200
        there = replace(user, apis=[apis[-1]])

        proved, erased = await at_once(partial(there.prove, phone), partial(user.call, "DELETE", ME))

        assert erased.status_code in (204, 401)
        assert proved.status_code == 200 or outcome(proved) in ("session_revoked", "no_active_challenge")
        assert await phones_of(user) == []
        assert await user.database.fetchval("select count(*) from users where id = $1", user.user_id) == 0
        assert await user.database.fetchval("select count(*) from sessions where user_id = $1", user.user_id) == 0
