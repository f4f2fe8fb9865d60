"""The order of providers: which one is tried next, and with which code."""

import pytest

from tests.conftest import Door, Started
from tests.messaging.conftest import Books, Sender
from tests.outside.twilio import Behaviour, TwilioServer, answer, hang_up, refuse


@pytest.fixture
async def two_providers(start_app: Started, module_carrier: TwilioServer) -> Door:
    """Set Twilio and the console as providers, with new circuit breakers for each test."""
    return await start_app(TWILIO_API_URL=module_carrier.url, SMS_PROVIDERS="twilio,console")


@pytest.fixture
async def sender(two_providers: Door, carrier: TwilioServer, books: Books) -> Sender:
    return Sender(two_providers, carrier, books, await two_providers.tenant())


@pytest.mark.parametrize(
    "behaviour", [refuse(20429, 429), refuse(30003), refuse(20003, 401), answer(503, b""), hang_up]
)
async def test_next_provider_sends_the_same_code_after_a_failure(
    sender: Sender, phone: str, behaviour: Behaviour
) -> None:
    sender.carrier.script.append(behaviour)

    status, asked = await sender.ask(phone)

    assert (status, asked["status"]) == (200, "sent")
    [first] = sender.carrier.sent_to(phone)
    assert f"message to {phone}: {first}" in await sender.door.log()
    row = await sender.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("sent", "console", None)
    assert await sender.sends_counted(phone) == 1
    assert await sender.log_in(phone) == 200


@pytest.mark.parametrize(("code", "problem"), [(21211, "invalid_phone"), (21610, "recipient_opted_out")])
async def test_invalid_or_opted_out_number_is_not_failed_over(
    sender: Sender, phone: str, code: int, problem: str
) -> None:
    sender.carrier.script.append(refuse(code))

    status, told = await sender.ask(phone)

    assert (status, told["code"]) == (422, problem)
    assert f"message to {phone}" not in await sender.door.log()
    row = await sender.message(phone)
    assert (row["state"], row["provider"]) == ("failed", "twilio")


async def test_accepted_message_is_sent_by_one_provider_only(sender: Sender, phone: str) -> None:
    await sender.ask(phone)

    assert len(sender.handed_over(phone)) == 1
    assert f"message to {phone}" not in await sender.door.log()


async def test_request_without_a_provider_creates_no_message(start_app: Started, books: Books, phone: str) -> None:
    door = await start_app(TWILIO_ACCOUNT_SID="", TWILIO_AUTH_TOKEN="", TWILIO_MESSAGING_SERVICE_SID="")
    tenant = await door.tenant()

    refused = await door.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert (refused.status_code, refused.json()["code"]) == (503, "channel_unavailable")
    assert await books.messages(tenant["tenant_id"], phone) == []


async def test_key_sends_no_message(sender: Sender, phone: str) -> None:
    key = sender.tenant["test_key"]

    asked = await sender.door.post("/api/auth/request", {"phone": phone}, key)
    verified = await sender.door.post("/api/auth/verify", {"phone": phone, "code": "000000"}, key)

    assert (asked.status_code, verified.status_code) == (200, 200)
    assert sender.carrier.requests == []
    assert f"message to {phone}" not in await sender.door.log()
    assert (await sender.books.message(f"{sender.id}:test", phone))["provider"] == "sandbox"
