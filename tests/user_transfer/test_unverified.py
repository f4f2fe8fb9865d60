"""Unverified phones and emails of an import: profile data that never logs anyone in (no account pre-hijacking)."""

import asyncpg
import msgspec
import pytest

from tests.conftest import new_phone
from tests.users.conftest import UserAdmin, new_email

FIREBASE = {"localId": "uid1", "emailVerified": False}


async def import_unverified(admin: UserAdmin, phone: str, email: str, **query: str) -> dict[str, object]:
    """Import a user with a verified phone and an unverified email; return the response."""
    row = {"phone": phone, "email": email, "email_verified": False, "external_id": "old"}
    response = await admin.upload(msgspec.json.encode(row), **query)
    assert response.status_code == 200, response.text
    result: dict[str, object] = response.json()
    return result


async def test_unverified_phone_does_not_log_in_to_the_imported_user(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()
    row = {"phone": phone, "phone_verified": False, "email": email, "external_id": "old"}
    response = await admin.upload(msgspec.json.encode(row))
    assert (response.json()["created"], response.json()["unverified"]) == (1, 1)
    (imported,) = await admin.find(external_id="old")

    login = await admin.login(phone)

    assert login["is_new_user"]
    assert login["user_id"] != imported
    assert await admin.find(email=email) == [imported]
    assert await admin.find(phone=phone) == [login["user_id"]]


async def test_unverified_email_is_shown_exported_and_erased(admin: UserAdmin, database: asyncpg.Connection) -> None:
    phone, email = new_phone(), new_email()
    assert (await import_unverified(admin, phone, email))["unverified"] == 1
    (user_id,) = await admin.find(phone=phone)

    shown = (await admin.call("GET", f"/{user_id}")).json()

    assert (shown["phone"], shown["email"], shown["unverified_phone"], shown["unverified_email"]) == (
        *(phone, None, None, email),
    )
    assert (await admin.call("GET", f"/{user_id}/export")).json()["user"]["unverified_email"] == email
    for query, media_type in (({}, "application/x-ndjson"), ({"format": "csv"}, "text/csv")):
        exported = await admin.call("GET", "/export", params=query)
        other = UserAdmin(admin.api, admin.twilio, await admin.api.tenant())
        assert (await other.upload(exported.content, media_type)).json()["unverified"] == 1
        assert await other.find(email=email) == []
    assert (await admin.call("DELETE", f"/{user_id}")).status_code == 204
    assert not await database.fetchval(
        "select count(*) from users where unverified_email = $1 and id = $2", email, user_id
    )


async def test_trust_unverified_imports_logins(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()

    assert (await import_unverified(admin, phone, email, trust_unverified="true"))["unverified"] == 0

    assert await admin.find(email=email) == await admin.find(phone=phone) != []


async def test_user_without_login_is_created_once_by_its_external_id(admin: UserAdmin) -> None:
    raw = msgspec.json.encode({**FIREBASE, "email": new_email()})
    query = {"from": "firebase"}

    first, again = [(await admin.upload(raw, **query)).json() for _ in range(2)]

    assert (first["created"], first["unverified"], again["created"], again["existing"]) == (1, 1, 0, 1)


async def test_unverified_email_is_hidden_once_the_user_has_it_as_a_login(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()
    await import_unverified(admin, phone, email)
    (user_id,) = await admin.find(phone=phone)

    changed = (await admin.call("PATCH", f"/{user_id}", {"email": email})).json()

    assert (changed["email"], changed["unverified_email"]) == (email, None)


@pytest.mark.parametrize(
    ("raw", "media_type"),
    [
        (b'\xff\n{"email":"a@b.co"}\n\n[]\n' + b"x" * 70_000, "application/x-ndjson"),
        (b'email,external_id\n,\n"x\ny@b.co,1\n', "text/csv"),
        (b'email\n"', "text/csv"),
        (b"", "text/csv"),
    ],
    ids=["ndjson", "csv", "open quote", "empty"],
)
async def test_counts_of_an_import_add_up(admin: UserAdmin, raw: bytes, media_type: str) -> None:
    result = (await admin.upload(raw, media_type)).json()

    spans = [reject.get("last_line", reject["line"]) - reject["line"] + 1 for reject in result["rejects"]]
    assert sum(spans) == result["rejected"]
    assert result["read"] == result["created"] + result["existing"] + result["skipped"] + result["rejected"]
