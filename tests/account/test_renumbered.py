"""Accounts and messages of phones that were stored before their numbering plan changed."""

import phonenumbers
import pytest

from auth1.identifiers import stored_identifier
from tests.account.user import AccountUser, new_email
from tests.conftest import new_phone
from tests.support.renumbering import Renumbering


@pytest.fixture
def renumbering(monkeypatch: pytest.MonkeyPatch) -> Renumbering:
    return Renumbering(monkeypatch)


async def test_account_shows_and_removes_a_renumbered_phone(user: AccountUser, renumbering: Renumbering) -> None:
    phone, email = user.identifier, new_email()
    renumbering.reject(phone)

    assert (await user.me()).json()["phone"] == phone
    await user.add(email)
    assert await user.identifiers() == [phone, email]
    assert (await user.remove("phone")).status_code == 204
    assert await user.owner(phone) is None


async def test_adding_the_own_renumbered_phone_conflicts(user: AccountUser, renumbering: Renumbering) -> None:
    renumbering.reject(user.identifier)

    added = await user.begin(user.identifier)

    assert (added.status_code, added.json()["code"]) == (409, "conflict")


async def test_notice_to_a_renumbered_phone_is_sent(user: AccountUser, renumbering: Renumbering) -> None:
    senders = {"sms_senders": {"US": {"twilio": "+15005550006"}}}
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    assert (await user.api.admin("PATCH", path, {"settings": senders})).status_code == 200
    old = user.identifier
    renumbering.reject(old)
    await user.add(new_phone())

    await user.flush()

    assert await user.notices() == [("phone_changed", old, "sent")]
    assert "was changed" in user.twilio.sent_to(old)[-1]
    found = await user.api.client.get("/api/tenant/messages", headers={"x-api-key": user.tenant["secret_key"]})
    [notice] = [one for one in found.json()["data"] if one["notice"] == "phone_changed"]
    assert (notice["destination"], notice["country"]) == (f"+1•••••••{old[-3:]}", "US")


async def test_code_for_an_added_phone_is_accepted_after_renumbering(
    user: AccountUser, renumbering: Renumbering
) -> None:
    phone = new_phone()
    assert (await user.begin(phone)).status_code == 200
    renumbering.reject(phone)

    assert (await user.prove(phone)).status_code == 200
    assert await user.identifiers() == [phone]


def test_stored_phone_without_a_country_code_is_described() -> None:
    assert not any(code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE for code in (99, 999))

    found = stored_identifier("phone", "+9991234567")

    assert (found.value, found.masked, found.country, found.line) == ("+9991234567", "+9••••••567", None, None)


def test_type_of_a_stored_email_is_not_guessed_from_its_first_character() -> None:
    assert stored_identifier("email", "+1@example.com").masked == "+•••@example.com"
