"""Test keys: an app's own tests can see each branch, and nobody gets a message."""

import jwt
import pytest

from auth1.callers.guards import TEST_KEY_REQUESTS
from tests.conftest import Door
from tests.outside.twilio import TwilioServer


@pytest.mark.parametrize(
    ("number", "status", "code"),
    [
        ("+15005550000", 200, None),
        ("+15005550001", 422, "invalid_phone"),
        ("+15005550002", 502, "delivery_failed"),
        ("+15005550003", 403, "request_blocked"),
        ("+15005550004", 200, None),
        ("+15005550009", 429, "rate_limited"),
        ("+15551234567", 200, None),
    ],
)
async def test_a_magic_number_chooses_the_outcome(
    door: Door, twilio_server: TwilioServer, number: str, status: int, code: str | None
) -> None:
    tenant = await door.tenant()
    sent_before = len(twilio_server.requests)

    answer = await door.post("/api/auth/request", {"phone": number}, tenant["test_key"])

    assert answer.status_code == status
    assert answer.json().get("code") == code
    assert len(twilio_server.requests) == sent_before


async def test_the_code_of_the_sandbox_is_all_zeros(door: Door) -> None:
    tenant = await door.tenant(otp_length=8)
    await door.post("/api/auth/request", {"phone": "+15005550000"}, tenant["test_key"])

    wrong = await door.post("/api/auth/verify", {"phone": "+15005550000", "code": "00000001"}, tenant["test_key"])
    right = await door.post("/api/auth/verify", {"phone": "+15005550000", "code": "00000000"}, tenant["test_key"])

    assert wrong.json()["code"] == "invalid_code"
    assert right.json()["is_new_user"] is True


async def test_the_second_provider_delivers_where_the_first_fails(door: Door) -> None:
    tenant = await door.tenant()
    asked = await door.post("/api/auth/request", {"phone": "+15005550004"}, tenant["test_key"])

    async with door.services.postgres._connection("test") as connection:
        row = await connection.fetchrow(
            "select provider, state from messages where challenge_id = $1", asked.json()["challenge_id"]
        )
    assert row is not None
    assert tuple(row) == ("sandbox_failover", "sent")


async def test_no_budget_is_used(door: Door) -> None:
    tenant = await door.tenant(rate_limit_per_hour=1)
    for _ in range(30):
        answer = await door.post("/api/auth/request", {"phone": "+15005550000"}, tenant["test_key"])
        assert answer.status_code == 200
        assert answer.json()["resend_after"] == 0


async def test_a_limit_per_key_holds(door: Door) -> None:
    tenant = await door.tenant()
    answers = [
        (await door.post("/api/auth/request", {"phone": "+15005550009"}, tenant["test_key"])).headers[
            "ratelimit-policy"
        ]
        for _ in range(2)
    ]
    assert answers[0] == f'"key";q={TEST_KEY_REQUESTS};w=60'


async def test_users_and_codes_of_the_sandbox_are_its_own(door: Door, twilio_server: TwilioServer, phone: str) -> None:
    tenant = await door.tenant()
    await door.post("/api/auth/request", {"phone": phone}, tenant["test_key"])

    elsewhere = await door.post("/api/auth/verify", {"phone": phone, "code": "000000"}, tenant["api_key"])
    assert elsewhere.json()["code"] == "no_active_challenge"

    await door.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
    live = await door.post(
        "/api/auth/verify", {"phone": phone, "code": twilio_server.code_for(phone)}, tenant["api_key"]
    )
    test = await door.post("/api/auth/verify", {"phone": phone, "code": "000000"}, tenant["test_key"])
    assert live.json()["user_id"] != test.json()["user_id"]

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            test.json()["token"], tenant["jwt_secret"], algorithms=["HS256"], audience=f"{tenant['tenant_id']}:test"
        )
    claims = jwt.decode(test.json()["token"], options={"verify_signature": False})
    assert claims["aud"] == f"{tenant['tenant_id']}:test"
    assert claims["test"] is True
