"""Refresh tokens are rotated; reuse after the grace period revokes the session."""

import asyncio

import asyncpg
import jwt
import pytest

from auth1.sessions import refresh_tokens
from tests.conftest import JWT_SECRET, Started
from tests.sessions.conftest import NewUser, SessionUser
from tests.support.api_client import ApiClient


async def test_refresh_returns_new_tokens_of_the_same_session(user: SessionUser) -> None:
    login = await user.log_in()

    answer = await user.refresh(login["refresh_token"])

    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == {"token", "token_type", "expires_in", "refresh_token", "user_id", "session_id"}
    assert (pair["user_id"], pair["session_id"]) == (login["user_id"], login["session_id"])
    before, after = (jwt.decode(one["token"], options={"verify_signature": False}) for one in (login, pair))
    assert {name for name in before if before[name] != after[name]} <= {"jti", "iat", "exp"}
    assert before["jti"] != after["jti"]
    assert pair["refresh_token"] != login["refresh_token"]
    assert (await user.refresh(pair["refresh_token"])).status_code == 200


async def test_refresh_returns_same_tokens_within_grace_period(user: SessionUser) -> None:
    login = await user.log_in()
    first = await user.refresh(login["refresh_token"])  # its answer was lost

    again = await user.refresh(login["refresh_token"])

    assert again.json()["refresh_token"] == first.json()["refresh_token"]
    await user.age(login["session_id"], refresh_tokens.GRACE_S - 3)
    assert (await user.refresh(login["refresh_token"])).status_code == 200


async def test_token_reuse_after_grace_period_revokes_the_session(user: SessionUser) -> None:
    login = await user.log_in()
    pair = (await user.refresh(login["refresh_token"])).json()
    await user.age(login["session_id"], refresh_tokens.GRACE_S + 1)

    reused = await user.refresh(login["refresh_token"])

    assert (reused.status_code, reused.json()["code"]) == (401, "token_reused")
    assert not await user.is_live(pair["token"])
    for token in (pair["refresh_token"], login["refresh_token"]):
        assert (await user.refresh(token)).json()["code"] == "session_revoked"
    [event] = await user.events("session.revoked")
    assert event["subject"] == login["session_id"]
    assert "token_reused" in event["data"]


async def test_old_token_is_rejected_however_many_came_after_it(user: SessionUser) -> None:
    login = await user.log_in()
    token = login["refresh_token"]
    for _ in range(3):
        token = (await user.refresh(token)).json()["refresh_token"]
    await user.age(login["session_id"], refresh_tokens.GRACE_S + 1)
    token = (await user.refresh(token)).json()["refresh_token"]

    assert (await user.refresh(login["refresh_token"])).json()["code"] == "token_reused"
    assert (await user.refresh(token)).json()["code"] == "session_revoked"


async def test_chain_of_lost_responses_is_tolerated_within_grace_period(user: SessionUser) -> None:
    login = await user.log_in()
    chain = [login["refresh_token"]]
    for _ in range(3):
        chain.append((await user.refresh(chain[-1])).json()["refresh_token"])

    for token in chain[:-1]:
        answer = await user.refresh(token)
        assert (answer.status_code, answer.json().get("refresh_token")) == (200, chain[-1])


async def test_grace_period_of_a_token_starts_at_its_own_rotation(user: SessionUser) -> None:
    login = await user.log_in()
    first = (await user.refresh(login["refresh_token"])).json()["refresh_token"]
    await user.age(login["session_id"], refresh_tokens.GRACE_S - 5)
    second = (await user.refresh(first)).json()["refresh_token"]
    await user.age(login["session_id"], 6)

    assert (await user.refresh(first)).json()["refresh_token"] == second
    assert (await user.refresh(login["refresh_token"])).json()["code"] == "token_reused"


