"""Closed sign-up: responses do not show which identifiers have a user."""

from typing import Any

import pytest

from tests.conftest import new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


async def challenge(api: ApiClient, key: str, phone: str) -> dict[str, Any]:
    """Request a code and return the challenge as a key sees it after the outbox has run."""
    requested = await api.post("/api/auth/request", {"phone": phone}, key)
    assert requested.status_code == 200, requested.text
    await api.services.outbox.run_once()
    path = f"/api/auth/challenges/{requested.json()['challenge_id']}"
    shown: dict[str, Any] = (await api.client.get(path, headers={"x-api-key": key})).json()
    return shown


@pytest.fixture
async def closed(api: ApiClient) -> dict[str, Any]:
    """Return a tenant with closed sign-up."""
    return await api.tenant(sign_up="closed")


async def add_user(api: ApiClient, tenant: dict[str, Any]) -> str:
    phone = new_phone()
    made = await api.post("/api/tenant/users", {"phone": phone}, tenant["secret_key"])
    assert made.status_code == 201, made.text
    return phone


async def test_publishable_key_sees_the_same_challenge_for_known_and_unknown_phones(
    api: ApiClient, closed: dict[str, Any], twilio_server: TwilioServer
) -> None:
    known, unknown = await add_user(api, closed), new_phone()

    shown = [await challenge(api, closed["api_key"], phone) for phone in (known, unknown)]

    assert [one["message"] for one in shown] == [None, None]
    same = ("channel", "status", "message")
    assert {name: shown[0][name] for name in same} == {name: shown[1][name] for name in same}
    assert shown[0].keys() == shown[1].keys()
    assert (len(twilio_server.sent_to(known)), len(twilio_server.sent_to(unknown))) == (1, 0)


async def test_secret_key_sees_which_message_was_sent(api: ApiClient, closed: dict[str, Any]) -> None:
    known = await challenge(api, closed["secret_key"], await add_user(api, closed))
    unknown = await challenge(api, closed["secret_key"], new_phone())

    assert known["message"]["state"] == "sent"
    assert unknown["message"] is None


async def test_publishable_key_sees_the_message_while_sign_up_is_open(api: ApiClient) -> None:
    tenant = await api.tenant()

    shown = await challenge(api, tenant["api_key"], new_phone())

    assert shown["message"]["state"] == "sent"
