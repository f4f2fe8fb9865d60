"""Phones that were stored before their numbering plan changed."""

from typing import Any

import phonenumbers
import pytest

from auth1 import numbering
from auth1.identifiers import parse_phone
from tests.conftest import new_phone
from tests.support.renumbering import Renumbering
from tests.users.conftest import UserAdmin, new_email


@pytest.fixture
def renumbering(monkeypatch: pytest.MonkeyPatch) -> Renumbering:
    return Renumbering(monkeypatch)


@pytest.fixture
async def user(admin: UserAdmin, renumbering: Renumbering) -> dict[str, Any]:
    """Return a user whose phone is rejected by today's rules."""
    made = await admin.make(phone=new_phone(), email=new_email(), external_id="42")
    renumbering.reject(made["phone"])
    return made


async def test_renumbered_user_is_found_by_phone(admin: UserAdmin, user: dict[str, Any]) -> None:
    phone = user["phone"]

    assert await admin.find(phone=phone) == [user["user_id"]]
    assert await admin.find(phone=" " + phone[1:]) == [user["user_id"]], "with an unencoded plus"
    assert await admin.find(q=phone) == [user["user_id"]]
    assert (await admin.call("GET", f"/{user['user_id']}")).json() == user


async def test_search_for_an_unknown_renumbered_phone_is_rejected(admin: UserAdmin, renumbering: Renumbering) -> None:
    phone = new_phone()
    renumbering.reject(phone)

    answer = await admin.call("GET", params={"phone": phone})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_phone")


