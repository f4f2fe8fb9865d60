"""Revoked sessions are rejected by every instance."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import httpx
import pytest

from auth1.core.postgres import ConnectionLost, Postgres, Transaction
from auth1.sessions import cache
from tests.conftest import Started
from tests.sessions.conftest import LOGOUT, SESSIONS, NewUser, SessionUser
from tests.support.api_client import ApiClient
from tests.support.polling import until

EXPIRING = (-2, *range(30_001))  # in ms; -2: expired meanwhile, and -1 would be never


@pytest.fixture
async def everywhere(new_user: NewUser, apis: list[ApiClient]) -> SessionUser:
    """Return a user whose calls alternate between two instances."""
    return await new_user(apis)


async def two_logins(user: SessionUser) -> tuple[dict[str, str], dict[str, str]]:
    here, there = await user.log_in(), await user.log_in()
    assert await user.is_live(here["token"])  # known to every instance's cache now
    assert await user.is_live(there["token"])
    return here, there


@pytest.mark.parametrize(
    ("scope", "here_lives", "there_lives"), [("local", False, True), ("others", True, False), ("global", False, False)]
)
async def test_logout_revokes_the_sessions_of_its_scope(
    everywhere: SessionUser, scope: str, here_lives: bool, there_lives: bool
) -> None:
    here, there = await two_logins(everywhere)

    answer = await everywhere.call("POST", LOGOUT, here["token"], {"scope": scope})

    assert answer.status_code == 204
    assert await everywhere.is_live(here["token"]) is here_lives
    assert await everywhere.is_live(there["token"]) is there_lives
    for login, lives in ((here, here_lives), (there, there_lives)):
        refreshed = await everywhere.refresh(login["refresh_token"])
        assert refreshed.status_code == (200 if lives else 401)


async def test_logout_needs_no_body(user: SessionUser) -> None:
    login = await user.log_in()

    assert (await user.call("POST", LOGOUT, login["token"])).status_code == 204
    assert not await user.is_live(login["token"])


@pytest.mark.parametrize("body", [{"scope": "all"}, {"scope": None}, {"scope": "local", "x": 1}, [], "local"])
async def test_invalid_logout_scope_is_rejected(user: SessionUser, body: object) -> None:
    login = await user.log_in()

    assert (await user.call("POST", LOGOUT, login["token"], body)).status_code == 422
    assert await user.is_live(login["token"])


async def test_user_lists_sessions_and_revokes_one(everywhere: SessionUser) -> None:
    here = await everywhere.log_in(user_agent="Here/1.0", x_forwarded_for="192.0.2.177")
    there = await everywhere.log_in(user_agent="There/2.0", x_forwarded_for="2001:db8:1234:5678::1")

    shown = (await everywhere.call("GET", SESSIONS, here["token"])).json()

    assert [(one["session_id"], one["network"], one["current"]) for one in shown["data"]] == [
        (there["session_id"], "2001:db8:1234::/48", False),
        (here["session_id"], "192.0.2.0/24", True),
    ]
    assert shown["next_cursor"] is None
    page = await everywhere.call("GET", f"{SESSIONS}?limit=1", here["token"])
    rest = await everywhere.call("GET", f"{SESSIONS}?limit=1&cursor={page.json()['next_cursor']}", here["token"])
    assert [one["session_id"] for one in page.json()["data"] + rest.json()["data"]] == [
        there["session_id"],
        here["session_id"],
    ]

    path = f"{SESSIONS}/{there['session_id']}"
    assert (await everywhere.call("GET", path, here["token"])).json() == shown["data"][0]
    assert (await everywhere.call("DELETE", path, here["token"])).status_code == 204
    assert (await everywhere.call("DELETE", path, here["token"])).status_code == 204  # repeating changes nothing
    assert (await everywhere.call("GET", path, here["token"])).status_code == 404
    assert not await everywhere.is_live(there["token"])
    assert await everywhere.is_live(here["token"])
    assert len(await everywhere.events("session.revoked")) == 1


async def test_user_revokes_all_sessions(everywhere: SessionUser) -> None:
    here, there = await two_logins(everywhere)

    assert (await everywhere.call("DELETE", SESSIONS, here["token"])).status_code == 204

    assert not await everywhere.is_live(here["token"])
    assert not await everywhere.is_live(there["token"])


async def test_session_of_another_user_cannot_be_seen_or_revoked(everywhere: SessionUser, new_user: NewUser) -> None:
    victim = await everywhere.log_in()
    neighbour = SessionUser(everywhere.apis, everywhere.tenant, everywhere.twilio, everywhere.database)
    stranger = await new_user()
    path = f"{SESSIONS}/{victim['session_id']}"
    user_path = f"/users/{victim['user_id']}/sessions"

    rejected = [
        await neighbour.call("DELETE", path, (await neighbour.log_in())["token"]),
        await neighbour.call("GET", path, (await neighbour.log_in())["token"]),
        await stranger.call("DELETE", path, (await stranger.log_in())["token"]),
        await stranger.call("GET", path, (await stranger.log_in())["token"]),
        await stranger.manage("GET", f"{user_path}/{victim['session_id']}"),
        await stranger.manage("GET", user_path),
        await stranger.manage("DELETE", user_path),
        await stranger.manage("DELETE", f"{user_path}/{victim['session_id']}"),
    ]

    assert [(answer.status_code, answer.json()["code"]) for answer in rejected] == [(404, "not_found")] * 8
    assert await everywhere.is_live(victim["token"])


async def test_tenant_revokes_one_or_all_sessions_of_a_user(everywhere: SessionUser) -> None:
    here, there = await two_logins(everywhere)
    path = f"/users/{here['user_id']}/sessions"
    listed = (await everywhere.manage("GET", path)).json()["data"]
    assert len(listed) == 2

    assert (await everywhere.manage("GET", f"{path}/{here['session_id']}")).json() in listed
    assert (await everywhere.manage("DELETE", f"{path}/{here['session_id']}")).status_code == 204
    assert (await everywhere.manage("GET", f"{path}/{here['session_id']}")).status_code == 404
    assert not await everywhere.is_live(here["token"])
    assert await everywhere.is_live(there["token"])
    assert (await everywhere.manage("DELETE", path)).status_code == 204
    assert not await everywhere.is_live(there["token"])
    assert (await everywhere.manage("GET", path)).json()["data"] == []


@pytest.mark.parametrize("end", ["expires_at", "idle_at"])
async def test_expired_session_is_not_found(user: SessionUser, end: str) -> None:
    here, there = await two_logins(user)
    expire = f"update sessions set {end} = now() where id = $1"
    await user.database.execute(expire, there["session_id"])

    assert (await user.call("GET", f"{SESSIONS}/{there['session_id']}", here["token"])).status_code == 404
    assert (await user.call("GET", f"{SESSIONS}/{here['session_id']}", here["token"])).status_code == 200


async def test_tenant_revokes_all_sessions_of_all_users(everywhere: SessionUser, new_user: NewUser) -> None:
    here, _ = await two_logins(everywhere)
    another_tenant = await new_user(everywhere.apis)
    elsewhere = await another_tenant.log_in()

    assert (await everywhere.manage("DELETE", "/sessions")).status_code == 204

    for each in everywhere.apis:  # the other instance hears of it by a message
        assert await until(lambda each=each: _rejects(each, everywhere, here["token"]))  # type: ignore[misc]
    assert (await everywhere.refresh(here["refresh_token"])).json()["code"] == "session_revoked"
    assert await another_tenant.is_live(elsewhere["token"])
    assert await everywhere.is_live((await everywhere.log_in())["token"])


async def _rejects(api: ApiClient, user: SessionUser, token: str) -> bool:
    answer = await api.post("/api/auth/introspect", {"token": token}, user.tenant["secret_key"])
    return bool(answer.json() == {"active": False})


async def test_oldest_session_is_revoked_above_the_session_limit(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis, max_sessions_per_user=2)
    first, second, third = [await user.log_in() for _ in range(3)]

    assert [await user.is_live(login["token"]) for login in (first, second, third)] == [False, True, True]


async def test_concurrent_logins_stay_within_the_session_limit(
    new_user: NewUser, api: ApiClient, database: asyncpg.Connection
) -> None:
    user = await new_user(max_sessions_per_user=3)
    user_id = (await user.log_in())["user_id"]
    # One user with many phones: their logins wait for none of each other's locks but the user's.
    users = [SessionUser(user.apis, user.tenant, user.twilio, database) for _ in range(8)]
    for one in users:
        assert (await api.post("/api/auth/request", {"phone": one.phone}, user.tenant["api_key"])).status_code == 200
        await database.execute(
            "update identifiers set user_id = $1 where tenant_id = $2 and identifier = $3",
            *(user_id, user.tenant["tenant_id"], one.phone),
        )

    async def answer(one: SessionUser) -> httpx.Response:
        body = {"phone": one.phone, "code": one.twilio.code_for(one.phone)}
        return await api.post("/api/auth/verify", body, user.tenant["api_key"])

    answers = await asyncio.gather(*(answer(one) for one in users))

    assert {response.status_code for response in answers} <= {200, 503}
    live = "select count(*) from sessions where user_id = $1 and revoked_at is null"
    assert await database.fetchval(live, user_id) == 3


async def test_uncached_token_of_a_banned_user_is_rejected(user: SessionUser, database: asyncpg.Connection) -> None:
    login = await user.log_in()
    await database.execute("update users set banned_until = 'infinity' where id = $1", login["user_id"])

    assert not await user.is_live(login["token"])


async def test_session_is_revoked_without_redis(start_app: Started, new_user: NewUser) -> None:
    apis = [await start_app(REDIS_URL="redis://127.0.0.1:1") for _ in range(2)]
    user = await new_user(apis)
    here, there = await two_logins(user)

    assert (await user.call("POST", LOGOUT, here["token"], {"scope": "others"})).status_code == 204

    assert await user.is_live(here["token"])
    assert not await user.is_live(there["token"])


async def test_revocation_is_published_to_redis_after_recovery(
    user: SessionUser, api: ApiClient, start_app: Started
) -> None:
    login = await user.log_in()
    assert await user.is_live(login["token"])  # in Redis now
    cut_off = await start_app(REDIS_URL="redis://127.0.0.1:1")
    elsewhere = SessionUser([cut_off], user.tenant, user.twilio, user.database)
    assert (await elsewhere.call("POST", LOGOUT, login["token"])).status_code == 204

    cut_off.services.sessions._redis = api.services.redis  # the way to Redis is mended
    await cut_off.services.sessions.flush_pending()

    assert not await user.is_live(login["token"])


async def test_stale_read_is_not_cached_after_a_revocation(user: SessionUser, api: ApiClient) -> None:
    """A reader that is slow between PostgreSQL and Redis must not restore a revoked session."""
    login = await user.log_in()
    key = cache._key(user.tenant["tenant_id"], login["session_id"])
    assert await user.is_live(login["token"])
    live = await api.services.redis.call("GET", key)
    assert (await user.call("POST", LOGOUT, login["token"])).status_code == 204

    assert await api.services.redis.call("SET", key, live, "EX", cache.LIFE_S, "NX") is None

    assert not await user.is_live(login["token"])


@pytest.mark.parametrize(
    "unreadable",
    [b"garbage", b"[]", b'["usr_1","sms",1.0]', b'["\xff"]', b"{}"],
    ids=["garbage", "no fields", "fewer fields", "no UTF-8", "an object"],
)
async def test_cache_entry_that_this_release_cannot_read_is_replaced(
    everywhere: SessionUser, api: ApiClient, unreadable: bytes
) -> None:
    """As another release, whose entries have other fields, may write it during an upgrade."""
    login, redis = await everywhere.log_in(), api.services.redis
    key = cache._key(everywhere.tenant["tenant_id"], login["session_id"])
    await redis.call("SET", key, unreadable)

    me = await everywhere.call("GET", "/api/auth/me", login["token"])

    assert (me.status_code, me.json()["user_id"]) == (200, login["user_id"])
    assert await redis.call("GET", key) != unreadable
    assert await everywhere.is_live(login["token"])


async def test_cache_entry_with_more_fields_is_read(everywhere: SessionUser, api: ApiClient) -> None:
    login, redis = await everywhere.log_in(), api.services.redis
    key = cache._key(everywhere.tenant["tenant_id"], login["session_id"])
    assert await everywhere.is_live(login["token"])
    newer = (await redis.call("GET", key))[:-1] + b',"a field of the next release"]'
    await redis.call("SET", key, newer)

    assert await everywhere.is_live(login["token"])
    assert await redis.call("GET", key) == newer


async def test_unreadable_cache_entry_of_a_revoked_session_does_not_restore_it(
    everywhere: SessionUser, api: ApiClient
) -> None:
    login = await everywhere.log_in()
    key = cache._key(everywhere.tenant["tenant_id"], login["session_id"])
    assert (await everywhere.call("POST", LOGOUT, login["token"])).status_code == 204
    await api.services.redis.call("SET", key, b"garbage")

    assert not await everywhere.is_live(login["token"])


async def test_cache_entries_of_sessions_expire_within_their_life(user: SessionUser, api: ApiClient) -> None:
    """The life of an entry is how long a revoked session can be accepted where Redis loses the revocation."""
    login, redis = await user.log_in(), api.services.redis
    key = cache._key(user.tenant["tenant_id"], login["session_id"])

    assert await user.is_live(login["token"])
    assert await redis.call("PTTL", key) in EXPIRING
    assert (await user.call("POST", LOGOUT, login["token"])).status_code == 204
    assert await redis.call("PTTL", key) in EXPIRING


@pytest.mark.parametrize(
    ("method", "path", "body"), [("POST", "ban", {}), ("DELETE", "sessions", None), ("PATCH", "", {"email": "new"})]
)
async def test_revocation_retried_after_a_lost_commit_invalidates_the_cache(
    user: SessionUser, database: asyncpg.Connection, method: str, path: str, body: dict[str, str] | None
) -> None:
    login = await user.log_in()
    assert await user.is_live(login["token"])  # in Redis now
    if path == "":
        body = {"email": f"{login['user_id']}@example.com"}
    await database.execute("update sessions set revoked_at = now() where id = $1", login["session_id"])

    answer = await user.manage(method, f"/users/{login['user_id']}/{path}".rstrip("/"), body)

    assert answer.status_code in (200, 204), answer.text
    assert not await user.is_live(login["token"])


async def test_erasure_with_a_lost_commit_leaves_no_valid_token(
    user: SessionUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await user.log_in()
    assert await user.is_live(login["token"])  # in Redis now
    transaction = Postgres.transaction

    @asynccontextmanager
    async def lose(self: Postgres) -> AsyncIterator[Transaction]:
        async with transaction(self) as held:
            yield held
        raise ConnectionLost

    with monkeypatch.context() as patched:
        patched.setattr(Postgres, "transaction", lose)
        answer = await user.manage("DELETE", f"/users/{login['user_id']}")

    assert answer.status_code == 503
    assert not await user.is_live(login["token"])
    assert (await user.manage("DELETE", f"/users/{login['user_id']}")).status_code == 404
