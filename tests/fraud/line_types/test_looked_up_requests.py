"""Requests whose line type is looked up at Twilio."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Started, new_phone
from tests.fraud.conftest import managed_tenant
from tests.fraud.visitors import Visitors, outcome
from tests.support.providers import lookup as fake
from tests.support.providers.lookup import LookupServer, packages


@pytest.fixture(scope="module")
async def lookup() -> AsyncIterator[LookupServer]:
    async with LookupServer() as server:
        yield server


@pytest.fixture
async def looked_up(start_app: Started, fraud_url: str, lookup: LookupServer, visitors: Visitors) -> Visitors:
    """Return the visitors of a tenant of an application with Lookup."""
    lookup.reset()
    settings = {"TWILIO_LOOKUP_URL": lookup.url, "TWILIO_LOOKUP_FIELDS": "line_type_intelligence"}
    api = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000", **settings)
    visitors.managed = await managed_tenant(api)
    return visitors


async def test_voip_number_is_blocked_by_its_looked_up_type(looked_up: Visitors, lookup: LookupServer) -> None:
    phone = new_phone()
    lookup.numbers[phone] = packages("nonFixedVoip")

    assert outcome(await looked_up.request(phone)) == "request_blocked"

    [decision] = await looked_up.decisions()
    assert decision["reasons"] == ["line_type: nonFixedVoip"]
    assert decision["features"]["line_type"] == "nonFixedVoip"


async def test_blocked_type_is_no_exposure(looked_up: Visitors, lookup: LookupServer) -> None:
    for _ in range(10):
        lookup.numbers[phone := new_phone()] = packages("nonFixedVoip")
        assert outcome(await looked_up.request(phone)) == "request_blocked"
        await looked_up.settle()

    assert outcome(await looked_up.request(new_phone())) == "sent"


async def test_look_up_adds_one_statement(looked_up: Visitors) -> None:
    await looked_up.request(phone := new_phone())
    services = looked_up.managed.api.services
    before = services.postgres.round_trips

    assert outcome(await looked_up.request(new_phone(), "192.0.2.1")) == "sent"
    await services.fraud_sources.line_types.close()

    assert services.postgres.round_trips - before == 4  # one of them stores what was bought, in the background
    assert phone


async def test_failed_look_up_is_flagged(looked_up: Visitors, lookup: LookupServer) -> None:
    lookup.behaviour = fake.status(500)

    assert outcome(await looked_up.request(new_phone())) == "sent"

    await looked_up.settle()
    [decision] = await looked_up.decisions()
    assert decision["decision"] == "allow"
    assert decision["reasons"] == ["lookup_failed: http_error"]


async def test_failed_look_up_is_503_where_the_policy_says_so(looked_up: Visitors, lookup: LookupServer) -> None:
    await looked_up.change_policy(lookup_outage="unavailable")
    lookup.behaviour = fake.status(500)

    for _ in range(8):
        assert outcome(await looked_up.request(new_phone())) == "unavailable"
        await looked_up.settle()
