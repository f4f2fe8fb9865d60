"""Workers are killed during deliveries: each arrives at least once with the same id, and none is lost."""

import asyncio
import random
import sys
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import pytest

from tests.conftest import JWT_SECRET, Started
from tests.support.api_client import ApiClient
from tests.support.effort import effort
from tests.support.receiver import Received, Receiver
from tests.webhooks.conftest import Owner

EVENTS = effort(150, 10_000)
KILLS = effort(4, 200)
WORKERS = 2
LEASE_S = 8.0  # a call that takes half of it is tried again minutes later
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
async def webhook_api(webhook_url: str, start_app: Started) -> ApiClient:
    return await start_app(DATABASE_URL=webhook_url, WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")


async def start_worker(database_url: str) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.webhooks.worker_process", database_url, JWT_SECRET, str(LEASE_S)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"started\n"
    return process


async def kill(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()


async def test_killed_workers_lose_nothing(owner: Owner, webhook_url: str) -> None:
    rng = random.Random(1)

    async def answer(call: Received) -> int:
        await asyncio.sleep(0.01)
        return 204

    async with Receiver(answer) as receiver, AsyncExitStack() as stack:
        webhooks = [await owner.webhook("user.updated", url=receiver.url) for _ in range(2)]
        await owner.database.execute(
            """insert into events (tenant_id, id, type, actor, subject)
               select $1, left(id_floor('evt', now()), 14) || lpad(n::text, 16, '0'), 'user.updated', 'key_1', 'usr_1'
               from generate_series(1, $2) as n""",
            *(owner.tenant_id, EVENTS),
        )
        while await owner.fan_out():
            pass
        processes = [await start_worker(webhook_url) for _ in range(WORKERS)]
        for process in processes:
            stack.push_async_callback(kill, process)

        for number in range(KILLS):
            await receiver.wait_for(min(2 * EVENTS * (number + 1) // (KILLS + 2), 2 * EVENTS), seconds=600)
            await kill(processes[index := rng.randrange(WORKERS)])
            processes[index] = await start_worker(webhook_url)
            stack.push_async_callback(kill, processes[index])
        async with asyncio.timeout(600):
            pending = "select count(*) from deliveries where state = 'pending'"
            while await owner.database.fetchval(pending):  # noqa: ASYNC110  # the state of a database
                await asyncio.sleep(0.1)

        sent = {row["event_id"] for row in await owner.deliveries(webhooks[0])}
        assert len(sent) == EVENTS
        for webhook in webhooks:
            assert {row["state"] for row in await owner.deliveries(webhook)} == {"delivered"}
        times, bodies = Counter(receiver.ids), {(call.id, call.body) for call in receiver.calls}
        assert set(times) == sent
        assert min(times.values()) >= 2  # once for each webhook
        assert len(bodies) == EVENTS  # the same bytes each time
        # A kill repeats no more than the calls that were in progress.
        assert sum(times.values()) - 2 * EVENTS <= KILLS * 2 * 10
