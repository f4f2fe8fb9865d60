"""Token introspection (RFC 7662) and its number of calls."""

import jwt
import pytest

from tests.sessions.conftest import INTROSPECT, SESSIONS, NewUser, SessionUser
from tests.support.api_client import ApiClient


async def test_active_token_is_returned_with_its_claims(user: SessionUser) -> None:
    login = await user.log_in()

    reported = await user.introspect(login["token"])

    claims = jwt.decode(login["token"], options={"verify_signature": False})
    assert reported == {"active": True, "token_type": "Bearer", **claims}


async def test_token_is_accepted_as_a_form(user: SessionUser) -> None:
    login = await user.log_in()
    headers = {"x-api-key": user.tenant["secret_key"]}
    form = {"token": login["token"], "token_type_hint": "access_token"}

    answer = await user.api.client.post(INTROSPECT, data=form, headers=headers)
    lacking = await user.api.client.post(INTROSPECT, data={"tokn": "x"}, headers=headers)

    assert answer.json()["active"] is True
    assert (lacking.status_code, lacking.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "\0", "x" * 10_000])
async def test_invalid_token_is_not_active(user: SessionUser, token: str) -> None:
    assert await user.introspect(token) == {"active": False}


async def test_token_of_another_tenant_or_pool_is_not_active(user: SessionUser, new_user: NewUser) -> None:
    other = await new_user()
    sandbox = SessionUser(user.apis, user.tenant, user.twilio, user.database, key="test_key")
    test_token = (await sandbox.log_in())["token"]

    assert await user.introspect((await other.log_in())["token"]) == {"active": False}
    assert await user.introspect(test_token) == {"active": False}
    assert await user.introspect((await user.log_in())["token"], "test_key") == {"active": False}
    assert (await user.introspect(test_token, "test_key"))["test"] is True


async def test_introspection_with_a_publishable_key_is_forbidden(user: SessionUser) -> None:
    rejected = await user.api.post(INTROSPECT, {"token": "x"}, user.tenant["api_key"])

    assert (rejected.status_code, rejected.json()["code"]) == (403, "forbidden")


async def test_token_check_makes_one_redis_and_no_postgres_call(user: SessionUser, api: ApiClient) -> None:
    login = await user.log_in()
    await user.introspect(login["token"])
    before = api.services.redis.round_trips, api.services.postgres.round_trips

    assert (await user.introspect(login["token"]))["active"]

    assert (api.services.redis.round_trips, api.services.postgres.round_trips) == (before[0] + 1, before[1])


async def test_invalid_token_makes_no_redis_or_postgres_call(user: SessionUser, api: ApiClient) -> None:
    login = await user.log_in()
    await user.call("GET", SESSIONS, login["token"])
    before = api.services.redis.round_trips, api.services.postgres.round_trips

    for token in ("x", login["token"][:-2] + "AA", login["token"] + "="):
        assert (await user.call("GET", SESSIONS, token)).status_code == 401

    assert (api.services.redis.round_trips, api.services.postgres.round_trips) == before
