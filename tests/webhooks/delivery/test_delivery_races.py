"""Replays, cancellations and deletions while workers send the same deliveries; a backlog is never held up by them."""

import asyncio
import itertools
import random
from collections import Counter
from typing import Any

import pytest

from auth1 import retention
from auth1.webhooks import delivery_store
from auth1.webhooks.delivery.endpoint_queue import MAX_AT_ONCE
from auth1.webhooks.delivery_ids import delivery_id
from tests.support.receiver import Received, Receiver
from tests.webhooks.conftest import Owner
from tests.webhooks.delivery.worker import (
    attempts,
    deliver,
    endpoint,
    make_due,
    new_worker,
    send,
    state,
    subscribe,
)

REPLAYS = 15


class Held:
    """Calls that wait until the test lets them end with a status."""

    def __init__(self, receiver: Receiver, *statuses: int) -> None:
        self._receiver, self._statuses = receiver, list(statuses)
        self.ends = [asyncio.Event() for _ in statuses]
        receiver.answer = self._answer

    async def _answer(self, call: Received) -> int:
        number = len(self._receiver.calls) - 1
        if number >= len(self.ends):
            return 204
        await self.ends[number].wait()
        return self._statuses[number]


def path_of(webhook: dict[str, Any], event_id: str, action: str) -> str:
    return f"/{webhook['webhook_id']}/deliveries/{delivery_id(webhook['webhook_id'], event_id)}/{action}"


async def check_nothing_is_held(owner: Owner, webhook: dict[str, Any]) -> None:
    assert {row["claimed_until"] for row in await owner.deliveries(webhook)} == {None}
    assert (await endpoint(owner, webhook))["lease"] is None


async def test_replays_while_workers_send_lose_and_miscount_nothing(
    owner: Owner, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_store, "REPLAY_INTERVAL_MS", 1)
    rng = random.Random(13)
    webhook = await subscribe(owner, receiver)
    path = f"/{webhook['webhook_id']}"
    receiver.answer = lambda call: rng.choice([204, 204, 204, 500])
    sent = await send(owner, 40)
    workers = [new_worker(owner) for _ in range(2)]
    for worker in workers:
        worker.start()
    await receiver.wait_for(10)
    before = dict[str, int]()

    async def replay_ended() -> None:
        """Replay a delivery that has ended: a call must follow."""
        ended = [row["event_id"] for row in await owner.deliveries(webhook) if row["state"] == "delivered"]
        if ended:
            event_id = rng.choice(ended)
            calls = receiver.ids.count(event_id)
            assert (await owner.call("POST", path_of(webhook, event_id, "replay"))).status_code == 202
            before[event_id] = calls

    async def replay_any() -> None:
        assert (await owner.call("POST", path_of(webhook, rng.choice(sent), "replay"))).status_code == 202

    async def replay_range() -> None:
        body = {"state": rng.choice(["failed", "delivered", "cancelled"]), "since": "2020-01-01T00:00:00Z"}
        assert (await owner.call("POST", f"{path}/replay", body)).status_code == 202

    async def cancel() -> None:
        one = await owner.call("POST", path_of(webhook, rng.choice(sent), "cancel"))
        assert one.status_code in (200, 409), one.text

    for _ in range(REPLAYS):
        await replay_ended()
        await asyncio.gather(replay_any(), replay_range(), cancel(), owner.call("POST", f"{path}/replay"))
        await make_due(owner)
    await asyncio.gather(*(worker.stop() for worker in workers))
    cancelled = [row["event_id"] for row in await owner.deliveries(webhook) if row["state"] == "cancelled"]
    receiver.answer = lambda call: 204
    for event_id in cancelled:
        await owner.call("POST", path_of(webhook, event_id, "replay"))
    await make_due(owner)
    await deliver(owner)

    rows = {row["event_id"]: row for row in await owner.deliveries(webhook)}
    calls = Counter(receiver.ids)
    assert set(rows) == set(sent)
    assert {row["state"] for row in rows.values()} == {"delivered"}
    assert {event_id: row["attempts"] for event_id, row in rows.items()} == dict(calls)
    for event_id, row in rows.items():
        assert [call["attempt"] for call in await attempts(owner, event_id)] == list(range(1, row["attempts"] + 1))
    assert [event_id for event_id, count in before.items() if calls[event_id] <= count] == []
    await check_nothing_is_held(owner, webhook)


async def test_replay_during_the_last_attempt_begins_again(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)
    await owner.database.execute("update deliveries set attempts = 9 where event_id = $1", event_id)
    held = Held(receiver, 500)
    sending = asyncio.create_task(deliver(owner, worker := new_worker(owner)))
    await receiver.wait_for(1)

    assert (await owner.call("POST", path_of(webhook, event_id, "replay"))).status_code == 202
    held.ends[0].set()
    await sending
    await worker.stop()

    assert receiver.ids == [event_id] * 2  # the second at once
    [row] = await owner.deliveries(webhook)
    assert (row["state"], row["attempts"], row["attempts_before"]) == ("delivered", 11, 9)
    await check_nothing_is_held(owner, webhook)


