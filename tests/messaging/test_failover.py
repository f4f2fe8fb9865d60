"""Failover to the next provider with the same code, and the circuit breaker of a failing provider."""

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest

from auth1.core.circuit_breaker import MAX_FAILURES, CircuitBreaker
from auth1.messaging.providers import sns_client
from auth1.messaging.providers import twilio as twilio_provider
from tests.conftest import Started, new_phone
from tests.messaging.conftest import MessageDatabase, spread_phones
from tests.messaging.sns.conftest import environment
from tests.support.api_client import ApiClient
from tests.support.providers import sns as aws
from tests.support.providers import twilio
from tests.support.providers.sns import SnsServer
from tests.support.providers.twilio import TwilioServer

BRIEF_S = 0.2  # of a call; the tests scale all deadlines by 10


@dataclass
class FailoverScenario:
    """An application with two providers and the servers in their places."""

    api: ApiClient
    twilio: TwilioServer
    sns: SnsServer


@pytest.fixture
async def scenario(start_app: Started, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FailoverScenario]:
    """Return a new application for each test, because circuit breakers keep state. Their clock stands still.

    On a slow machine the requests of a test take longer than their window of 10 s, and than 30 s until a probe.
    """
    monkeypatch.setattr(CircuitBreaker.__init__, "__defaults__", (lambda: 0.0,))
    async with TwilioServer() as twilio_server, SnsServer() as sns_server:
        environment(monkeypatch, sns_server)
        sns_server.behaviour = aws.take
        api = await start_app(
            TWILIO_API_URL=twilio_server.url, SMS_PROVIDERS="twilio,sns", AWS_ENDPOINT_URL_SNS=sns_server.url
        )
        yield FailoverScenario(api, twilio_server, sns_server)


