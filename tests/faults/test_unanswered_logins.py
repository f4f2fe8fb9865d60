"""A verification that was committed and answered with 503: its repeat gets the session, once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.dev.redis import RedisServer
from auth1.sessions.unanswered import MAX_TRIED
from tests.conftest import new_phone
from tests.faults.conftest import Launcher, redis_command
from tests.faults.relay import Relay
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

SUBMIT_CODE = "submit_codes("  # parts of the statements that no other statement has
FIND_SUBMITTED = "case e.type when 'challenge.answered' then 'ok'"
USER = "select user_id from identifiers where identifier = $1"
SESSIONS = f"select id from sessions where user_id = ({USER})"


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay) -> AsyncIterator[Auth1]:
    async with module_launcher(DATABASE_URL=relay.url) as running:
        yield running


@dataclass
class Login:
    """A login by phone whose code was sent."""

    server: Auth1
    relay: Relay
    tenant: dict[str, Any]
    challenge_id: str
    phone: str
    code: str

    @property
    def key(self) -> str:
        return str(self.tenant["api_key"])

    async def lose(self) -> None:
        """Verify the right code; the login is committed, and its request gets 503."""
        lost = self.relay.lose_answer(SUBMIT_CODE)
        self.relay.hold(FIND_SUBMITTED).cut()
        answered = await self.repeat()
        assert lost.caught.is_set()
        assert answered.status_code == 503, answered.text

    async def repeat(self) -> httpx.Response:
        """Verify the right code."""
        return await self.server.answer(self.phone, self.code, self.key)

    async def guess(self, distance: int = 1) -> httpx.Response:
        """Verify a wrong code, so far from the right one."""
        wrong = (int(self.code) + distance) % 1_000_000
        return await self.server.answer(self.phone, f"{wrong:06}", self.key)

    async def succeeds(self) -> bool:
        """Repeat the verification; return whether it succeeded. It may get 503 while the first one holds its lock."""
        answered = await self.repeat()
        assert answered.status_code in (200, 503), answered.text
        return answered.status_code == 200


@pytest.fixture
async def login(server: Auth1, relay: Relay, carrier: TwilioServer, phone: str) -> Login:
    """Return a login whose code was sent."""
    tenant = await server.tenant()
    requested = await server.ask(phone, tenant["api_key"])
    return Login(server, relay, tenant, requested.json()["challenge_id"], phone, carrier.code_for(phone))


@pytest.fixture
async def unanswered_login(login: Login) -> Login:
    """Return a login that was committed and answered with 503."""
    await login.lose()
    return login


async def test_repeat_of_an_unanswered_login_gets_its_session(
    unanswered_login: Login, database: asyncpg.Connection
) -> None:
    login, server = unanswered_login, unanswered_login.server
    answered = await login.repeat()

    assert answered.status_code == 200, answered.text
    assert answered.json()["is_new_user"] is True
    assert [row["id"] for row in await database.fetch(SESSIONS, login.phone)] == [answered.json()["session_id"]]
    bearer = {"x-api-key": login.key, "authorization": f"Bearer {answered.json()['token']}"}
    assert (await server.client.get("/api/auth/me", headers=bearer)).status_code == 200
    opened = await database.fetch(
        "select id from events where data ->> 'session_id' = $1", answered.json()["session_id"]
    )
    assert [server.text().count(event["id"]) for event in opened] == [1], "its event is in the log, once"


async def test_session_of_an_unanswered_login_is_returned_to_one_caller(unanswered_login: Login) -> None:
    answers = await asyncio.gather(*(unanswered_login.repeat() for _ in range(10)))

    codes = sorted(answer.json().get("code", "ok") for answer in answers)
    assert codes == [*["no_active_challenge"] * 9, "ok"]
    assert (await unanswered_login.repeat()).json()["code"] == "no_active_challenge"


async def test_login_that_is_kept_again_after_its_repeat_gives_no_session(login: Login, own_redis: RedisServer) -> None:
    """As by a process whose first write had no reply, or after a failover of Redis."""
    before = await kept_keys(own_redis)
    await login.lose()
    [kept] = await kept_keys(own_redis) - before
    fields = await redis_command(own_redis, "HGETALL", kept)
    assert isinstance(fields, list)
    assert (await login.repeat()).status_code == 200
    await redis_command(own_redis, "DEL", kept)
    await redis_command(own_redis, "HSET", kept, *fields)

    assert (await login.repeat()).json()["code"] == "no_active_challenge"


async def test_login_that_lost_redis_too_is_returned_when_redis_is_back(login: Login, own_redis: RedisServer) -> None:
    own_redis.freeze()
    try:
        await login.lose()
        meanwhile = await login.repeat()
    finally:
        own_redis.thaw()

    assert (meanwhile.status_code, meanwhile.json()["code"]) == (503, "unavailable")
    await until(login.succeeds)


async def test_wrong_code_does_not_get_the_session_of_an_unanswered_login(unanswered_login: Login) -> None:
    assert (await unanswered_login.guess()).json()["code"] == "no_active_challenge"

    assert (await unanswered_login.repeat()).status_code == 200


async def test_guesses_cannot_find_the_session_of_an_unanswered_login(unanswered_login: Login) -> None:
    for distance in range(1, MAX_TRIED + 1):
        assert (await unanswered_login.guess(distance)).json()["code"] == "no_active_challenge"

    assert (await unanswered_login.repeat()).json()["code"] == "no_active_challenge"


async def test_last_allowed_guess_does_not_end_an_unanswered_login(unanswered_login: Login) -> None:
    for distance in range(1, MAX_TRIED):
        await unanswered_login.guess(distance)

    assert (await unanswered_login.repeat()).status_code == 200


async def test_other_challenge_does_not_get_the_session_of_an_unanswered_login(unanswered_login: Login) -> None:
    server, key = unanswered_login.server, unanswered_login.key
    body = {"phone": unanswered_login.phone, "code": unanswered_login.code}

    other = await server.post("/api/auth/verify", body | {"challenge_id": "ch_" + "0" * 26}, key)
    own = await server.post("/api/auth/verify", body | {"challenge_id": unanswered_login.challenge_id}, key)

    assert other.json()["code"] == "no_active_challenge"
    assert own.status_code == 200, own.text


async def test_ended_session_of_an_unanswered_login_is_not_returned(
    unanswered_login: Login, database: asyncpg.Connection
) -> None:
    login = unanswered_login
    user_id = await database.fetchval(USER, login.phone)
    sessions = f"/api/admin/tenants/{login.tenant['tenant_id']}/users/{user_id}/sessions"
    assert (await login.server.operator("DELETE", sessions)).status_code == 204

    assert (await login.repeat()).json()["code"] == "no_active_challenge"


async def test_unanswered_login_is_not_returned_after_the_tenant_ended_all_sessions(unanswered_login: Login) -> None:
    sessions = f"/api/admin/tenants/{unanswered_login.tenant['tenant_id']}/sessions"
    assert (await unanswered_login.server.operator("DELETE", sessions)).status_code == 204

    assert (await unanswered_login.repeat()).json()["code"] == "no_active_challenge"


async def test_session_that_was_used_is_not_returned(unanswered_login: Login, database: asyncpg.Connection) -> None:
    used = f"update sessions set last_used_at = now() where id in ({SESSIONS})"  # no client has its token to use it
    await database.execute(used, unanswered_login.phone)

    assert (await unanswered_login.repeat()).json()["code"] == "no_active_challenge"


async def test_events_of_another_identifier_give_no_session(
    login: Login, carrier: TwilioServer, own_redis: RedisServer, database: asyncpg.Connection
) -> None:
    server, other = login.server, new_phone()
    await server.ask(other, login.key)
    earlier = (await server.answer(other, carrier.code_for(other), login.key)).json()  # its session was not used yet
    await login.lose()
    event = "select id from events where type = 'challenge.answered' and data ->> 'session_id' = $1"

    for one in await kept_keys(own_redis):  # as a person who can write to Redis would
        codes = await redis_command(own_redis, "HKEYS", one)
        assert isinstance(codes, list)
        for mac in codes:
            await redis_command(own_redis, "HSET", one, mac, await database.fetchval(event, earlier["session_id"]))

    assert (await login.repeat()).json()["code"] == "no_active_challenge"


async def test_login_that_waits_for_a_standby_is_returned_when_the_standby_is_back(
    login: Login, database: asyncpg.Connection
) -> None:
    await set_standby(database, "absent")
    try:
        answered = await login.repeat()
    finally:
        await set_standby(database, "")

    assert answered.status_code == 503, answered.text
    await until(login.succeeds)


async def kept_keys(redis: RedisServer) -> set[str]:
    """Return the keys of the unanswered logins."""
    keys = await redis_command(redis, "KEYS", "unanswered:*")
    assert isinstance(keys, list)
    return set(keys)


async def set_standby(database: asyncpg.Connection, name: str) -> None:
    """Let commits wait for a standby, which does not exist; with an empty name for none."""
    await database.execute(f"alter system set synchronous_standby_names = '{name}'")
    await database.execute("select pg_reload_conf()")
    while await database.fetchval("show synchronous_standby_names") != name:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
