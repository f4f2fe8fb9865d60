"""Test keys reach every outcome and send no message."""

import asyncpg
import jwt
import pytest

from auth1.authn.limits import TEST_KEY_REQUESTS
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

OUTCOMES = [
    # number, status and code of the answer, and the state and provider that GET /api/auth/challenges/{id} shows
    ("+15005550000", 200, None, ("delivered", "sandbox")),
    ("+15005550001", 422, "invalid_phone", None),
    ("+15005550002", 502, "delivery_failed", None),
    ("+15005550003", 403, "request_blocked", None),
    ("+15005550004", 200, None, ("delivered", "sandbox_failover")),
    ("+15005550005", 200, None, ("failed", "sandbox")),
    ("+15005550006", 403, "proof_required", None),
    ("+15005550007", 422, "recipient_opted_out", None),
    ("+15005550008", 403, "hook_denied", None),
    ("+15005550009", 429, "rate_limited", None),
    ("+15551234567", 200, None, ("delivered", "sandbox")),
    ("ann@example.com", 200, None, ("delivered", "sandbox")),
]


def asking(identifier: str) -> dict[str, str]:
    return {"email" if "@" in identifier else "phone": identifier}


async def state_of(api: ApiClient, key: str, challenge_id: str) -> tuple[str, str]:
    answer = await api.client.get(f"/api/auth/challenges/{challenge_id}", headers={"x-api-key": key})
    assert answer.status_code == 200, answer.text
    message = answer.json()["message"]
    return message["state"], message["provider"]


@pytest.mark.parametrize(("identifier", "status", "code", "reported"), OUTCOMES)
async def test_sandbox_number_selects_the_outcome(
    api: ApiClient, twilio_server: TwilioServer, identifier: str, status: int, code: str | None, reported: object
) -> None:
    tenant = await api.tenant()
    sent_before = len(twilio_server.requests)

    answer = await api.post("/api/auth/request", asking(identifier), tenant["test_key"])

    assert answer.status_code == status
    assert answer.json().get("code") == code
    assert ("retry-after" in answer.headers) == (status in (429, 502))
    assert len(twilio_server.requests) == sent_before
    if reported is not None:
        assert answer.json()["status"] == "sent"
        assert await state_of(api, tenant["test_key"], answer.json()["challenge_id"]) == reported


@pytest.mark.parametrize("identifier", [row[0] for row in OUTCOMES if row[3] is not None])
async def test_undelivered_sandbox_message_can_be_verified(api: ApiClient, identifier: str) -> None:
    tenant = await api.tenant()
    await api.post("/api/auth/request", asking(identifier), tenant["test_key"])

    answer = await api.post("/api/auth/verify", asking(identifier) | {"code": "000000"}, tenant["test_key"])

    assert (answer.status_code, answer.json()["is_new_user"]) == (200, True)


async def test_unsent_sandbox_message_has_no_active_challenge(api: ApiClient) -> None:
    tenant = await api.tenant()
    for number, *_, reported in OUTCOMES:
        if reported is None:
            await api.post("/api/auth/request", {"phone": number}, tenant["test_key"])
            answer = await api.post("/api/auth/verify", {"phone": number, "code": "000000"}, tenant["test_key"])
            # A code for the number that counts as invalid can be verified all the same.
            assert answer.json()["code"] == "no_active_challenge"


async def test_sandbox_numbers_are_ordinary_for_live_keys(api: ApiClient, twilio_server: TwilioServer) -> None:
    tenant = await api.tenant(voip_blocking=False)

    answer = await api.post("/api/auth/request", {"phone": "+15005550002"}, tenant["api_key"])

    assert answer.status_code == 200
    assert twilio_server.code_for("+15005550002")


