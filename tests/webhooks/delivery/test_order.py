"""Deliveries leave in the order of their events, at least once, and no endpoint delays another."""

import asyncio

import pytest

from auth1.core.outbound.connect import Connector, Destination
from auth1.core.outbound.connection import Connection
from auth1.webhooks.delivery import leases
from tests.support.receiver import Received, Receiver
from tests.webhooks.conftest import Owner
from tests.webhooks.delivery.worker import deliver, make_due, new_worker, send, state, subscribe

HELD = """
select (select count(*) from pg_locks where relation in ('deliveries'::regclass, 'webhooks'::regclass))
  + (select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%')
"""


async def test_first_attempts_leave_in_the_order_of_the_events(
    owner: Owner, receiver: Receiver, departures: list[str]
) -> None:
    webhook = await subscribe(owner, receiver)
    sent = await send(owner, 40)
    receiver.answer = lambda call: 500 if call.id in sent[3::7] and receiver.ids.count(call.id) == 1 else 204

    await deliver(owner)

    assert departures == sent
    assert sorted(receiver.ids) == sorted(sent)
    await make_due(owner)
    later = await send(owner, 5)
    await deliver(owner)
    again = [event_id for event_id in departures[40:] if event_id in sent]
    assert sorted(again) == sent[3::7]
    assert [event_id for event_id in departures[40:] if event_id in later] == later
    assert {name for name, _ in await state(owner, webhook)} == {"delivered"}


async def test_slow_connection_does_not_change_the_order(
    owner: Owner, receiver: Receiver, departures: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await subscribe(owner, receiver)
    sent = await send(owner, 30)
    connect, connections = Connector.connect, 0

    async def slow(self: Connector, destination: Destination, end: float) -> Connection:
        nonlocal connections
        connections += 1
        await asyncio.sleep(0.05 if connections % 2 else 0)
        return await connect(self, destination, end)

    monkeypatch.setattr(Connector, "connect", slow)
    await deliver(owner)

    assert connections >= 2
    assert departures == sent
    assert sorted(receiver.ids) == sorted(sent)


async def test_call_that_ends_early_holds_up_no_later_call(
    owner: Owner, receiver: Receiver, departures: list[str]
) -> None:
    webhook = await subscribe(owner, receiver)
    sent = await send(owner, 6)
    await owner.database.execute("delete from events where id = any($1)", [sent[0], sent[3]])

    await deliver(owner)

    assert departures == [sent[1], sent[2], sent[4], sent[5]]
    assert [name for name, _ in await state(owner, webhook)].count("failed") == 2


async def test_failing_endpoint_gets_one_call_at_a_time(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner, 12)
    await owner.database.execute("update webhooks set failures = 3 where id = $1", webhook["webhook_id"])
    calm = asyncio.Event()

    async def fail_first(call: Received) -> int:
        await asyncio.sleep(0.01)
        return 204 if calm.is_set() else 500

    receiver.answer = fail_first
    for _ in range(3):
        await make_due(owner)
        await deliver(owner)
    assert receiver.most_at_once == 1
    assert len(receiver.calls) == 3  # a pause follows each

    calm.set()
    await make_due(owner)
    await deliver(owner)
    assert receiver.most_at_once > 1
    assert {name for name, _ in await state(owner, webhook)} == {"delivered"}


async def test_endpoints_that_hang_do_not_delay_others(owner: Owner, receiver: Receiver) -> None:
    """Nine endpoints of one tenant hang; the tenth gets its events, also while those calls are in progress."""
    forever = asyncio.Event()

    async def hang(call: Received) -> int:
        await forever.wait()
        return 204

    async with Receiver(hang) as hanging:
        for _ in range(9):
            await subscribe(owner, hanging)
        webhook = await subscribe(owner, receiver)
        await send(owner, 20)
        worker = new_worker(owner, drain_s=0.0)
        worker.start()

        await receiver.wait_for(20)
        later = await send(owner, 20)
        worker.wake()
        await receiver.wait_for(40)

        assert sorted(receiver.ids[20:]) == sorted(later)
        assert hanging.in_progress >= 9
        assert hanging.in_progress + receiver.in_progress <= 25  # half of the calls of a worker
        # Statements end at once; what is held during a call would stay.
        async with asyncio.timeout(60):
            while await owner.database.fetchval(HELD):  # noqa: ASYNC110  # the state of a database
                await asyncio.sleep(0.01)
        await worker.stop()

    given_back = (
        "select count(*) from deliveries where tenant_id = $1 and claimed_until is not null and state = 'pending'"
    )
    assert await owner.database.fetchval(given_back, owner.tenant_id) == 0
    leased = "select count(*) from webhooks where tenant_id = $1 and leased_until > now()"
    assert await owner.database.fetchval(leased, owner.tenant_id) == 0
    assert {name for name, _ in await state(owner, webhook)} == {"delivered"}


async def test_stop_waits_for_calls_in_progress(owner: Owner, receiver: Receiver) -> None:
    begun, release = asyncio.Event(), asyncio.Event()

    async def wait(call: Received) -> int:
        begun.set()
        await release.wait()
        return 204

    receiver.answer = wait
    webhook = await subscribe(owner, receiver)
    await send(owner, 5)
    worker = new_worker(owner, drain_s=60.0)
    await worker.run_once()
    await begun.wait()

    stopping = asyncio.create_task(worker.stop())
    await asyncio.sleep(0.05)
    release.set()
    await stopping

    names = [name for name, _ in await state(owner, webhook)]
    assert names.count("delivered") == len(receiver.calls) <= 2
    receiver.answer = lambda call: 204
    await deliver(owner)
    assert sorted(receiver.ids) == sorted(row["event_id"] for row in await owner.deliveries(webhook))


async def test_claims_of_a_crashed_worker_lapse(owner: Owner, receiver: Receiver, departures: list[str]) -> None:
    """A crash after the lease, and one after the claim: the deliveries are sent once the lease has lapsed."""
    webhook = await subscribe(owner, receiver)
    sent = await send(owner, 3)
    postgres = owner.services.postgres

    [leased] = [
        row
        for row in await leases.lease_endpoints(postgres, "lse_a", 0.3, max_rows=99, max_healthy=99, max_failing=99)
        if row.webhook_id == webhook["webhook_id"]
    ]
    claim = leases.ClaimDeliveries(*leased[:2], "lse_a", 0.3, max_rows=2, max_again=0)
    assert len(await leases.claim_deliveries(postgres, claim)) == 2
    other = new_worker(owner)
    await other.run_once()
    await other.join()
    assert receiver.calls == []

    await asyncio.sleep(0.35)
    assert await leases.claim_deliveries(postgres, claim) == []  # the lease has lapsed
    await deliver(owner, other)
    await other.stop()

    assert departures == sent
    assert sorted(receiver.ids) == sorted(sent)
    assert not await leases.renew_lease(postgres, leased, "lse_a", 30)


async def test_four_workers_send_nothing_twice(owner: Owner, receiver: Receiver) -> None:
    webhooks = [await subscribe(owner, receiver) for _ in range(3)]
    workers = [new_worker(owner) for _ in range(4)]
    for worker in workers:
        worker.start()

    sent = []
    for _ in range(10):
        sent += await send(owner, 10)
        for worker in workers:
            worker.wake()
    await receiver.wait_for(300)
    await asyncio.gather(*(worker.stop() for worker in workers))

    assert sorted(receiver.ids) == sorted(sent * 3)
    for webhook in webhooks:
        assert set(await state(owner, webhook)) == {("delivered", 1)}
