"""GET and PATCH /api/auth/me: the user and its user_metadata."""

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.account.conftest import NewUser
from tests.account.user import ME, AccountUser, new_email, outcome
from tests.support.api_client import ApiClient


async def test_me_returns_the_user(user: AccountUser) -> None:
    await user.database.execute(
        """update users set metadata = '{"plan": "pro"}' where id = $1""",
        user.user_id,
    )

    answer = await user.me()

    assert answer.status_code == 200
    known = answer.json()
    moments = {
        name: datetime.fromisoformat(known.pop(name)) for name in ("created_at", "last_login_at", "logged_in_at")
    }
    assert known == {
        "user_id": user.user_id,
        "phone": user.identifier,
        "email": None,
        "metadata": {"plan": "pro"},
        "user_metadata": {},
        "session_id": user.tokens["session_id"],
    }
    assert all(abs((datetime.now(UTC) - moment).total_seconds()) < 60 for moment in moments.values())


async def test_me_makes_one_redis_and_no_postgres_call(user: AccountUser) -> None:
    assert (await user.me()).status_code == 200
    postgres, redis = user.api.services.postgres, user.api.services.redis
    user.key = "secret_key"  # without the call for the IP rate limit
    assert (await user.me()).status_code == 200
    before = (postgres.round_trips, redis.round_trips)

    answers = [await user.me(), await user.call("GET", f"{ME}/identifiers")]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert (postgres.round_trips - before[0], redis.round_trips - before[1]) == (0, 2)


async def test_metadata_is_merged_at_the_top_and_null_removes_a_key(user: AccountUser) -> None:
    first = {"theme": "dark", "address": {"city": "Ulm", "zip": "89073"}, "tags": [1, None, {"a": None}], "gone": 1}
    assert (await user.call("PATCH", ME, {"user_metadata": first})).json()["user_metadata"] == first

    second = await user.call("PATCH", ME, {"user_metadata": {"address": {"city": "Bonn"}, "gone": None, "new": "é☃"}})

    assert second.status_code == 200
    merged = {"theme": "dark", "address": {"city": "Bonn"}, "tags": [1, None, {"a": None}], "new": "é☃"}
    assert second.json()["user_metadata"] == merged
    assert second.json()["metadata"] == {}
    assert (await user.me()).json()["user_metadata"] == merged
    events = await user.events("user.updated")
    assert [(event["actor"], event["subject"], json.loads(event["data"])) for event in events] == [
        (user.user_id, user.user_id, {"changed": ["user_metadata"]})
    ] * 2


async def test_unchanged_metadata_creates_no_event(user: AccountUser) -> None:
    for _ in range(2):
        answer = await user.call("PATCH", ME, {"user_metadata": {"a": 1, "b": None}})
        assert answer.status_code == 200

    assert len(await user.events("user.updated")) == 1


async def test_metadata_change_is_visible_to_all_sessions(user: AccountUser) -> None:
    others = [user.tokens["token"]]
    await user.log_in()
    for token in [*others, user.tokens["token"]]:
        assert (await user.me(token)).json()["user_metadata"] == {}

    await user.call("PATCH", ME, {"user_metadata": {"seen": True}})

    for token in [*others, user.tokens["token"]]:
        assert (await user.me(token)).json()["user_metadata"] == {"seen": True}


async def test_metadata_is_limited_to_four_kibibytes(user: AccountUser) -> None:
    assert (await user.call("PATCH", ME, {"user_metadata": {"a": "x" * 2000}})).status_code == 200
    room = 4096 - len(json.dumps({"a": "x" * 2000, "b": ""}))

    too_large = await user.call("PATCH", ME, {"user_metadata": {"b": "x" * (room + 1)}})
    fits = await user.call("PATCH", ME, {"user_metadata": {"b": "x" * room}})

    assert outcome(too_large) == (422, "validation_failed")
    assert too_large.json()["errors"][0]["field"] == "user_metadata"
    assert fits.status_code == 200
    assert (await user.call("PATCH", ME, {"user_metadata": {"a": None, "c": "x"}})).status_code == 200


async def test_concurrent_metadata_changes_are_all_kept(user: AccountUser) -> None:
    answers = await asyncio.gather(
        *(user.call("PATCH", ME, {"user_metadata": {f"key {n}": n}}) for n in range(10)), return_exceptions=False
    )

    assert {answer.status_code for answer in answers} == {200}
    assert (await user.me()).json()["user_metadata"] == {f"key {n}": n for n in range(10)}


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"user_metadata": None},
        {"user_metadata": []},
        {"user_metadata": "a"},
        {"user_metadata": {"a": "\0"}},
        {"user_metadata": {"a\0": None}},
        {"user_metadata": {"a": ["\\", {"b\0": 1}]}},
        {"user_metadata": {"a": nested(10)}},
        {"user_metadata": {"a": "x" * 5000}},
        {"user_metadata": {"a": [1e308] * 20}},
        {"user_metadata": {}, "metadata": {"role": "admin"}},
        {"metadata": {"role": "admin"}},
        {"user_metadata": {}, "phone": "+15551234567"},
    ],
    ids=lambda body: repr(body)[:50],
)
async def test_invalid_metadata_is_rejected(user: AccountUser, body: dict[str, Any]) -> None:
    answer = await user.call("PATCH", ME, body)

    assert outcome(answer) == (422, "validation_failed")
    assert (await user.me()).json()["user_metadata"] == {}


@pytest.mark.parametrize("value", ["\\u0000", "\\\\u0000", nested(9), [[]] * 100, 2**70, -1.5, True], ids=repr)
async def test_any_valid_json_metadata_is_kept(user: AccountUser, value: object) -> None:
    answer = await user.call("PATCH", ME, {"user_metadata": {"a": value, "": 0}})

    assert answer.status_code == 200, answer.text
    assert (await user.me()).json()["user_metadata"] == {"a": value, "": 0}


async def test_me_without_a_token_is_rejected(user: AccountUser, account_api: ApiClient) -> None:
    for method in ("GET", "PATCH"):
        answer = await account_api.client.request(method, ME, headers={"x-api-key": user.api_key})
        assert outcome(answer) == (401, "not_authenticated")


async def test_sandbox_account_is_separate(new_user: NewUser) -> None:
    live = await new_user()
    test = await new_user("test_key", identifier=live.identifier)

    assert (await test.me()).json()["user_id"] != live.user_id
    assert (await test.call("PATCH", ME, {"user_metadata": {"a": 1}})).status_code == 200
    assert (await live.me()).json()["user_metadata"] == {}
    assert outcome(await live.me(test.tokens["token"])) == (401, "invalid_token")


async def test_account_of_an_erased_user_is_rejected(user: AccountUser) -> None:
    assert (await user.me()).status_code == 200
    await user.database.execute("delete from users where id = $1", user.user_id)

    assert outcome(await user.call("PATCH", ME, {"user_metadata": {"a": 1}})) == (401, "session_revoked")
    assert outcome(await user.begin(new_email())) != (500, "internal_error")
