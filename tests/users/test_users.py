"""The user API of a tenant: create, search, change, ban, export and erase."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.conftest import new_phone
from tests.support.dump import dump
from tests.users.conftest import UserAdmin, at_once, new_email

BANNED_FOR_GOOD = "9999-12-31T23:59:59Z"


async def test_created_user_logs_in_as_the_same_user(admin: UserAdmin, database: asyncpg.Connection) -> None:
    phone, email = new_phone(), new_email()

    made = await admin.make(
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
        "unverified_phone": None,
        "unverified_email": None,
        "metadata": {"plan": "pro"},
        "user_metadata": {"name": "Ada"},
    }
    tokens = await admin.login(phone)
    assert (tokens["user_id"], tokens["is_new_user"]) == (made["user_id"], False)
    shown = (await admin.call("GET", f"/{made['user_id']}")).json()
    assert shown.pop("last_login_at") is not None
    assert shown == {name: value for name, value in made.items() if name != "last_login_at"}
    assert (await admin.events(database))[1:2] == ["user.created"]


async def test_operator_manages_users_of_a_tenant(admin: UserAdmin) -> None:
    path = f"/api/admin/tenants/{admin.tenant_id}/users"

    made = await admin.api.admin("POST", path, {"email": new_email()})

    assert made.status_code == 201
    assert [user["user_id"] for user in (await admin.api.admin("GET", path)).json()["data"]] == [made.json()["user_id"]]
    assert (await admin.api.client.get("/api/tenant/users", headers={"x-api-key": admin.tenant["api_key"]})).json()[
        "code"
    ] == "forbidden"


async def test_identifier_of_another_user_is_a_conflict(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()
    await admin.make(phone=phone, email=email, external_id="42")

    for wanted, taken in (
        ({"phone": phone, "email": new_email()}, ["phone"]),
        ({"phone": new_phone(), "email": email}, ["email"]),
        ({"phone": new_phone(), "external_id": "42"}, ["external_id"]),
        ({"phone": phone, "email": email, "external_id": "42"}, ["phone", "email", "external_id"]),
    ):
        answer = await admin.call("POST", "", wanted)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (409, taken)
    assert len(await admin.find()) == 1


async def test_one_of_many_concurrent_creations_of_a_user_succeeds(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()
    bodies = [
        {"phone": phone, "email": email},
        {"phone": phone},
        {"email": email},
        {"phone": phone, "external_id": "1"},
    ]

    answers = await at_once(*(lambda body=body: admin.call("POST", "", body) for body in bodies * 3))

    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer.json() for answer in answers if answer.status_code == 201]
    claimed = [value for user in made for value in (user["phone"], user["email"]) if value]
    assert len(claimed) == len(set(claimed))
    assert made


async def test_pending_code_logs_in_a_user_created_meanwhile(admin: UserAdmin, database: asyncpg.Connection) -> None:
    phone = new_phone()
    code = await admin.request(phone)
    wrong = await admin.verify(phone, f"{(int(code) + 1) % 1_000_000:06d}")
    assert wrong.json()["code"] == "invalid_code"

    made = await admin.make(phone=phone)

    row = await database.fetchrow("select sent_at, wrong_at from identifiers where identifier = $1", phone)
    assert row is not None
    assert [len(row["sent_at"]), len(row["wrong_at"])] == [1, 1]
    verified = (await admin.verify(phone, code)).json()
    assert (verified["user_id"], verified["is_new_user"]) == (made["user_id"], False)


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({}, 422, "validation_failed"),
    ({"external_id": "1"}, 422, "validation_failed"),
    ({"phone": "5551234567"}, 422, "invalid_phone"),
    ({"phone": ""}, 422, "invalid_phone"),
    ({"email": "missing"}, 422, "invalid_email"),
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
async def test_invalid_user_is_rejected(admin: UserAdmin, body: dict[str, Any], status: int, code: str) -> None:
    answer = await admin.call("POST", "", body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await admin.find() == []


async def test_escaped_backslash_before_u0000_is_not_a_nul(admin: UserAdmin) -> None:
    made = await admin.make(metadata={"path": "\\u0000", "more": "\\\\u0000"})

    assert made["metadata"] == {"path": "\\u0000", "more": "\\\\u0000"}


async def test_metadata_is_merged_and_null_removes_a_key(admin: UserAdmin, database: asyncpg.Connection) -> None:
    user = await admin.make(metadata={"plan": "pro", "seats": 3, "deep": {"a": 1, "b": 2}})
    path = f"/{user['user_id']}"

    changed = await admin.call(
        "PATCH", path, {"metadata": {"seats": None, "deep": {"c": 3}}, "user_metadata": {"x": 1}}
    )

    assert changed.json()["metadata"] == {"plan": "pro", "deep": {"c": 3}}
    assert changed.json()["user_metadata"] == {"x": 1}
    assert (await admin.call("PATCH", path, {"metadata": {"more": "x" * 4070}})).status_code == 422
    assert (await admin.call("GET", path)).json()["metadata"] == {"plan": "pro", "deep": {"c": 3}}
    reported = await database.fetchrow(
        "select data::text from events where tenant_id = $1 and type = 'user.updated'", admin.tenant_id
    )
    assert reported is not None
    assert reported["data"] == '{"changed": ["metadata", "user_metadata"]}'


async def test_phone_change_revokes_sessions_and_releases_the_old_phone(admin: UserAdmin) -> None:
    old, new = new_phone(), new_phone()
    tokens = await admin.login(old)
    path = f"/{tokens['user_id']}"
    assert await admin.is_live(tokens)

    changed = await admin.call("PATCH", path, {"phone": new})

    assert (changed.status_code, changed.json()["phone"]) == (200, new)
    assert not await admin.is_live(tokens)
    assert await admin.find(phone=old) == []
    assert (await admin.login(new))["user_id"] == tokens["user_id"]
    assert (await admin.login(old))["is_new_user"] is True


async def test_user_keeps_an_identifier_and_cannot_take_another_users(admin: UserAdmin) -> None:
    user, other = await admin.make(), await admin.make(email=new_email(), external_id="other")
    path = f"/{user['user_id']}"

    rejected = [
        await admin.call("PATCH", path, {"phone": None}),
        await admin.call("PATCH", path, {"email": other["email"]}),
        await admin.call("PATCH", path, {"external_id": "other"}),
        await admin.call("PATCH", path, {"phone": "nothing"}),
        await admin.call("PATCH", "/usr_nobody", {"metadata": {}}),
    ]
    assert [answer.status_code for answer in rejected] == [422, 409, 409, 422, 404]
    assert (await admin.call("GET", path)).json() == user

    swapped = await admin.call("PATCH", path, {"phone": None, "email": (email := new_email()), "external_id": "mine"})
    assert [swapped.json()[name] for name in ("phone", "email", "external_id")] == [None, email, "mine"]
    assert (await admin.call("PATCH", path, {"external_id": None})).json()["external_id"] is None


async def test_ban_revokes_tokens_and_rejects_logins(admin: UserAdmin, database: asyncpg.Connection) -> None:
    phone = new_phone()
    tokens = await admin.login(phone)
    path = f"/{tokens['user_id']}"
    assert await admin.is_live(tokens)

    banned = await admin.call("POST", path + "/ban", {"reason": "spam"})

    assert (banned.json()["banned_until"], banned.json()["ban_reason"]) == (BANNED_FOR_GOOD, "spam")
    assert not await admin.is_live(tokens)
    assert (await admin.verify(phone, await admin.request(phone))).json()["code"] == "user_banned"
    unbanned = await admin.call("POST", path + "/unban")
    assert (unbanned.json()["banned_until"], unbanned.json()["ban_reason"]) == (None, None)
    assert (await admin.call("POST", path + "/unban")).status_code == 200
    reported = [kind for kind in await admin.events(database) if "ban" in kind]
    assert reported == ["user.banned", "user.unbanned"]


async def test_ban_expires_at_its_until_time(admin: UserAdmin, database: asyncpg.Connection) -> None:
    user = await admin.make()
    path = f"/{user['user_id']}/ban"
    until = (datetime.now(UTC) + timedelta(days=1)).isoformat(timespec="seconds").replace("+00:00", "Z")

    assert (await admin.call("POST", path, {"until": until})).json()["banned_until"] == until
    assert (await admin.call("POST", path)).json()["banned_until"] == BANNED_FOR_GOOD
    assert (await admin.call("POST", path, {"until": BANNED_FOR_GOOD})).json()["banned_until"] == BANNED_FOR_GOOD
    for wrong in ("2020-01-01T00:00:00Z", "9999-12-31T23:00:00Z", "tomorrow"):
        assert (await admin.call("POST", path, {"until": wrong})).status_code == 422, wrong
    await database.execute("update users set banned_until = now() where id = $1", user["user_id"])
    assert (await admin.call("GET", f"/{user['user_id']}")).json()["banned_until"] is None
    assert (await admin.call("POST", "/usr_nobody/ban")).status_code == 404


async def test_user_export_contains_all_stored_data_except_codes(admin: UserAdmin) -> None:
    phone = new_phone()
    code = await admin.request(phone)
    tokens = (await admin.verify(phone, code)).json()
    await admin.call("POST", f"/{tokens['user_id']}/ban", {"reason": "spam"})
    stranger = await admin.login(new_phone())

    answer = await admin.call("GET", f"/{tokens['user_id']}/export")

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
    assert (await admin.call("GET", "/usr_nobody/export")).status_code == 404


async def test_user_export_contains_consents_and_grants(admin: UserAdmin, database: asyncpg.Connection) -> None:
    user_id = (await admin.login(new_phone()))["user_id"]
    await database.execute(
        "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, 'app_x', '{openid}')",
        *(admin.tenant_id, user_id),
    )
    await database.execute(
        "insert into grants (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at)"
        " values ($1, 'gr_x', 'app_x', $2, 'ses_x', '{email}', '{}', now(), now())",
        *(admin.tenant_id, user_id),
    )

    person = (await admin.call("GET", f"/{user_id}/export")).json()

    assert [(one["client_id"], one["scopes"]) for one in person["consents"]] == [("app_x", ["openid"])]
    assert [(one["grant_id"], one["scopes"]) for one in person["grants"]] == [("gr_x", ["email"])]


async def test_erased_user_leaves_only_its_id_in_a_dump(admin: UserAdmin, database: asyncpg.Connection) -> None:
    phone, email = new_phone(), new_email()
    tokens = await admin.login(phone)
    path = f"/{tokens['user_id']}"
    await admin.call(
        "PATCH", path, {"email": email, "metadata": {"name": "Ada of Nowhere"}, "external_id": "known-as-7"}
    )
    await admin.request(phone)
    link = {"email": email, "mode": "link"}
    assert (await admin.api.post("/api/auth/request", link, admin.tenant["test_key"])).status_code == 200
    await database.execute(
        "insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, secret_digest, with_code,"
        " expires_at) values ($1, 'msg_x', 'ch_x', $2, $3, '', false, now())",
        *(admin.tenant_id, email, email.encode()),
    )
    await database.execute("delete from identifiers where tenant_id like '%:test' and identifier = $1", email)
    for table in ("challenges", "messages", "links"):
        await database.execute(f"delete from {table} where tenant_id like '%:test' and identifier = $1", email)
    assert phone in await dump(database)

    assert (await admin.call("DELETE", path)).status_code == 204

    everything = await dump(database)
    for trace in (phone, email, email.encode().hex(), "Ada of Nowhere", "known-as-7", tokens["session_id"] + ","):
        assert trace not in everything, trace
    assert tokens["user_id"] in everything
    assert "user.erased" in await admin.events(database)
    assert not await admin.is_live(tokens)
    assert (await admin.call("DELETE", path)).status_code == 404
    assert (await admin.login(phone))["is_new_user"] is True


async def test_user_of_another_tenant_is_not_found(admin: UserAdmin) -> None:
    other = UserAdmin(admin.api, admin.twilio, await admin.api.tenant())
    user = await other.make(external_id="theirs")
    path = f"/{user['user_id']}"

    answers = await asyncio.gather(
        admin.call("GET", path),
        admin.call("PATCH", path, {"metadata": {"a": 1}}),
        admin.call("DELETE", path),
        admin.call("POST", path + "/ban"),
        admin.call("POST", path + "/unban"),
        admin.call("GET", path + "/export"),
    )

    assert [answer.status_code for answer in answers] == [404] * 6
    assert await admin.find(external_id="theirs") == await admin.find(phone=user["phone"]) == await admin.find() == []
    assert (await other.call("GET", path)).json() == user