@pytest.fixture
def brief_deadlines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the deadlines of calls to both providers. Those of connecting stay as they are."""
    monkeypatch.setattr(twilio_provider, "DEADLINE_S", BRIEF_S)
    monkeypatch.setattr(sns_client, "DEADLINE_S", BRIEF_S)


def code_in(text: str) -> str:
    found = re.search(r"code is: (\d+)\.", text)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    "behaviour",
    [
        twilio.answer(503, b"unavailable"),
        twilio.reject(20429, 429),
        twilio.reject(20003, 401),
        twilio.reject(21408),
        twilio.hang_up,
    ],
    ids=["unavailable", "throttled", "credentials", "no permission for the country", "connection lost"],
)
async def test_message_rejected_by_twilio_is_sent_by_sns(
    scenario: FailoverScenario, message_db: MessageDatabase, behaviour: twilio.Behaviour, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = behaviour

    requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.json()["status"] == "sent"
    assert len(scenario.twilio.requests) == 1
    [published] = scenario.sns.requests
    code = code_in(published.form["Message"])
    assert code_in(scenario.twilio.requests[0].form["Body"]) == code
    message = await message_db.message(tenant["tenant_id"], phone)
    assert (message["state"], message["provider"]) == ("sent", "sns")
    verified = await scenario.api.post("/api/auth/verify", {"phone": phone, "code": code}, tenant["api_key"])
    assert verified.status_code == 200


@pytest.mark.parametrize(("code", "error"), [(21610, "recipient_opted_out"), (21211, "invalid_phone")])
async def test_opted_out_or_invalid_number_is_not_failed_over(
    scenario: FailoverScenario, code: int, error: str, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.reject(code)

    requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.json()["code"] == error
    assert scenario.sns.requests == []


async def test_send_rejected_by_all_providers_is_refunded(
    scenario: FailoverScenario, message_db: MessageDatabase, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.reject(20429, 429)
    scenario.sns.behaviour = aws.reject("Throttled", status=429)

    for _ in range(2):  # a second time at once: nothing was spent
        requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
        assert (requested.status_code, requested.json()["code"]) == (502, "delivery_failed")
    identifier = await message_db.identifier(tenant["tenant_id"], phone)
    assert list(identifier["sent_at"]) == []


async def test_send_with_an_unknown_outcome_is_counted(
    scenario: FailoverScenario, message_db: MessageDatabase, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.answer(503, b"unavailable")
    scenario.sns.behaviour = aws.reject("Throttled", status=429)

    requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.json()["code"] == "delivery_failed"
    message = await message_db.message(tenant["tenant_id"], phone)
    assert message["state"] == "unknown"
    identifier = await message_db.identifier(tenant["tenant_id"], phone)
    assert len(identifier["sent_at"]) == 1


@pytest.mark.usefixtures("brief_deadlines")
async def test_send_that_hangs_at_both_providers_is_unknown_and_counted(
    scenario: FailoverScenario, message_db: MessageDatabase, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    for first in (twilio.take, twilio.reject(20429, 429)):  # each provider has a connection then
        scenario.twilio.script.append(first)
        answer = await scenario.api.post("/api/auth/request", {"phone": new_phone()}, tenant["api_key"])
        assert answer.json()["status"] == "sent", answer.text
    scenario.twilio.requests.clear()
    scenario.sns.requests.clear()
    scenario.twilio.behaviour = twilio.hang
    scenario.sns.behaviour = aws.hang

    answer = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (502, "delivery_failed")
    assert int(answer.headers["retry-after"]) > 0
    assert (len(scenario.twilio.requests), len(scenario.sns.requests)) == (1, 1)
    message = await message_db.message(tenant["tenant_id"], phone)
    assert (message["state"], message["trying"]) == ("unknown", None)
    assert message["error"].startswith("unknown:timeout")
    [(event, _)] = await message_db.events(tenant["tenant_id"], message["id"])
    assert event == "message.unknown"
    identifier = await message_db.identifier(tenant["tenant_id"], phone)
    assert len(identifier["sent_at"]) == 1
    assert identifier["resend_at"] is None, "asking again is open at once"


async def test_unavailable_twilio_is_skipped_by_the_circuit_breaker(scenario: FailoverScenario) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.answer(503, b"unavailable")

    for phone in spread_phones(100):
        requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
        assert requested.json()["status"] == "sent"

    assert len(scenario.sns.requests) == 100
    assert len(scenario.twilio.requests) <= MAX_FAILURES
    health = (await scenario.api.client.get("/health")).json()
    assert health["providers"] == {"twilio": "failing", "sns": "ok"}
    assert health["status"] == "healthy"


@pytest.mark.parametrize("code", [21408, 21612, 30450, 21211, 21614, 21610, 30003, 21608, 21999])
async def test_failures_of_recipients_do_not_open_the_circuit_breaker(scenario: FailoverScenario, code: int) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.reject(code)
    phones = spread_phones(MAX_FAILURES + 2)
    for phone in phones[:-1]:
        await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert scenario.api.services.messenger.breakers["twilio"] == "closed"
    scenario.twilio.behaviour = twilio.take
    requested = await scenario.api.post("/api/auth/request", {"phone": phones[-1]}, tenant["api_key"])
    assert requested.json()["status"] == "sent"
    assert scenario.twilio.requests[-1].form["To"] == phones[-1]


@pytest.mark.parametrize("failure", [(20003, 401), (20005, 403), (20429, 429), (21703, 400)])
async def test_failures_of_the_account_open_the_circuit_breaker(
    scenario: FailoverScenario, failure: tuple[int, int]
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.reject(*failure)

    for phone in spread_phones(MAX_FAILURES):
        await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert scenario.api.services.messenger.breakers["twilio"] == "open"


async def test_open_circuit_breaker_is_ignored_without_an_alternative(
    scenario: FailoverScenario, message_db: MessageDatabase, phone: str
) -> None:
    tenant = await scenario.api.tenant()
    scenario.twilio.behaviour = twilio.reject(20429, 429)
    scenario.sns.behaviour = aws.reject("Throttled", status=429)
    rejected = [
        (await scenario.api.post("/api/auth/request", {"phone": new_phone()}, tenant["api_key"])).status_code
        for _ in range(2 * MAX_FAILURES)
    ]
    assert set(rejected) == {502}
    scenario.twilio.behaviour = twilio.take

    requested = await scenario.api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.json()["status"] == "sent"
    assert (await message_db.message(tenant["tenant_id"], phone))["provider"] == "twilio"
    assert (await scenario.api.client.get("/health")).json()["providers"]["twilio"] == "ok"


async def test_sandbox_has_no_circuit_breaker(scenario: FailoverScenario) -> None:
    tenant = await scenario.api.tenant()
    statuses = await asyncio.gather(
        *(
            scenario.api.post("/api/auth/request", {"phone": "+15005550002"}, tenant["test_key"])
            for _ in range(2 * MAX_FAILURES)
        )
    )
    assert {answer.status_code for answer in statuses} == {502}
    assert (await scenario.api.client.get("/health")).json()["providers"] == {"twilio": "ok", "sns": "ok"}
