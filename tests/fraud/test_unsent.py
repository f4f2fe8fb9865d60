"""Messages that no provider accepts after the request was answered: their exposure is taken back."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from auth1.errors import Unavailable
from auth1.fraud import unsent
from auth1.fraud.exposures.messages import Message, read_state
from auth1.fraud.scopes import State
from auth1.messaging import dispatcher
from tests.fraud.visitors import BLOCK, Visitors
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import reject, take

PHONES = [f"{BLOCK}0{number:03}" for number in range(100, 104)]
ADDRESS = "198.51.100.7"


@pytest.fixture
def rejected(visitors: Visitors) -> Iterator[None]:
    """Let the provider reject every message."""
    visitors.twilio.behaviour = reject(20003, 401)
    yield
    visitors.twilio.behaviour = take


@contextmanager
def full_worker(visitors: Visitors) -> Iterator[None]:
    """Leave every message to the outbox."""
    with ExitStack() as full:
        for _ in range(dispatcher.MAX_IN_FLIGHT):
            full.enter_context(visitors.managed.api.services.messenger.reserve_capacity())
        yield


async def queue(visitors: Visitors, phone: str, address: str | None = ADDRESS) -> None:
    with full_worker(visitors):
        answer = await visitors.request(phone, address)
    assert (answer.status_code, answer.json()["status"]) == (200, "queued"), answer.text


async def exposures(visitors: Visitors, address: str | None = ADDRESS) -> list[float]:
    """Return the exposure of each scope of the numbers: blocks, address and network, country."""
    message = Message(visitors.tenant_id, PHONES[0], PHONES[0], "US", address=address)
    redis = visitors.managed.api.services.redis
    found = [await redis.call("GET", key) for key in message.narrow_keys()]
    states: list[State] = [read_state(one) for one in [*found, await redis.call("HGET", message.wide_key(), "US")]]
    return [round(state.exposure, 3) for state in states]


async def run_outbox(visitors: Visitors) -> None:
    await visitors.managed.api.services.outbox.run_once()
    await visitors.settle()


@pytest.mark.usefixtures("rejected")
async def test_message_that_the_outbox_cannot_send_is_taken_back(visitors: Visitors) -> None:
    for phone in PHONES:
        await queue(visitors, phone)
    assert (await exposures(visitors))[:4] == [4.0] * 4

    await run_outbox(visitors)

    assert await exposures(visitors) == [0.0] * 5


@pytest.mark.usefixtures("rejected")
async def test_message_of_a_request_without_address_is_taken_back(visitors: Visitors) -> None:
    visitors.key = "secret_key"
    await queue(visitors, PHONES[0], None)
    assert (await exposures(visitors, None))[:2] == [1.0, 1.0]

    await run_outbox(visitors)

    assert await exposures(visitors, None) == [0.0] * 3


@pytest.mark.usefixtures("rejected")
async def test_message_is_taken_back_when_redis_is_back(visitors: Visitors) -> None:
    for phone in PHONES:
        await queue(visitors, phone)
    redis = visitors.managed.api.services.redis
    await redis.stop()
    await run_outbox(visitors)
    assert await redis.start()

    await visitors.settle()

    assert await exposures(visitors) == [0.0] * 5


@pytest.mark.usefixtures("rejected")
async def test_message_is_taken_back_when_postgresql_is_back(
    visitors: Visitors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await queue(visitors, PHONES[0])
    services = visitors.managed.api.services

    async def fail(*_: object) -> None:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(unsent, "get_policy", fail)
        with pytest.raises(Unavailable):
            await services.outbox.run_once()
    assert (await exposures(visitors))[0] == 1.0

    await run_outbox(visitors)

    assert await exposures(visitors) == [0.0] * 5


async def test_sent_message_stays_exposed_beside_one_that_was_not_sent(visitors: Visitors) -> None:
    """One code, two messages from two addresses: the second one fails."""
    phone = PHONES[0]
    await visitors.request(phone, "203.0.113.1")
    await end_resend_delay(visitors.database, phone)
    await queue(visitors, phone)
    visitors.twilio.script.append(reject(20003, 401))

    await run_outbox(visitors)

    assert (await exposures(visitors))[:4] == [1.0, 1.0, 0.0, 0.0]
    assert (await exposures(visitors, "203.0.113.1"))[:4] == [1.0] * 4


async def test_queued_message_of_an_answered_code_is_not_taken_back_twice(visitors: Visitors) -> None:
    """The code of the first message is entered while the second one waits in the outbox."""
    phone = PHONES[0]
    await visitors.request(PHONES[1])
    await visitors.request(phone, ADDRESS)
    await end_resend_delay(visitors.database, phone)
    await queue(visitors, phone)
    assert (await visitors.verify(phone, ADDRESS)).status_code == 200
    await visitors.settle()
    assert (await exposures(visitors))[:4] == [1.0, 1.0, 0.0, 1.0]

    await run_outbox(visitors)

    assert (await exposures(visitors))[:4] == [1.0, 1.0, 0.0, 1.0]
