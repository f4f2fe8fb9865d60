"""Refresh tokens are rotated; reuse after the grace period revokes the session."""

import asyncio

import asyncpg
import jwt
import pytest

from auth1.sessions import refresh_tokens
from tests.conftest import JWT_SECRET, Door, Started
from tests.sessions.conftest import NewPerson, Person


async def test_refresh_returns_new_tokens_of_the_same_session(person: Person) -> None:
    login = await person.log_in()

    answer = await person.refresh(login["refresh_token"])

    assert answer.status_code == 200
    pair = answer.json()
    assert set(pair) == {"token", "token_type", "expires_in", "refresh_token", "user_id", "session_id"}
    assert (pair["user_id"], pair["session_id"]) == (login["user_id"], login["session_id"])
    before, after = (jwt.decode(one["token"], options={"verify_signature": False}) for one in (login, pair))
    assert {name for name in before if before[name] != after[name]} <= {"jti", "iat", "exp"}
    assert before["jti"] != after["jti"]
    assert pair["refresh_token"] != login["refresh_token"]
    assert (await person.refresh(pair["refresh_token"])).status_code == 200


async def test_refresh_returns_same_tokens_within_grace_period(person: Person) -> None:
    login = await person.log_in()
    first = await person.refresh(login["refresh_token"])  # its answer was lost

    again = await person.refresh(login["refresh_token"])

    assert again.json()["refresh_token"] == first.json()["refresh_token"]
    await person.age(login["session_id"], refresh_tokens.GRACE_S - 3)
    assert (await person.refresh(login["refresh_token"])).status_code == 200


async def test_token_reuse_after_grace_period_revokes_the_session(person: Person) -> None:
    login = await person.log_in()
    pair = (await person.refresh(login["refresh_token"])).json()
    await person.age(login["session_id"], refresh_tokens.GRACE_S + 1)

    reused = await person.refresh(login["refresh_token"])

    assert (reused.status_code, reused.json()["code"]) == (401, "token_reused")
    assert not await person.is_live(pair["token"])
    for token in (pair["refresh_token"], login["refresh_token"]):
        assert (await person.refresh(token)).json()["code"] == "session_revoked"
    [event] = await person.events("session.revoked")
    assert event["subject"] == login["session_id"]
    assert "token_reused" in event["data"]


async def test_old_token_is_rejected_however_many_came_after_it(person: Person) -> None:
    login = await person.log_in()
    token = login["refresh_token"]
    for _ in range(3):
        token = (await person.refresh(token)).json()["refresh_token"]
    await person.age(login["session_id"], refresh_tokens.GRACE_S + 1)
    token = (await person.refresh(token)).json()["refresh_token"]

    assert (await person.refresh(login["refresh_token"])).json()["code"] == "token_reused"
    assert (await person.refresh(token)).json()["code"] == "session_revoked"


async def test_chain_of_lost_responses_is_tolerated_within_grace_period(person: Person) -> None:
    login = await person.log_in()
    chain = [login["refresh_token"]]
    for _ in range(3):
        chain.append((await person.refresh(chain[-1])).json()["refresh_token"])

    for token in chain[:-1]:
        answer = await person.refresh(token)
        assert (answer.status_code, answer.json().get("refresh_token")) == (200, chain[-1])


async def test_grace_period_of_a_token_starts_at_its_own_rotation(person: Person) -> None:
    login = await person.log_in()
    first = (await person.refresh(login["refresh_token"])).json()["refresh_token"]
    await person.age(login["session_id"], refresh_tokens.GRACE_S - 5)
    second = (await person.refresh(first)).json()["refresh_token"]
    await person.age(login["session_id"], 6)

    assert (await person.refresh(first)).json()["refresh_token"] == second
    assert (await person.refresh(login["refresh_token"])).json()["code"] == "token_reused"


async def test_raced_chain_gives_one_live_token_and_late_reuse_revokes_it(
    new_person: NewPerson, doors: list[Door]
) -> None:
    person = await new_person(doors)
    login = await person.log_in()
    chain = [login["refresh_token"]]
    for _ in range(2):
        chain.append((await person.refresh(chain[-1])).json()["refresh_token"])

    async def refresh(token: str) -> str:
        while (answer := await person.refresh(token)).status_code == 503:
            pass
        assert answer.status_code == 200, answer.text
        live: str = answer.json()["refresh_token"]
        return live

    given = await asyncio.gather(*(refresh(token) for token in chain * 5))

    # The live token was exchanged once; all others got its successor, or it while it was live.
    successor = set(given) - {chain[-1]}
    assert len(successor) == 1
    assert await refresh(chain[0]) in successor
    await person.age(login["session_id"], refresh_tokens.GRACE_S + 1)
    assert (await person.refresh(chain[0])).json()["code"] == "token_reused"
    assert (await person.refresh(successor.pop())).json()["code"] == "session_revoked"