async def test_search_finds_a_phone_that_todays_rules_write_differently(
    admin: UserAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trunk prefix 0 was part of the number when it was stored."""
    old = f"+440{new_phone()[-10:]}"
    with monkeypatch.context() as earlier:
        earlier.setattr(numbering, "look_up", lambda phone: None)
        earlier.setattr(phonenumbers, "format_number", lambda number, form: old)
        user = await admin.make(phone=old, external_id="1")
    assert user["phone"] == old != parse_phone(old).value

    assert await admin.find(phone=old) == [user["user_id"]]
    changed = await admin.call("PATCH", f"/{user['user_id']}", {"phone": old, "metadata": {"plan": "pro"}})
    assert (changed.status_code, changed.json()["phone"]) == (200, old)
    exported = await admin.call("GET", "/export")
    assert (await admin.upload(exported.content)).json()["existing"] == 1
    assert len(await admin.find()) == 1


async def test_patch_accepts_the_renumbered_phone_of_the_user(admin: UserAdmin, user: dict[str, Any]) -> None:
    path = f"/{user['user_id']}"

    kept = await admin.call("PATCH", path, {"phone": user["phone"], "metadata": {"plan": "pro"}})
    foreign = await admin.call("PATCH", f"/{(await admin.make())['user_id']}", {"phone": user["phone"]})
    removed = await admin.call("PATCH", path, {"phone": None})

    assert (kept.status_code, kept.json()) == (200, {**user, "metadata": {"plan": "pro"}})
    assert (foreign.status_code, foreign.json()["code"]) == (409, "conflict")
    assert (removed.status_code, removed.json()["phone"]) == (200, None)


@pytest.mark.parametrize(("form", "media_type"), [("ndjson", "application/x-ndjson"), ("csv", "text/csv")])
async def test_import_accepts_an_export_with_a_renumbered_phone(
    admin: UserAdmin, user: dict[str, Any], form: str, media_type: str
) -> None:
    exported = await admin.call("GET", "/export", params={"format": form})
    assert user["phone"] in exported.text

    answer = await admin.upload(exported.content, media_type)

    assert {name: count for name, count in answer.json().items() if count} == {"read": 1, "existing": 1}
    assert (await admin.call("GET", f"/{user['user_id']}")).json() == user


async def test_import_accepts_an_unverified_renumbered_phone_of_an_existing_user(
    admin: UserAdmin, renumbering: Renumbering
) -> None:
    phone = new_phone()
    row = b'{"external_id":"1","unverified_phone":"%s"}\n' % phone.encode()
    assert (await admin.upload(row)).json()["created"] == 1
    renumbering.reject(phone)
    exported = await admin.call("GET", "/export")
    assert phone in exported.text

    answer = await admin.upload(exported.content)

    assert (answer.json()["existing"], answer.json()["rejected"]) == (1, 0)


async def test_import_rejects_an_unknown_renumbered_phone(admin: UserAdmin, user: dict[str, Any]) -> None:
    unknown = f"+1{'9' * 12}"
    lines = (
        f"phone,email,external_id,metadata\n{unknown},,,\n{unknown},{user['email']},42,\n"
        f'{unknown},,7,"{{\n}}"\n{new_phone()},,8,\n'
    )

    answer = (await admin.upload(lines.encode(), "text/csv")).json()

    rejects = answer.pop("rejects")
    assert {name: count for name, count in answer.items() if count} == {"read": 5, "created": 1, "rejected": 4}
    assert [(reject["line"], reject.get("last_line")) for reject in rejects] == [(2, None), (3, None), (4, 5)]
    assert len({reject["reason"] for reject in rejects}) == 1


async def test_renumbered_user_is_banned_exported_and_erased(admin: UserAdmin, user: dict[str, Any]) -> None:
    path = f"/{user['user_id']}"

    assert (await admin.call("POST", f"{path}/ban", {})).status_code == 200
    assert (await admin.call("POST", f"{path}/unban")).status_code == 200
    exported = await admin.call("GET", f"{path}/export")
    assert (exported.status_code, exported.json()["user"]["phone"]) == (200, user["phone"])
    assert (await admin.call("DELETE", path)).status_code == 204
    assert (await admin.call("GET", params={"phone": user["phone"]})).status_code == 422


async def test_live_code_of_a_renumbered_phone_is_accepted(admin: UserAdmin, renumbering: Renumbering) -> None:
    phone = new_phone()
    code = await admin.request(phone)
    renumbering.reject(phone)

    verified = await admin.verify(phone, code)
    again = await admin.verify(phone, code)

    assert verified.status_code == 200
    token = {"x-api-key": admin.tenant["api_key"], "authorization": f"Bearer {verified.json()['token']}"}
    me = await admin.api.client.get("/api/auth/me", headers=token)
    assert (me.status_code, me.json()["phone"]) == (200, phone)
    assert (again.status_code, again.json()["code"]) == (422, "invalid_phone"), "it has no live code"


async def test_user_with_a_known_renumbered_phone_conflicts(admin: UserAdmin, user: dict[str, Any]) -> None:
    taken = await admin.call("POST", "", {"phone": user["phone"]})
    patched = await admin.call("PATCH", f"/{user['user_id']}", {"phone": f"+1{'9' * 12}"})

    assert (taken.status_code, taken.json()["errors"][0]["field"]) == (409, "phone")
    assert (patched.status_code, patched.json()["code"]) == (422, "invalid_phone")


async def test_live_code_of_a_phone_that_todays_rules_write_differently_is_accepted(
    admin: UserAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = f"+44020{new_phone()[-8:]}"  # a London number with its trunk prefix
    with monkeypatch.context() as earlier:
        earlier.setattr(numbering, "look_up", lambda phone: None)
        earlier.setattr(phonenumbers, "format_number", lambda number, form: old)
        code = await admin.request(old)
    assert parse_phone(old).value != old

    verified = await admin.verify(old, code)

    assert verified.status_code == 200, verified.text
    assert (await admin.call("GET", params={"phone": old})).json()["data"][0]["user_id"] == verified.json()["user_id"]


async def test_new_code_to_a_renumbered_phone_is_rejected(admin: UserAdmin, user: dict[str, Any]) -> None:
    answer = await admin.api.post("/api/auth/request", {"phone": user["phone"]}, admin.tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_phone")