async def test_raced_chain_gives_one_live_token_and_late_reuse_revokes_it(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    user = await new_user(apis)
    login = await user.log_in()
    chain = [login["refresh_token"]]
    for _ in range(2):
        chain.append((await user.refresh(chain[-1])).json()["refresh_token"])

    async def refresh(token: str) -> str:
        while (answer := await user.refresh(token)).status_code == 503:
            pass
        assert answer.status_code == 200, answer.text
        live: str = answer.json()["refresh_token"]
        return live

    given = await asyncio.gather(*(refresh(token) for token in chain * 5))

    # The live token was exchanged once; all others got its successor, or it while it was live.
    successor = set(given) - {chain[-1]}
    assert len(successor) == 1
    assert await refresh(chain[0]) in successor
    await user.age(login["session_id"], refresh_tokens.GRACE_S + 1)
    assert (await user.refresh(chain[0])).json()["code"] == "token_reused"
    assert (await user.refresh(successor.pop())).json()["code"] == "session_revoked"


async def test_twenty_concurrent_refreshes_return_one_successor(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    login = await user.log_in()

    answers = await asyncio.gather(*(user.refresh(login["refresh_token"]) for _ in range(20)))

    while busy := [answer for answer in answers if answer.status_code == 503]:  # the pool has its bounds
        answers = [answer for answer in answers if answer.status_code != 503]
        answers += [await user.refresh(login["refresh_token"]) for _ in busy]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await user.refresh(answers[0].json()["refresh_token"])).status_code == 200


async def test_idle_session_expires(new_user: NewUser) -> None:
    user = await new_user(session_idle_after=3600, token_expires_in=3600)
    login = await user.log_in()
    await user.age(login["session_id"], 3590)
    pair = (await user.refresh(login["refresh_token"])).json()
    await user.age(login["session_id"], 3590)
    assert await user.is_live(pair["token"])  # the refresh moved its end

    await user.age(login["session_id"], 20)

    assert (await user.refresh(pair["refresh_token"])).json()["code"] == "session_revoked"


async def test_session_expires_despite_refreshes(new_user: NewUser) -> None:
    user = await new_user(session_expires_in=3600)
    login = await user.log_in()
    await user.age(login["session_id"], 3500)
    pair = (await user.refresh(login["refresh_token"])).json()

    await user.age(login["session_id"], 101)

    assert (await user.refresh(pair["refresh_token"])).json()["code"] == "session_revoked"


async def test_newer_token_is_valid_after_a_backup_restore(user: SessionUser, database: asyncpg.Connection) -> None:
    token = (await user.log_in())["refresh_token"]
    for _ in range(3):
        token = (await user.refresh(token)).json()["refresh_token"]
    await database.execute("update sessions set refreshes = 1 where tenant_id = $1", user.tenant["tenant_id"])

    assert (await user.refresh(token)).status_code == 200


@pytest.mark.parametrize(
    "token", ["", "x", "auth1_rt_", "auth1_rt_" + "0" * 26 + "_0_" + "A" * 43, "é" * 50, "a" * 257, 7]
)
async def test_malformed_refresh_token_is_rejected_without_a_database_query(user: SessionUser, token: object) -> None:
    await user.refresh("warm")
    before = user.apis[0].services.postgres.round_trips

    rejected = await user.refresh(token)  # type: ignore[arg-type]

    assert rejected.status_code in (401, 422)
    assert rejected.json()["code"] in ("invalid_token", "validation_failed")
    assert user.apis[0].services.postgres.round_trips == before


async def test_refresh_token_is_valid_at_its_own_tenant_and_pool_only(user: SessionUser, new_user: NewUser) -> None:
    login = await user.log_in()
    other = await new_user()
    sandbox = SessionUser(user.apis, user.tenant, user.twilio, user.database, key="test_key")

    assert (await other.refresh(login["refresh_token"])).json()["code"] == "invalid_token"
    assert (await sandbox.refresh(login["refresh_token"])).json()["code"] == "invalid_token"
    assert (await user.refresh((await sandbox.log_in())["refresh_token"])).json()["code"] == "invalid_token"


async def test_refresh_token_with_any_changed_character_is_rejected(user: SessionUser) -> None:
    token = (await user.log_in())["refresh_token"]
    for place in range(len("auth1_rt_"), len(token) - 1):  # of the last one two bits are padding
        changed = token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]
        assert refresh_tokens.read(user.apis[0].services.keyring, user.tenant["tenant_id"], changed) is None


async def test_sessions_survive_a_jwt_secret_rotation(user: SessionUser, start_app: Started) -> None:
    login = await user.log_in()
    both = await start_app(JWT_SECRET="another secret that only the tests know", JWT_SECRET_PREVIOUS=JWT_SECRET)
    new = await start_app(JWT_SECRET="another secret that only the tests know")

    pair = (await user.refresh(login["refresh_token"], both)).json()

    assert (await user.refresh(pair["refresh_token"], new)).status_code == 200
    assert (await user.refresh(login["refresh_token"], new)).json()["code"] == "invalid_token"