async def test_sandbox_emits_delivery_events(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    for number in ("+15005550000", "+15005550005"):
        await api.post("/api/auth/request", {"phone": number}, tenant["test_key"])

    events = await database.fetch(
        "select type, actor, data ->> 'error' as error from events where tenant_id = $1 and type like 'message.%'"
        " order by id",
        f"{tenant['tenant_id']}:test",
    )

    assert [tuple(event) for event in events] == [
        ("message.delivered", "sandbox", None),
        ("message.failed", "sandbox", "undelivered:magic_number"),
    ]
    written = await api.log()
    assert tenant["tenant_id"] in written
    assert '"type":"message.delivered"' in written.replace(" ", "")


async def test_sandbox_email_needs_no_mail_server(api: ApiClient) -> None:
    assert "email" not in api.services.messenger.channels
    tenant = await api.tenant(rate_limit_per_hour=1)

    for _ in range(5):
        requested = await api.post("/api/auth/request", {"email": "ann@example.com"}, tenant["test_key"])
        assert (requested.status_code, requested.json()["resend_after"]) == (200, 0)
    test = await api.post("/api/auth/verify", {"email": "ann@example.com", "code": "000000"}, tenant["test_key"])
    again = await api.post("/api/auth/request", {"email": "ANN@example.com"}, tenant["test_key"])
    assert await state_of(api, tenant["test_key"], again.json()["challenge_id"]) == ("delivered", "sandbox")
    live = await api.client.get(
        f"/api/auth/challenges/{again.json()['challenge_id']}", headers={"x-api-key": tenant["api_key"]}
    )

    assert test.json()["is_new_user"] is True
    assert live.status_code == 404, "another pool"


async def test_sandbox_response_contains_a_working_link(api: ApiClient) -> None:
    tenant = await api.tenant()
    body = {"email": "ann@example.com", "mode": "link"}
    requested = (await api.post("/api/auth/request", body, tenant["test_key"])).json()
    link = requested["link"].removeprefix(api.settings.app_url)

    assert (await api.client.get(link)).status_code == 200
    assert (await api.client.post(link)).status_code == 200

    grant = {"grant_type": "challenge"} | {name: requested[name] for name in ("challenge_id", "challenge_secret")}
    redeemed = await api.post("/api/auth/token", grant, tenant["test_key"])
    assert redeemed.json()["verified"] is True
    code_alone = (await api.post("/api/auth/request", {"email": "ben@example.com"}, tenant["test_key"])).json()
    assert "link" not in code_alone


async def test_sandbox_code_is_all_zeros(api: ApiClient) -> None:
    tenant = await api.tenant(otp_length=8)
    await api.post("/api/auth/request", {"phone": "+15005550000"}, tenant["test_key"])

    wrong = await api.post("/api/auth/verify", {"phone": "+15005550000", "code": "00000001"}, tenant["test_key"])
    right = await api.post("/api/auth/verify", {"phone": "+15005550000", "code": "00000000"}, tenant["test_key"])

    assert wrong.json()["code"] == "invalid_code"
    assert right.json()["is_new_user"] is True


async def test_sandbox_uses_no_rate_limit_or_budget(api: ApiClient, phone: str) -> None:
    tenant = await api.tenant(rate_limit_per_hour=1, requests_per_minute=1)
    for _ in range(30):
        answer = await api.post("/api/auth/request", {"phone": phone}, tenant["test_key"])
        assert answer.status_code == 200
        assert answer.json()["resend_after"] == 0
        assert '"ip"' not in answer.headers["ratelimit-policy"]

    live = await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
    assert live.status_code == 200, "nor one of the live tenant"


async def test_key_has_its_own_rate_limit(api: ApiClient) -> None:
    tenant = await api.tenant()
    answers = [
        (await api.post("/api/auth/request", {"phone": "+15005550009"}, tenant["test_key"])).headers["ratelimit-policy"]
        for _ in range(2)
    ]
    assert answers[0] == f'"key";q={TEST_KEY_REQUESTS};w=60'


async def test_sandbox_users_and_codes_are_separate(api: ApiClient, twilio_server: TwilioServer, phone: str) -> None:
    tenant = await api.tenant()
    await api.post("/api/auth/request", {"phone": phone}, tenant["test_key"])

    elsewhere = await api.post("/api/auth/verify", {"phone": phone, "code": "000000"}, tenant["api_key"])
    assert elsewhere.json()["code"] == "no_active_challenge"

    await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
    live = await api.post(
        "/api/auth/verify", {"phone": phone, "code": twilio_server.code_for(phone)}, tenant["api_key"]
    )
    test = await api.post("/api/auth/verify", {"phone": phone, "code": "000000"}, tenant["test_key"])
    assert live.json()["user_id"] != test.json()["user_id"]

    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(
            test.json()["token"], tenant["jwt_secret"], algorithms=["HS256"], audience=f"{tenant['tenant_id']}:test"
        )
    claims = jwt.decode(test.json()["token"], options={"verify_signature": False})
    assert claims["aud"] == f"{tenant['tenant_id']}:test"
    assert claims["test"] is True
