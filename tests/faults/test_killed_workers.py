"""kill -9 of a worker at each step between accepting a request and sending its response.

A relay holds the statements, so that each step is hit. An accepted request is never lost: it is not begun, finished, or
unknown within 30 s. No message is sent twice.
"""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import asyncpg
import httpx
import pytest

from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.relay import Relay
from tests.faults.test_lost_commits import ANSWER_CHALLENGE, OPEN_CHALLENGE, RECORD_DELIVERY
from tests.support.process import Auth1, until
from tests.support.providers.twilio import Request, TwilioServer, hang, take

SETTLED_S = 30.0  # the contract's bound
SLOW_MACHINE_S = 300.0


class CrashScenario:
    """A program behind a relay, and a user that logs in."""

    def __init__(self, server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Pool) -> None:
        self.server, self.relay, self.carrier, self.database = server, relay, carrier, database
        self.phone = new_phone()
        self.key = ""

    async def ask(self) -> httpx.Response:
        return await self.server.ask(self.phone, self.key)

    async def answer(self) -> httpx.Response:
        return await self.server.answer(self.phone, self.carrier.code_for(self.phone), self.key)

    async def kill_when(self, moment: asyncio.Event, request: Callable[[], Awaitable[httpx.Response]]) -> None:
        """Send a request, kill the worker at the event, and wait until another worker serves."""
        under_way = asyncio.ensure_future(request())
        async with asyncio.timeout(SLOW_MACHINE_S):
            await moment.wait()
        [victim] = self.server.workers
        os.kill(victim, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            await under_way
        await until(lambda: self.server.workers not in ([], [victim]), explain=self.server.text)
        await until(self.ready)

    async def ready(self) -> bool:
        try:
            return await self.server.status("/health/ready") == 200
        except httpx.TransportError:
            return False

    async def state(self) -> object:
        """Return the state of the only message; None without one."""
        rows = await self.database.fetch("select state from messages where identifier = $1", self.phone)
        assert len(rows) <= 1
        return rows[0]["state"] if rows else None

    async def settled(self) -> bool:
        return await self.state() != "queued"

    async def sessions(self) -> object:
        sql = "select count(*) from sessions where user_id = (select user_id from identifiers where identifier = $1)"
        return await self.database.fetchval(sql, self.phone)


@pytest.fixture
async def pool(own_database_url: str) -> AsyncIterator[asyncpg.Pool]:
    async with asyncpg.create_pool(own_database_url, min_size=1, max_size=5) as pool:
        yield pool


Stage = Callable[..., Awaitable[CrashScenario]]


@pytest.fixture
async def scene(
    module_launcher: Launcher,
    own_database_url: str,
    carrier: TwilioServer,
    pool: asyncpg.Pool,
    stack: AsyncExitStack,
) -> Stage:
    """Return a scene whose tenant has these settings."""

    async def make(**settings: object) -> CrashScenario:
        relay = await stack.enter_async_context(Relay(own_database_url))
        server = await stack.enter_async_context(module_launcher(DATABASE_URL=relay.url))
        made = CrashScenario(server, relay, carrier, pool)
        made.key = (await server.tenant(**settings))["api_key"]
        return made

    return make


async def before_the_statement(scene: CrashScenario) -> None:
    """Kill before the database receives the request."""
    hold = scene.relay.hold(OPEN_CHALLENGE)
    await scene.kill_when(hold.caught, scene.ask)
    hold.cut()
    assert await scene.state() is None


async def after_the_commit(scene: CrashScenario) -> None:
    """Kill after the row is committed and before Twilio is called."""
    hold = scene.relay.hold_answer(OPEN_CHALLENGE)
    await scene.kill_when(hold.caught, scene.ask)
    hold.cut()


async def while_twilio_has_it(scene: CrashScenario) -> None:
    """Kill while Twilio has the message and has not responded."""
    arrived = asyncio.Event()

    async def hang_once(request: Request, writer: asyncio.StreamWriter) -> None:
        if request.form["To"] == scene.phone and not arrived.is_set():
            arrived.set()
            await hang(request, writer)
        await take(request, writer)

    scene.carrier.behaviour = hang_once
    await scene.kill_when(arrived, scene.ask)


async def before_it_is_written_down(scene: CrashScenario) -> None:
    """Kill after Twilio accepted the message and before that is recorded."""
    hold = scene.relay.hold(RECORD_DELIVERY)
    await scene.kill_when(hold.caught, scene.ask)
    hold.cut()


async def before_the_answer(scene: CrashScenario) -> None:
    """Kill after the delivery is recorded and before the caller gets the response."""
    hold = scene.relay.hold_answer(RECORD_DELIVERY)
    await scene.kill_when(hold.caught, scene.ask)
    hold.cut()
    assert await scene.state() == "sent"


async def test_worker_killed_during_a_code_request_sends_no_duplicate(scene: Stage, carrier: TwilioServer) -> None:
    deaths = {
        before_the_statement: (None, 0),
        after_the_commit: ("unknown", 0),
        while_twilio_has_it: ("unknown", 1),
        before_it_is_written_down: ("unknown", 1),
        before_the_answer: ("sent", 1),
    }

    async def die_and_settle(death: Callable[[CrashScenario], Awaitable[None]], state: str | None, sent: int) -> None:
        played = await scene()
        await death(played)
        took_s = await until(played.settled, SLOW_MACHINE_S)
        print(f"{death.__name__}: settled {took_s:.1f} s after the respawn, of {SETTLED_S:.0f}", file=sys.stderr)
        assert await played.state() == state, death.__name__
        assert len(carrier.sent_to(played.phone)) == sent, death.__name__

        # Asking again is open at once, unless the message is known to have left; the code is the same.
        again = await played.ask()
        if state == "sent":
            assert again.json()["code"] == "resend_too_soon"
        else:
            assert (again.status_code, again.json()["status"]) == (200, "sent"), again.text
            assert len(carrier.sent_to(played.phone)) == sent + 1
        assert len(set(carrier.sent_to(played.phone))) == 1
        assert (await played.answer()).status_code == 200

    await asyncio.gather(*(die_and_settle(death, *expected) for death, expected in deaths.items()))


@pytest.mark.parametrize("committed", [False, True])
async def test_worker_killed_during_verification_leaves_a_session_or_a_valid_code(
    scene: Stage, committed: bool
) -> None:
    played = await scene(max_otp_attempts=1)
    assert (await played.ask()).status_code == 200

    hold = played.relay.hold_answer(ANSWER_CHALLENGE) if committed else played.relay.hold(ANSWER_CHALLENGE)
    await played.kill_when(hold.caught, played.answer)
    hold.cut()

    if committed:
        assert await played.sessions() == 1
        assert (await played.answer()).json()["code"] == "no_active_challenge"
        # No client received the tokens of that session; a new code can be requested immediately.
        assert (await played.ask()).status_code == 200
        assert (await played.answer()).status_code == 200
    else:
        assert await played.sessions() == 0
        assert (await played.answer()).status_code == 200
        assert await played.sessions() == 1


@pytest.mark.parametrize("committed", [False, True])
async def test_worker_killed_during_a_batch_leaves_each_a_session_or_a_valid_code(
    scene: Stage, carrier: TwilioServer, committed: bool
) -> None:
    played = await scene(max_otp_attempts=1)
    phones = [new_phone() for _ in range(8)]
    for phone in phones:
        assert (await played.server.ask(phone, played.key)).status_code == 200

    async def answer(phone: str) -> httpx.Response:
        return await played.server.answer(phone, carrier.code_for(phone), played.key)

    async def answer_all() -> httpx.Response:
        return (await asyncio.gather(*(answer(phone) for phone in phones)))[0]

    hold = played.relay.hold_answer(ANSWER_CHALLENGE) if committed else played.relay.hold(ANSWER_CHALLENGE)
    await played.kill_when(hold.caught, answer_all)
    hold.cut()

    sql = "select count(*) from sessions where user_id = (select user_id from identifiers where identifier = $1)"
    opened = [await played.database.fetchval(sql, phone) for phone in phones]
    assert any(opened) if committed else not all(opened)
    for phone, sessions in zip(phones, opened, strict=True):
        again = await answer(phone)
        assert again.status_code == (400 if sessions else 200), again.text
        assert await played.database.fetchval(sql, phone) == 1


async def test_orphaned_statement_is_not_executed_after_its_lock_wait(scene: Stage) -> None:
    """The database does not notice a killed client; a statement that waits for a lock times out."""
    played = await scene(max_otp_attempts=1)
    assert (await played.ask()).status_code == 200
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and application_name = 'auth1'"
    a_statement_waits = asyncio.Event()

    async def watch() -> None:
        while not await played.database.fetchval(waiting):
            pass
        a_statement_waits.set()

    async def no_statement_waits() -> bool:
        return not await played.database.fetchval(waiting)

    async with played.database.acquire() as locker, locker.transaction():
        await locker.execute("select from identifiers where identifier = $1 for update", played.phone)
        watching = asyncio.create_task(watch())
        await played.kill_when(a_statement_waits, played.answer)
        await watching
        await until(no_statement_waits)

    assert await played.sessions() == 0
    assert (await played.answer()).status_code == 200
