"""The order of providers: which one is tried next, and with which code."""

import pytest

from tests.conftest import Started
from tests.messaging.conftest import MessageDatabase, TenantApp
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Behaviour, TwilioServer, answer, hang_up, reject


@pytest.fixture
async def two_providers(start_app: Started, module_carrier: TwilioServer) -> ApiClient:
    """Set Twilio and the console as providers, with new circuit breakers for each test."""
    return await start_app(TWILIO_API_URL=module_carrier.url, SMS_PROVIDERS="twilio,console")


@pytest.fixture
async def app(two_providers: ApiClient, carrier: TwilioServer, message_db: MessageDatabase) -> TenantApp:
    return TenantApp(two_providers, carrier, message_db, await two_providers.tenant())


@pytest.mark.parametrize(
    "behaviour", [reject(20429, 429), reject(30003), reject(20003, 401), answer(503, b""), hang_up]
)
async def test_next_provider_sends_the_same_code_after_a_failure(
    app: TenantApp, phone: str, behaviour: Behaviour
) -> None:
    app.carrier.script.append(behaviour)

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    [first] = app.carrier.sent_to(phone)
    assert f"message to {phone}: {first}" in await app.api.log()
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("sent", "console", None)
    assert await app.sends_counted(phone) == 1
    assert await app.log_in(phone) == 200


@pytest.mark.parametrize(("code", "problem"), [(21211, "invalid_phone"), (21610, "recipient_opted_out")])
async def test_invalid_or_opted_out_number_is_not_failed_over(
    app: TenantApp, phone: str, code: int, problem: str
) -> None:
    app.carrier.script.append(reject(code))

    status, reported = await app.ask(phone)

    assert (status, reported["code"]) == (422, problem)
    assert f"message to {phone}" not in await app.api.log()
    row = await app.message(phone)
    assert (row["state"], row["provider"]) == ("failed", "twilio")


async def test_accepted_message_is_sent_by_one_provider_only(app: TenantApp, phone: str) -> None:
    await app.ask(phone)

    assert len(app.handed_over(phone)) == 1
    assert f"message to {phone}" not in await app.api.log()


async def test_request_without_a_provider_creates_no_message(
    start_app: Started, message_db: MessageDatabase, phone: str
) -> None:
    api = await start_app(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", TWILIO_MESSAGING_SERVICE_SID="")
    tenant = await api.tenant()

    rejected = await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert (rejected.status_code, rejected.json()["code"]) == (503, "channel_unavailable")
    assert await message_db.messages(tenant["tenant_id"], phone) == []


async def test_key_sends_no_message(app: TenantApp, phone: str) -> None:
    key = app.tenant["test_key"]

    requested = await app.api.post("/api/auth/request", {"phone": phone}, key)
    verified = await app.api.post("/api/auth/verify", {"phone": phone, "code": "000000"}, key)

    assert (requested.status_code, verified.status_code) == (200, 200)
    assert app.carrier.requests == []
    assert f"message to {phone}" not in await app.api.log()
    assert (await app.message_db.message(f"{app.id}:test", phone))["provider"] == "sandbox"
