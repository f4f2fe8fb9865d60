"""Token introspection (RFC 7662) and its number of calls."""

import jwt
import pytest

from tests.conftest import Door
from tests.sessions.conftest import INTROSPECT, SESSIONS, NewPerson, Person


async def test_active_token_is_returned_with_its_claims(person: Person) -> None:
    login = await person.log_in()

    told = await person.introspect(login["token"])

    claims = jwt.decode(login["token"], options={"verify_signature": False})
    assert told == {"active": True, "token_type": "Bearer", **claims}


async def test_token_is_accepted_as_a_form(person: Person) -> None:
    login = await person.log_in()
    headers = {"x-api-key": person.tenant["secret_key"]}
    form = {"token": login["token"], "token_type_hint": "access_token"}

    answer = await person.door.client.post(INTROSPECT, data=form, headers=headers)
    lacking = await person.door.client.post(INTROSPECT, data={"tokn": "x"}, headers=headers)

    assert answer.json()["active"] is True
    assert (lacking.status_code, lacking.json()["code"]) == (422, "validation_failed")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é", "\0", "x" * 10_000])
async def test_invalid_token_is_not_active(person: Person, token: str) -> None:
    assert await person.introspect(token) == {"active": False}


async def test_token_of_another_tenant_or_pool_is_not_active(person: Person, new_person: NewPerson) -> None:
    other = await new_person()
    sandbox = Person(person.doors, person.tenant, person.twilio, person.database, key="test_key")
    test_token = (await sandbox.log_in())["token"]

    assert await person.introspect((await other.log_in())["token"]) == {"active": False}
    assert await person.introspect(test_token) == {"active": False}
    assert await person.introspect((await person.log_in())["token"], "test_key") == {"active": False}
    assert (await person.introspect(test_token, "test_key"))["test"] is True


async def test_introspection_with_a_publishable_key_is_forbidden(person: Person) -> None:
    refused = await person.door.post(INTROSPECT, {"token": "x"}, person.tenant["api_key"])

    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")


async def test_token_check_makes_one_redis_and_no_postgres_call(person: Person, door: Door) -> None:
    login = await person.log_in()
    await person.introspect(login["token"])
    before = door.services.redis.round_trips, door.services.postgres.round_trips

    assert (await person.introspect(login["token"]))["active"]

    assert (door.services.redis.round_trips, door.services.postgres.round_trips) == (before[0] + 1, before[1])


async def test_invalid_token_makes_no_redis_or_postgres_call(person: Person, door: Door) -> None:
    login = await person.log_in()
    await person.call("GET", SESSIONS, login["token"])
    before = door.services.redis.round_trips, door.services.postgres.round_trips

    for token in ("x", login["token"][:-2] + "AA", login["token"] + "="):
        assert (await person.call("GET", SESSIONS, token)).status_code == 401

    assert (door.services.redis.round_trips, door.services.postgres.round_trips) == before
