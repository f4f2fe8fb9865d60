"""The user API of a tenant: create, search, change, ban, export and erase."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.api.conftest import dump
from tests.conftest import new_phone
from tests.users.conftest import House, at_once, new_email

BANNED_FOR_GOOD = "9999-12-31T23:59:59Z"


async def test_created_user_logs_in_as_the_same_user(house: House, database: asyncpg.Connection) -> None:
    phone, email = new_phone(), new_email()

    made = await house.make(
        phone=phone,
        email=email.upper(),
        external_id="42",
        metadata={"plan": "pro", "nothing": None},
        user_metadata={"name": "Ada"},
        created_at="2020-02-03T04:05:06+01:00",
    )

    assert made == {
        "user_id": made["user_id"],
        "phone": phone,
        "email": email,
        "external_id": "42",
        "created_at": "2020-02-03T03:05:06Z",
        "last_login_at": None,
        "banned_until": None,
        "ban_reason": None,
        "metadata": {"plan": "pro"},
        "user_metadata": {"name": "Ada"},
    }
    tokens = await house.login(phone)
    assert (tokens["user_id"], tokens["is_new_user"]) == (made["user_id"], False)
    shown = (await house.call("GET", f"/{made['user_id']}")).json()
    assert shown.pop("last_login_at") is not None
    assert shown == {name: value for name, value in made.items() if name != "last_login_at"}
    assert (await house.events(database))[1:2] == ["user.created"]


async def test_operator_manages_users_of_a_tenant(house: House) -> None:
    path = f"/api/admin/tenants/{house.tenant_id}/users"

    made = await house.door.admin("POST", path, {"email": new_email()})

    assert made.status_code == 201
    assert [user["user_id"] for user in (await house.door.admin("GET", path)).json()["data"]] == [
        made.json()["user_id"]
    ]
    assert (await house.door.client.get("/api/tenant/users", headers={"x-api-key": house.tenant["api_key"]})).json()[
        "code"
    ] == "forbidden"


async def test_identifier_of_another_user_is_a_conflict(house: House) -> None:
    phone, email = new_phone(), new_email()
    await house.make(phone=phone, email=email, external_id="42")

    for wanted, taken in (
        ({"phone": phone, "email": new_email()}, ["phone"]),
        ({"phone": new_phone(), "email": email}, ["email"]),
        ({"phone": new_phone(), "external_id": "42"}, ["external_id"]),
        ({"phone": phone, "email": email, "external_id": "42"}, ["phone", "email", "external_id"]),
    ):
        answer = await house.call("POST", "", wanted)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (409, taken)
    assert len(await house.find()) == 1


async def test_one_of_many_concurrent_creations_of_a_user_succeeds(house: House) -> None:
    phone, email = new_phone(), new_email()
    bodies = [
        {"phone": phone, "email": email},
        {"phone": phone},
        {"email": email},
        {"phone": phone, "external_id": "1"},
    ]

    answers = await at_once(*(lambda body=body: house.call("POST", "", body) for body in bodies * 3))

    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer.json() for answer in answers if answer.status_code == 201]
    claimed = [value for user in made for value in (user["phone"], user["email"]) if value]
    assert len(claimed) == len(set(claimed))
    assert made


async def test_pending_code_logs_in_a_user_created_meanwhile(house: House, database: asyncpg.Connection) -> None:
    phone = new_phone()
    code = await house.request(phone)
    wrong = await house.verify(phone, f"{(int(code) + 1) % 1_000_000:06d}")
    assert wrong.json()["code"] == "invalid_code"

    made = await house.make(phone=phone)

    row = await database.fetchrow("select sent_at, wrong_at from identifiers where identifier = $1", phone)
    assert row is not None
    assert [len(row["sent_at"]), len(row["wrong_at"])] == [1, 1]
    verified = (await house.verify(phone, code)).json()
    assert (verified["user_id"], verified["is_new_user"]) == (made["user_id"], False)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "validation_failed"),
    ({"external_id": "1"}, 422, "validation_failed"),
    ({"phone": "5551234567"}, 422, "invalid_phone"),
    ({"phone": ""}, 422, "invalid_phone"),
    ({"email": "nobody"}, 422, "invalid_email"),
    ({"email": "a@b.co", "name": "Ada"}, 422, "validation_failed"),
    ({"email": "a@b.co", "external_id": ""}, 422, "validation_failed"),
    ({"email": "a@b.co", "external_id": "x" * 256}, 422, "validation_failed"),
    ({"email": "a@b.co", "external_id": "a\0b"}, 422, "validation_failed"),
    ({"email": "a@b.co", "metadata": {"a": "x" * 4096}}, 422, "validation_failed"),
    ({"email": "a@b.co", "metadata": {"a": "\0"}}, 422, "validation_failed"),
    ({"email": "a@b.co", "user_metadata": {"a\0": 1}}, 422, "validation_failed"),
    ({"email": "a@b.co", "metadata": []}, 422, "validation_failed"),
    ({"email": "a@b.co", "created_at": "0001-01-01T00:00:00+14:00"}, 422, "validation_failed"),
    ({"email": "a@b.co", "created_at": "2020-01-01T00:00:00"}, 422, "validation_failed"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD, ids=str)
async def test_invalid_user_is_rejected(house: House, body: dict[str, Any], status: int, code: str) -> None:
    answer = await house.call("POST", "", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await house.find() == []


async def test_escaped_backslash_before_u0000_is_not_a_nul(house: House) -> None:
    made = await house.make(metadata={"path": "\\u0000", "more": "\\\\u0000"})

    assert made["metadata"] == {"path": "\\u0000", "more": "\\\\u0000"}


async def test_metadata_is_merged_and_null_removes_a_key(house: House, database: asyncpg.Connection) -> None:
    user = await house.make(metadata={"plan": "pro", "seats": 3, "deep": {"a": 1, "b": 2}})
    path = f"/{user['user_id']}"

    changed = await house.call(
        "PATCH", path, {"metadata": {"seats": None, "deep": {"c": 3}}, "user_metadata": {"x": 1}}
    )

    assert changed.json()["metadata"] == {"plan": "pro", "deep": {"c": 3}}
    assert changed.json()["user_metadata"] == {"x": 1}
    assert (await house.call("PATCH", path, {"metadata": {"more": "x" * 4070}})).status_code == 422
    assert (await house.call("GET", path)).json()["metadata"] == {"plan": "pro", "deep": {"c": 3}}
    told = await database.fetchrow(
        "select data::text from events where tenant_id = $1 and type = 'user.updated'", house.tenant_id
    )
    assert told is not None
    assert told["data"] == '{"changed": ["metadata", "user_metadata"]}'


async def test_phone_change_revokes_sessions_and_releases_the_old_phone(house: House) -> None:
    old, new = new_phone(), new_phone()
    tokens = await house.login(old)
    path = f"/{tokens['user_id']}"
    assert await house.is_live(tokens)

    changed = await house.call("PATCH", path, {"phone": new})

    assert (changed.status_code, changed.json()["phone"]) == (200, new)
    assert not await house.is_live(tokens)
    assert await house.find(phone=old) == []
    assert (await house.login(new))["user_id"] == tokens["user_id"]
    assert (await house.login(old))["is_new_user"] is True


async def test_user_keeps_an_identifier_and_cannot_take_another_users(house: House) -> None:
    user, other = await house.make(), await house.make(email=new_email(), external_id="other")
    path = f"/{user['user_id']}"

    refused = [
        await house.call("PATCH", path, {"phone": None}),
        await house.call("PATCH", path, {"email": other["email"]}),
        await house.call("PATCH", path, {"external_id": "other"}),
        await house.call("PATCH", path, {"phone": "nothing"}),
        await house.call("PATCH", "/usr_nobody", {"metadata": {}}),
    ]
    assert [answer.status_code for answer in refused] == [422, 409, 409, 422, 404]
    assert (await house.call("GET", path)).json() == user

    swapped = await house.call("PATCH", path, {"phone": None, "email": (email := new_email()), "external_id": "mine"})
    assert [swapped.json()[name] for name in ("phone", "email", "external_id")] == [None, email, "mine"]
    assert (await house.call("PATCH", path, {"external_id": None})).json()["external_id"] is None


async def test_ban_revokes_tokens_and_rejects_logins(house: House, database: asyncpg.Connection) -> None:
    phone = new_phone()
    tokens = await house.login(phone)
    path = f"/{tokens['user_id']}"
    assert await house.is_live(tokens)

    banned = await house.call("POST", path + "/ban", {"reason": "spam"})

    assert (banned.json()["banned_until"], banned.json()["ban_reason"]) == (BANNED_FOR_GOOD, "spam")
    assert not await house.is_live(tokens)
    assert (await house.verify(phone, await house.request(phone))).json()["code"] == "user_banned"
    unbanned = await house.call("POST", path + "/unban")
    assert (unbanned.json()["banned_until"], unbanned.json()["ban_reason"]) == (None, None)
    assert (await house.call("POST", path + "/unban")).status_code == 200
    told = [kind for kind in await house.events(database) if "ban" in kind]
    assert told == ["user.banned", "user.unbanned"]


async def test_ban_expires_at_its_until_time(house: House, database: asyncpg.Connection) -> None:
    user = await house.make()
    path = f"/{user['user_id']}/ban"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")

    assert (await house.call("POST", path, {"until": until})).json()["banned_until"] == until
    assert (await house.call("POST", path)).json()["banned_until"] == BANNED_FOR_GOOD
    assert (await house.call("POST", path, {"until": BANNED_FOR_GOOD})).json()["banned_until"] == BANNED_FOR_GOOD
    for wrong in ("2020-01-01T00:00:00Z", "9999-12-31T23:00:00Z", "tomorrow"):
        assert (await house.call("POST", path, {"until": wrong})).status_code == 422, wrong
    await database.execute("update users set banned_until = now() where id = $1", user["user_id"])
    assert (await house.call("GET", f"/{user['user_id']}")).json()["banned_until"] is None
    assert (await house.call("POST", "/usr_nobody/ban")).status_code == 404


async def test_user_export_contains_all_stored_data_except_codes(house: House) -> None:
    phone = new_phone()
    code = await house.request(phone)
    tokens = (await house.verify(phone, code)).json()
    await house.call("POST", f"/{tokens['user_id']}/ban", {"reason": "spam"})
    stranger = await house.login(new_phone())

    answer = await house.call("GET", f"/{tokens['user_id']}/export")

    person = answer.json()
    assert person["user"]["phone"] == phone
    assert [one["identifier"] for one in person["identifiers"]] == [phone]
    assert [one["session_id"] for one in person["sessions"]] == [tokens["session_id"]]
    assert [one["status"] for one in person["challenges"]] == ["answered"]
    assert [one["identifier"] for one in person["messages"]] == [phone]
    kinds = ["user.banned", "user.created", "challenge.answered", "challenge.opened"]
    assert sorted(event["type"] for event in person["events"]) == sorted(kinds)
    assert person["complete"] is True
    assert code not in answer.text.replace(phone, "")
    assert stranger["user_id"] not in answer.text
    assert (await house.call("GET", "/usr_nobody/export")).status_code == 404


async def test_erased_user_leaves_only_its_id_in_a_dump(house: House, database: asyncpg.Connection) -> None:
    phone, email = new_phone(), new_email()
    tokens = await house.login(phone)
    path = f"/{tokens['user_id']}"
    await house.call(
        "PATCH", path, {"email": email, "metadata": {"name": "Ada of Nowhere"}, "external_id": "known-as-7"}
    )
    await house.request(phone)
    link = {"email": email, "mode": "link"}
    assert (await house.door.post("/api/auth/request", link, house.tenant["test_key"])).status_code == 200
    await database.execute(
        "insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, secret_digest, with_code,"
        " expires_at) values ($1, 'msg_x', 'ch_x', $2, $3, '', false, now())",
        *(house.tenant_id, email, email.encode()),
    )
    await database.execute("delete from identifiers where tenant_id like '%:test' and identifier = $1", email)
    for table in ("challenges", "messages", "links"):
        await database.execute(f"delete from {table} where tenant_id like '%:test' and identifier = $1", email)
    assert phone in await dump(database)

    assert (await house.call("DELETE", path)).status_code == 204

    everything = await dump(database)
    for trace in (phone, email, email.encode().hex(), "Ada of Nowhere", "known-as-7", tokens["session_id"] + ","):
        assert trace not in everything, trace
    assert tokens["user_id"] in everything
    assert "user.erased" in await house.events(database)
    assert not await house.is_live(tokens)
    assert (await house.call("DELETE", path)).status_code == 404
    assert (await house.login(phone))["is_new_user"] is True


async def test_user_of_another_tenant_is_not_found(house: House) -> None:
    other = House(house.door, house.twilio, await house.door.tenant())
    user = await other.make(external_id="theirs")
    path = f"/{user['user_id']}"

    answers = await asyncio.gather(
        house.call("GET", path),
        house.call("PATCH", path, {"metadata": {"a": 1}}),
        house.call("DELETE", path),
        house.call("POST", path + "/ban"),
        house.call("POST", path + "/unban"),
        house.call("GET", path + "/export"),
    )

    assert [answer.status_code for answer in answers] == [404] * 6
    assert await house.find(external_id="theirs") == await house.find(phone=user["phone"]) == await house.find() == []
    assert (await other.call("GET", path)).json() == user
