"""A code request that was committed and answered with 503: the outbox sends its message, once."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from tests.faults.conftest import Launcher
from tests.faults.relay import Relay
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

OPEN_CHALLENGE = "open_challenges("  # parts of the statements that no other statement has
FIND_OPENED = "select * from challenges where tenant_id = e.tenant_id and id = e.subject"


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay) -> AsyncIterator[Auth1]:
    async with module_launcher(DATABASE_URL=relay.url) as running:
        yield running


async def test_message_of_a_request_that_lost_the_database_is_sent_once(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    lost = relay.lose_answer(OPEN_CHALLENGE)
    relay.hold(FIND_OPENED).cut()

    requested = await server.ask(phone, key)

    assert lost.caught.is_set()
    assert requested.status_code == 503, requested.text
    await until(lambda: len(carrier.sent_to(phone)) == 1)
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200
    state = "select state from messages where identifier = $1"
    await until_state(database, state, phone, "sent")
    assert len(carrier.sent_to(phone)) == 1


async def until_state(database: asyncpg.Connection, query: str, phone: str, state: str) -> None:
    """Wait for the state of the only message of a phone."""

    async def is_reached() -> bool:
        return bool(await database.fetchval(query, phone) == state)

    await until(is_reached)
