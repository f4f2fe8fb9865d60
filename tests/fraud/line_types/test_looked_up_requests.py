"""Requests whose line type is looked up at Twilio."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from auth1.challenges import send_code
from auth1.core.circuit_breaker import CircuitBreaker
from auth1.fraud.line_types import lookup as lookup_client
from tests.conftest import Started, new_phone
from tests.fraud.conftest import managed_tenant
from tests.fraud.visitors import BLOCK, Visitors, outcome
from tests.support.process import until
from tests.support.providers import lookup as fake
from tests.support.providers.lookup import LookupRequest, LookupServer, packages


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
        assert (await looked_up.request(new_phone())).headers["retry-after"] == "5"


class Slow:
    """A look-up that answers when it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, server: LookupServer, request: LookupRequest, writer: asyncio.StreamWriter) -> None:
        await self.released.wait()
        await fake.answer(server, request, writer)


@pytest.fixture
async def narrow(
    start_app: Started, fraud_url: str, lookup: LookupServer, visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> Visitors:
    """Return the visitors of a tenant of an application that looks up one number at once."""
    monkeypatch.setattr(lookup_client, "MAX_CALLS", 1)
    monkeypatch.setattr(lookup_client, "WAIT_S", 0.01)
    lookup.reset()
    settings = {"TWILIO_LOOKUP_URL": lookup.url, "TWILIO_LOOKUP_FIELDS": "line_type_intelligence"}
    api = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000", TIMEOUT_SCALE="30", **settings)
    visitors.managed = await managed_tenant(api)
    return visitors


async def request_together(visitors: Visitors, lookup: LookupServer, phones: list[str]) -> list[str]:
    """Request codes at once; the first look-up ends when all other requests have been answered."""
    lookup.behaviour = slow = Slow()
    tasks = [asyncio.create_task(visitors.request(phone, f"198.51.{number}.1")) for number, phone in enumerate(phones)]
    await until(lambda: sum(task.done() for task in tasks) == len(tasks) - 1)
    slow.released.set()
    answers = await asyncio.gather(*tasks)
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    return [outcome(answer) for answer in answers]


async def test_voip_numbers_above_our_capacity_are_not_let_through(
    narrow: Visitors, lookup: LookupServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[CircuitBreaker] = []

    def fail(breaker: CircuitBreaker) -> None:
        failures.append(breaker)

    monkeypatch.setattr(CircuitBreaker, "failed", fail)
    phones = [new_phone() for _ in range(6)]  # in one block, which takes no more
    lookup.numbers |= {phone: packages("nonFixedVoip") for phone in phones}

    outcomes = await request_together(narrow, lookup, phones)
    await narrow.settle()

    assert sorted(outcomes) == ["request_blocked"] + ["unavailable"] * 5
    assert failures == [], "our own lack of connections is no failure of Twilio"
    lookup.behaviour = fake.answer
    assert outcome(await narrow.request(new_phone())) == "sent"


async def test_policy_in_shadow_rejects_no_request_above_our_capacity(narrow: Visitors, lookup: LookupServer) -> None:
    await narrow.change_policy(mode="shadow")

    assert await request_together(narrow, lookup, [new_phone() for _ in range(5)]) == ["sent"] * 5


@pytest.mark.parametrize("where", ["look-up", "hook"])
async def test_cancelled_request_is_no_exposure(
    looked_up: Visitors, lookup: LookupServer, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    numbers, address = [f"{BLOCK}0{number:03}" for number in range(100, 110)], "198.51.100.7"
    slow, reached = Slow(), asyncio.Event()

    async def wait(*arguments: object, **named: object) -> None:
        reached.set()
        await asyncio.Event().wait()

    with monkeypatch.context() as patched:
        if where == "hook":
            patched.setattr(send_code, "before_send", wait)
        else:
            lookup.behaviour = slow
        for count, phone in enumerate(numbers[:9], start=1):
            reached.clear()
            task = asyncio.create_task(looked_up.request(phone, address))
            await (reached.wait() if where == "hook" else until(lambda count=count: len(lookup.requests) == count))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await looked_up.settle()
    slow.released.set()
    lookup.behaviour = fake.answer

    assert outcome(await looked_up.request(numbers[9], address)) == "sent"