async def test_twenty_concurrent_refreshes_return_one_successor(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)
    login = await person.log_in()

    answers = await asyncio.gather(*(person.refresh(login["refresh_token"]) for _ in range(20)))

    while busy := [answer for answer in answers if answer.status_code == 503]:  # the pool has its bounds
        answers = [answer for answer in answers if answer.status_code != 503]
        answers += [await person.refresh(login["refresh_token"]) for _ in busy]
    assert [answer.status_code for answer in answers] == [200] * 20
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1
    assert (await person.refresh(answers[0].json()["refresh_token"])).status_code == 200


async def test_idle_session_expires(new_person: NewPerson) -> None:
    person = await new_person(session_idle_after=3600, token_expires_in=3600)
    login = await person.log_in()
    await person.age(login["session_id"], 3590)
    pair = (await person.refresh(login["refresh_token"])).json()
    await person.age(login["session_id"], 3590)
    assert await person.is_live(pair["token"])  # the refresh moved its end

    await person.age(login["session_id"], 20)

    assert (await person.refresh(pair["refresh_token"])).json()["code"] == "session_revoked"


async def test_session_expires_despite_refreshes(new_person: NewPerson) -> None:
    person = await new_person(session_expires_in=3600)
    login = await person.log_in()
    await person.age(login["session_id"], 3500)
    pair = (await person.refresh(login["refresh_token"])).json()

    await person.age(login["session_id"], 101)

    assert (await person.refresh(pair["refresh_token"])).json()["code"] == "session_revoked"


async def test_newer_token_is_valid_after_a_backup_restore(person: Person, database: asyncpg.Connection) -> None:
    token = (await person.log_in())["refresh_token"]
    for _ in range(3):
        token = (await person.refresh(token)).json()["refresh_token"]
    await database.execute("update sessions set refreshes = 1 where tenant_id = $1", person.tenant["tenant_id"])

    assert (await person.refresh(token)).status_code == 200


@pytest.mark.parametrize(
    "token", ["", "x", "auth1_rt_", "auth1_rt_" + "0" * 26 + "_0_" + "A" * 43, "é" * 50, "a" * 257, 7]
)
async def test_malformed_refresh_token_is_rejected_without_a_database_query(person: Person, token: object) -> None:
    await person.refresh("warm")
    before = person.doors[0].services.postgres.round_trips

    refused = await person.refresh(token)  # type: ignore[arg-type]

    assert refused.status_code in (401, 422)
    assert refused.json()["code"] in ("invalid_token", "validation_failed")
    assert person.doors[0].services.postgres.round_trips == before


async def test_refresh_token_is_valid_at_its_own_tenant_and_pool_only(person: Person, new_person: NewPerson) -> None:
    login = await person.log_in()
    other = await new_person()
    sandbox = Person(person.doors, person.tenant, person.twilio, person.database, key="test_key")

    assert (await other.refresh(login["refresh_token"])).json()["code"] == "invalid_token"
    assert (await sandbox.refresh(login["refresh_token"])).json()["code"] == "invalid_token"
    assert (await person.refresh((await sandbox.log_in())["refresh_token"])).json()["code"] == "invalid_token"


async def test_refresh_token_with_any_changed_character_is_rejected(person: Person) -> None:
    token = (await person.log_in())["refresh_token"]
    for place in range(len("auth1_rt_"), len(token) - 1):  # of the last one two bits are padding
        changed = token[:place] + ("0" if token[place] != "0" else "1") + token[place + 1 :]
        assert refresh_tokens.read(person.doors[0].services.keyring, person.tenant["tenant_id"], changed) is None


async def test_sessions_survive_a_jwt_secret_rotation(person: Person, start_app: Started) -> None:
    login = await person.log_in()
    both = await start_app(JWT_SECRET="another secret that only the tests know", JWT_SECRET_PREVIOUS=JWT_SECRET)
    new = await start_app(JWT_SECRET="another secret that only the tests know")

    pair = (await person.refresh(login["refresh_token"], both)).json()

    assert (await person.refresh(pair["refresh_token"], new)).status_code == 200
    assert (await person.refresh(login["refresh_token"], new)).json()["code"] == "invalid_token"
