"""Responses do not reveal whether a user exists (contract: section 4; hardening: user enumeration)."""

from typing import Any

import httpx
import pytest

from tests.conftest import new_phone
from tests.support.api_client import REQUEST, VERIFY, ApiClient
from tests.support.providers.twilio import TwilioServer

SKIPPED = {"x-request-id", "ratelimit", "content-length"}


@pytest.fixture(scope="module")
async def tenant(api: ApiClient) -> dict[str, Any]:
    return await api.tenant()


async def sign_up(api: ApiClient, tenant: dict[str, Any], twilio: TwilioServer, phone: str) -> str:
    """Log in for the first time; return the user's id."""
    await api.post(REQUEST, {"phone": phone}, tenant["api_key"])
    login = (await api.post(VERIFY, {"phone": phone, "code": twilio.code_for(phone)}, tenant["api_key"])).json()
    assert login["is_new_user"] is True
    return str(login["user_id"])


def shape(answer: httpx.Response) -> tuple[int, list[str], list[str], dict[str, Any]]:
    """Return the visible parts of a response without ids and values that depend on the number."""
    body = answer.json()
    kept = {name: value for name, value in body.items() if name not in ("challenge_id", "destination", "request_id")}
    return answer.status_code, list(body), sorted(set(answer.headers) - SKIPPED), kept


@pytest.mark.parametrize("banned", [False, True], ids=["a user", "a banned user"])
async def test_responses_are_equal_for_known_and_unknown_phones(
    api: ApiClient, tenant: dict[str, Any], twilio_server: TwilioServer, banned: bool
) -> None:
    user, stranger = new_phone(), new_phone()
    user_id = await sign_up(api, tenant, twilio_server, user)
    if banned:
        await api.ban(tenant, user_id)
    shapes = []
    for phone in (user, stranger):
        key = tenant["api_key"]
        not_requested = await api.post(VERIFY, {"phone": phone, "code": "000000"}, key)
        requested = await api.post(REQUEST, {"phone": phone}, key)
        too_soon = await api.post(REQUEST, {"phone": phone}, key)
        right = twilio_server.code_for(phone)
        wrong = {"phone": phone, "code": f"{(int(right) + 1) % 10**6:06d}"}
        attempts = [await api.post(VERIFY, wrong, key) for _ in range(6)]
        shapes.append([shape(answer) for answer in (not_requested, requested, too_soon, *attempts)])

    of_user, of_stranger = shapes

    assert [status for status, *_ in of_user] == [400, 200, 429] + [400] * 5 + [429]
    assert of_user == of_stranger