async def test_result_of_a_lapsed_claim_changes_nothing(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)
    held = Held(receiver, 204, 500)
    slow, other = new_worker(owner), new_worker(owner)
    first = asyncio.create_task(deliver(owner, slow))
    await receiver.wait_for(1)
    await owner.database.execute("update deliveries set claimed_until = now() - interval '1 s'")
    await owner.database.execute(
        "update webhooks set leased_until = '-infinity', due_at = now(), lease = null where id = $1",
        webhook["webhook_id"],
    )
    second = asyncio.create_task(deliver(owner, other))
    await receiver.wait_for(2)

    held.ends[0].set()
    await first
    await slow.stop()
    [row] = await owner.deliveries(webhook)
    assert (row["state"], row["attempts"], row["claimed_until"] is None) == ("pending", 0, False)

    held.ends[1].set()
    await second
    await other.stop()
    [row] = await owner.deliveries(webhook)
    assert (row["state"], row["attempts"], row["claimed_until"]) == ("pending", 1, None)
    assert [call["status"] for call in await attempts(owner, event_id)] == [500]


async def test_cancel_while_sending_leaves_calls_in_progress_alone(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner, 6)
    held = Held(receiver, 204, 500)
    sending = asyncio.create_task(deliver(owner, worker := new_worker(owner)))
    await receiver.wait_for(2)

    one = await owner.call("POST", path_of(webhook, receiver.ids[0], "cancel"))
    others = await owner.call("POST", f"/{webhook['webhook_id']}/cancel")
    for end in held.ends:
        end.set()
    await sending
    await worker.stop()

    assert (one.status_code, others.json()["deliveries"]) == (409, 4)
    assert len(receiver.calls) == 2
    counts = Counter(await state(owner, webhook))
    assert counts == {("delivered", 1): 1, ("pending", 1): 1, ("cancelled", 0): 4}
    await check_nothing_is_held(owner, webhook)


async def test_deletion_while_sending_ends_all_deliveries(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner, 6)
    held = Held(receiver, 204, 500)
    sending = asyncio.create_task(deliver(owner, worker := new_worker(owner)))
    await receiver.wait_for(2)

    assert (await owner.call("DELETE", f"/{webhook['webhook_id']}")).status_code == 204
    for end in held.ends:
        end.set()
    await sending
    await worker.stop()

    assert len(receiver.calls) == 2
    counts = Counter(await state(owner, webhook))
    assert counts == {("delivered", 1): 1, ("pending", 1): 1, ("pending", 0): 4}
    await check_nothing_is_held(owner, webhook)
    await owner.database.execute(
        "update webhooks set deleted_at = now() - interval '2 minutes' where id = $1", webhook["webhook_id"]
    )
    await retention.run_once(owner.services)
    assert await owner.deliveries(webhook) == []


async def test_requests_to_replay_share_one_rate(
    owner: Owner, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery_store, "REPLAY_INTERVAL_MS", 600_000)
    webhook = await subscribe(owner, receiver)
    sent = await send(owner, 4)
    path = f"/{webhook['webhook_id']}"
    await owner.finish(webhook, sent[:2], "failed")
    await owner.finish(webhook, sent[2:], "delivered")

    await owner.call("POST", f"{path}/replay")
    await owner.call("POST", f"{path}/replay", {"state": "delivered", "since": "2020-01-01T00:00:00Z"})

    due = [row["due_at"] for row in await owner.deliveries(webhook)]
    gaps = [(after - before).total_seconds() * 1000 for before, after in itertools.pairwise(due)]
    assert gaps == [delivery_store.REPLAY_INTERVAL_MS] * 3
    await owner.call("POST", f"{path}/cancel")
    assert (await endpoint(owner, webhook))["replayed_until"] is None


@pytest.mark.parametrize("replayed", ["delivered", "cancelled"])
async def test_backlog_drains_ten_at_once_beside_slow_replays(
    owner: Owner, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, replayed: str
) -> None:
    monkeypatch.setattr(delivery_store, "REPLAY_INTERVAL_MS", 3_600_000)
    webhook = await subscribe(owner, receiver)
    old = await send(owner, 5)
    if replayed == "cancelled":
        await owner.call("POST", f"/{webhook['webhook_id']}/cancel")
    else:
        await deliver(owner)
    before = len(receiver.calls)
    body = {"state": replayed, "since": "2020-01-01T00:00:00Z"}
    assert (await owner.call("POST", f"/{webhook['webhook_id']}/replay", body)).json()["deliveries"] == 5
    backlog = await send(owner, 60)

    async def hold(call: Received) -> int:
        """End only while the worker keeps ten calls in progress, after it had time to trust the endpoint."""
        done = len(receiver.calls) - before
        while done > 2 * MAX_AT_ONCE and len(receiver.calls) - before < len(backlog):
            if receiver.in_progress == MAX_AT_ONCE:
                break
            await asyncio.sleep(0.002)
        return 204

    receiver.answer = hold
    async with asyncio.timeout(60):
        await deliver(owner)

    assert sorted(receiver.ids[before:]) == sorted(backlog)
    assert receiver.most_at_once == MAX_AT_ONCE
    assert [row["state"] for row in await owner.deliveries(webhook)] == ["pending"] * len(old) + ["delivered"] * 60
