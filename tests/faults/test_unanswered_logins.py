"""A verification that was committed and answered with 503: its repeat gets the session, once."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from auth1.dev.redis import RedisServer
from auth1.sessions.unanswered import MAX_TRIED
from tests.conftest import new_phone
from tests.faults.conftest import Launcher, tell_redis
from tests.faults.relay import Relay
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

SUBMIT_CODE = "submit_codes("  # parts of the statements that no other statement has
FIND_SUBMITTED = "case e.type when 'challenge.answered' then 'ok'"
SESSIONS = "select id from sessions where user_id = (select user_id from identifiers where identifier = $1)"


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay) -> AsyncIterator[Auth1]:
    async with module_launcher(DATABASE_URL=relay.url) as running:
        yield running


async def lose_login(server: Auth1, relay: Relay, phone: str, code: str, key: str) -> None:
    """Verify a right code; the login is committed, and its request gets 503."""
    lost = relay.lose_answer(SUBMIT_CODE)
    relay.hold(FIND_SUBMITTED).cut()
    answered = await server.answer(phone, code, key)
    assert lost.caught.is_set()
    assert answered.status_code == 503, answered.text


async def test_repeat_of_an_unanswered_login_gets_its_session(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)

    answered = await server.answer(phone, code, key)

    assert answered.status_code == 200, answered.text
    assert answered.json()["is_new_user"] is True
    assert [row["id"] for row in await database.fetch(SESSIONS, phone)] == [answered.json()["session_id"]]
    bearer = {"x-api-key": key, "authorization": f"Bearer {answered.json()['token']}"}
    assert (await server.client.get("/api/auth/me", headers=bearer)).status_code == 200
    opened = await database.fetch(
        "select id from events where data ->> 'session_id' = $1", answered.json()["session_id"]
    )
    assert [server.text().count(event["id"]) for event in opened] == [1], "its event is in the log, once"


async def test_session_of_an_unanswered_login_is_returned_to_one_caller(
    server: Auth1, relay: Relay, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)

    answers = await asyncio.gather(*(server.answer(phone, code, key) for _ in range(10)))

    codes = sorted(answer.json().get("code", "ok") for answer in answers)
    assert codes == [*["no_active_challenge"] * 9, "ok"]
    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_login_that_is_kept_again_after_its_repeat_gives_no_session(
    server: Auth1, relay: Relay, own_redis: RedisServer, carrier: TwilioServer, phone: str
) -> None:
    """As by a process whose first write had no reply, or after a failover of Redis."""
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    before = await kept_keys(own_redis)
    await lose_login(server, relay, phone, code, key)
    [kept] = await kept_keys(own_redis) - before
    fields = await tell_redis(own_redis, "HGETALL", kept)
    assert isinstance(fields, list)
    assert (await server.answer(phone, code, key)).status_code == 200
    await tell_redis(own_redis, "DEL", kept)
    await tell_redis(own_redis, "HSET", kept, *fields)

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_login_that_lost_redis_too_is_returned_when_redis_is_back(
    server: Auth1, relay: Relay, own_redis: RedisServer, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    own_redis.freeze()
    try:
        await lose_login(server, relay, phone, code, key)
        meanwhile = await server.answer(phone, code, key)
    finally:
        own_redis.thaw()

    assert (meanwhile.status_code, meanwhile.json()["code"]) == (503, "unavailable")
    await until(lambda: is_free(server, phone, code, key))


async def test_wrong_code_does_not_get_the_session_of_an_unanswered_login(
    server: Auth1, relay: Relay, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)

    wrong = await server.answer(phone, f"{(int(code) + 1) % 1_000_000:06}", key)

    assert wrong.json()["code"] == "no_active_challenge"
    assert (await server.answer(phone, code, key)).status_code == 200


async def test_guesses_cannot_find_the_session_of_an_unanswered_login(
    server: Auth1, relay: Relay, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)

    for guess in range(1, MAX_TRIED + 1):
        wrong = await server.answer(phone, f"{(int(code) + guess) % 1_000_000:06}", key)
        assert wrong.json()["code"] == "no_active_challenge"

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_last_allowed_guess_does_not_end_an_unanswered_login(
    server: Auth1, relay: Relay, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)

    for guess in range(1, MAX_TRIED):
        await server.answer(phone, f"{(int(code) + guess) % 1_000_000:06}", key)

    assert (await server.answer(phone, code, key)).status_code == 200


async def test_other_challenge_does_not_get_the_session_of_an_unanswered_login(
    server: Auth1, relay: Relay, carrier: TwilioServer, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    challenge_id = (await server.ask(phone, key)).json()["challenge_id"]
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)
    body = {"phone": phone, "code": code}

    other = await server.post("/api/auth/verify", body | {"challenge_id": "ch_" + "0" * 26}, key)
    own = await server.post("/api/auth/verify", body | {"challenge_id": challenge_id}, key)

    assert other.json()["code"] == "no_active_challenge"
    assert own.status_code == 200, own.text


async def test_ended_session_of_an_unanswered_login_is_not_returned(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)
    await database.execute(f"update sessions set revoked_at = now() where id in ({SESSIONS})", phone)

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_unanswered_login_is_not_returned_after_the_tenant_ended_all_sessions(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    key = tenant["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)
    await database.execute("update tenants set sessions_from = now() where id = $1", tenant["tenant_id"])

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_session_that_was_used_is_not_returned(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)
    await database.execute(f"update sessions set last_used_at = now() where id in ({SESSIONS})", phone)

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_events_of_another_identifier_give_no_session(
    server: Auth1, relay: Relay, carrier: TwilioServer, own_redis: RedisServer, database: asyncpg.Connection, phone: str
) -> None:
    key, other = (await server.tenant())["api_key"], new_phone()
    await server.ask(other, key)
    login = (await server.answer(other, carrier.code_for(other), key)).json()  # its session was not used yet
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await lose_login(server, relay, phone, code, key)
    event = "select id from events where type = 'challenge.answered' and data ->> 'session_id' = $1"

    for one in await kept_keys(own_redis):  # as a person who can write to Redis would
        codes = await tell_redis(own_redis, "HKEYS", one)
        assert isinstance(codes, list)
        for mac in codes:
            await tell_redis(own_redis, "HSET", one, mac, await database.fetchval(event, login["session_id"]))

    assert (await server.answer(phone, code, key)).json()["code"] == "no_active_challenge"


async def test_login_that_waits_for_a_standby_is_returned_when_the_standby_is_back(
    server: Auth1, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    code = carrier.code_for(phone)
    await set_standby(database, "absent")
    try:
        answered = await server.answer(phone, code, key)
    finally:
        await set_standby(database, "")

    assert answered.status_code == 503, answered.text
    await until(lambda: is_free(server, phone, code, key))


async def kept_keys(redis: RedisServer) -> set[str]:
    """Return the keys of the unanswered logins."""
    keys = await tell_redis(redis, "KEYS", "unanswered:*")
    assert isinstance(keys, list)
    return set(keys)


async def is_free(server: Auth1, phone: str, code: str, key: str) -> bool:
    """Repeat a verification; return whether it succeeded. It may get 503 while the first one holds its lock."""
    answered = await server.answer(phone, code, key)
    assert answered.status_code in (200, 503), answered.text
    return answered.status_code == 200


async def set_standby(database: asyncpg.Connection, name: str) -> None:
    """Let commits wait for a standby, which does not exist; with an empty name for none."""
    await database.execute(f"alter system set synchronous_standby_names = '{name}'")
    await database.execute("select pg_reload_conf()")
    while await database.fetchval("show synchronous_standby_names") != name:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
