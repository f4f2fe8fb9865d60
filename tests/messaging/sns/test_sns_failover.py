"""SNS as the second provider after Twilio: it sends the same code, and rejected sends are refunded."""

import pytest

from auth1.messaging.providers.sns import Sns
from tests.conftest import Started
from tests.messaging.conftest import MessageDatabase, TenantApp
from tests.support.providers import sns as aws
from tests.support.providers.sns import Behaviour, SnsServer, answer, hang_up, reject
from tests.support.providers.twilio import TwilioServer
from tests.support.providers.twilio import answer as twilio_answer
from tests.support.providers.twilio import reject as twilio_reject


@pytest.fixture
async def app(
    start_app: Started,
    server: SnsServer,
    sns: Sns,
    module_carrier: TwilioServer,
    carrier: TwilioServer,
    message_db: MessageDatabase,
) -> TenantApp:
    """Return a tenant of an application with new circuit breakers; `sns` has loaded its libraries."""
    api = await start_app(
        TWILIO_API_URL=module_carrier.url, AWS_SNS_REGION="eu-central-1", SNS_ORIGINATION_NUMBER="+12015550123"
    )
    return TenantApp(api, carrier, message_db, await api.tenant())


@pytest.mark.parametrize("behaviour", [twilio_reject(20429, 429), twilio_reject(20003, 401), twilio_answer(503, b"")])
async def test_message_rejected_by_twilio_goes_to_sns_with_the_same_code(
    app: TenantApp, server: SnsServer, phone: str, behaviour: Behaviour
) -> None:
    app.carrier.script.append(behaviour)
    server.script.append(aws.taken("8ebf4f86-0000-4000-8000-1d1f5b5a9d5a"))

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    [first] = app.handed_over(phone)
    [second] = server.published
    assert (second["PhoneNumber"], second["Message"]) == (phone, first.form["Body"])
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("sent", "sns", None)
    assert row["provider_message_id"] == "8ebf4f86-0000-4000-8000-1d1f5b5a9d5a"
    assert await app.sends_counted(phone) == 1
    assert await app.log_in(phone) == 200


async def test_message_accepted_by_twilio_is_not_sent_by_sns(app: TenantApp, server: SnsServer, phone: str) -> None:
    assert (await app.ask(phone))[0] == 200

    assert server.requests == []


@pytest.mark.parametrize(
    ("behaviour", "state", "error", "counted"),
    [
        (reject("AuthorizationError", status=403), "failed", "configuration:AuthorizationError", 0),
        (reject("Throttled", status=429), "failed", "throttled:Throttled", 0),
        (hang_up, "unknown", "unknown:connection_lost", 1),
        (answer(500, ""), "unknown", "unknown:http_500", 1),
    ],
)
async def test_rejected_send_is_refunded_and_unknown_send_is_counted(
    app: TenantApp, server: SnsServer, phone: str, behaviour: Behaviour, state: str, error: str, counted: int
) -> None:
    app.carrier.script.append(twilio_reject(20429, 429))
    server.script.append(behaviour)

    status, problem = await app.ask(phone)

    assert (status, problem["code"]) == (502, "delivery_failed")
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == (state, "sns", error)
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == f"message.{state}"
    assert error.partition(":")[2] in data
    assert await app.sends_counted(phone) == counted
    assert phone not in await app.api.log()
