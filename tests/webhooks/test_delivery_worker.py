"""Deliveries are sent: signed, in order, at least once, and no endpoint delays another."""

import asyncio
import ipaddress
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from standardwebhooks import WebhookVerificationError

from auth1 import metrics
from auth1.core.crypto import Keyring
from auth1.core.outbound.connect import Connector, Destination
from auth1.core.outbound.connection import Connection
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.http1 import ResponseParser
from auth1.webhooks.delivery import leases
from auth1.webhooks.delivery import worker as delivery_worker
from auth1.webhooks.delivery.schedule import pause_in
from auth1.webhooks.delivery.worker import DeliveryWorker
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.metric_values import value_of
from tests.support.receiver import Received, Receiver
from tests.webhooks.conftest import Owner

LOOPBACK = "127.0.0.0/8"
HELD = """
select (select count(*) from pg_locks where relation in ('deliveries'::regclass, 'webhooks'::regclass))
  + (select count(*) from pg_stat_activity where datname = current_database() and state like 'idle in%')
"""


@pytest.fixture(scope="module")
async def webhook_api(webhook_url: str, start_app: Started) -> ApiClient:
    """Return an application whose webhooks may call the loopback."""
    return await start_app(
        DATABASE_URL=webhook_url, APP_URL="https://auth.example.com", WEBHOOK_ALLOWED_NETWORKS=LOOPBACK
    )


@pytest.fixture
async def owner(owner: Owner) -> AsyncIterator[Owner]:
    yield owner
    await owner.database.execute("update webhooks set is_enabled = false where tenant_id = $1", owner.tenant_id)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


@pytest.fixture
def departures(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the ids of calls in the order in which they leave. Over several connections they arrive in any order."""
    left: list[str] = []
    real = Connection.exchange

    async def exchange(self: Connection, method: str, data: bytes, *arguments: Any, **options: Any) -> ResponseParser:
        if found := re.search(rb"webhook-id: (\S+)", data, re.IGNORECASE):
            left.append(found[1].decode())
        return await real(self, method, data, *arguments, **options)

    monkeypatch.setattr(Connection, "exchange", exchange)
    return left


def new_worker(owner: Owner, **options: Any) -> DeliveryWorker:
    services = owner.services
    guard = options.pop("guard", services.guard)
    keyring = options.pop("keyring", services.keyring)
    return DeliveryWorker(services.postgres, keyring, services.log, guard, **options)


async def deliver(owner: Owner, worker: DeliveryWorker | None = None) -> None:
    """Send all that is due now."""
    own = worker or new_worker(owner)
    while await own.run_once():
        await own.join()
    if worker is None:
        await own.stop()


async def subscribe(owner: Owner, receiver: Receiver, *events: str) -> dict[str, Any]:
    return await owner.webhook(*(events or ("user.updated",)), url=receiver.url)


async def send(owner: Owner, count: int = 1) -> list[str]:
    """Make events with their deliveries; return the ids of the events."""
    ids = await owner.add(*["user.updated"] * count)
    await owner.fan_out()
    return ids


async def make_due(owner: Owner) -> None:
    """Let the time of all later attempts and pauses of the tenant come."""
    keys = await owner.database.fetch(
        "select webhook_id, event_id from deliveries where tenant_id = $1", owner.tenant_id
    )
    update = "update deliveries set due_at = now() where tenant_id = $1 and webhook_id = $2 and event_id = $3"
    for key in keys:  # one row at a time: workers lock rows in another order
        await owner.database.execute(update, owner.tenant_id, *key)
    await owner.database.execute(
        "update webhooks set due_at = now(), paused_until = '-infinity' where tenant_id = $1", owner.tenant_id
    )


async def endpoint(owner: Owner, webhook: dict[str, Any]) -> asyncpg.Record:
    row = await owner.database.fetchrow("select * from webhooks where id = $1", webhook["webhook_id"])
    assert row is not None
    return row


async def attempts(owner: Owner, event_id: str) -> list[asyncpg.Record]:
    return await owner.database.fetch(
        "select * from delivery_attempts where tenant_id = $1 and event_id = $2 order by attempt",
        *(owner.tenant_id, event_id),
    )


async def state(owner: Owner, webhook: dict[str, Any]) -> list[tuple[str, int]]:
    return [(row["state"], row["attempts"]) for row in await owner.deliveries(webhook)]


async def test_delivery_is_verified_by_the_reference_library(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)

    await deliver(owner)

    [call] = receiver.calls
    body = call.verify(webhook["secret"])
    assert list(body) == ["type", "timestamp", "event_id", "tenant_id", "actor", "subject", "request_id", "data"]
    assert body | {"timestamp": ""} == {
        "type": "user.updated",
        "timestamp": "",
        "event_id": event_id,
        "tenant_id": owner.tenant_id,
        "actor": "key_1",
        "subject": "usr_1",
        "request_id": None,
        "data": {"changed": ["email"]},
    }
    assert (call.id, call.headers["content-type"]) == (event_id, "application/json")
    assert await state(owner, webhook) == [("delivered", 1)]
    assert (await endpoint(owner, webhook))["due_at"] is None
    for changed in (
        Received(call.path, call.headers, call.body + b" "),
        Received(call.path, call.headers, call.body[:-1]),
        Received(call.path, call.headers | {"webhook-id": event_id[:-1]}, call.body),
        Received(call.path, call.headers | {"webhook-timestamp": "1700000000"}, call.body),
    ):
        with pytest.raises(WebhookVerificationError):
            changed.verify(webhook["secret"])
    with pytest.raises(WebhookVerificationError):
        call.verify((await subscribe(owner, receiver))["secret"])


async def test_later_attempt_sends_the_same_bytes_and_id(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner)
    receiver.answer = lambda call: 500 if len(receiver.calls) == 1 else 200

    await deliver(owner)
    assert await state(owner, webhook) == [("pending", 1)]
    await make_due(owner)
    await deliver(owner)

    first, second = receiver.calls
    assert (first.body, first.id) == (second.body, second.id)
    assert second.verify(webhook["secret"])
    assert await state(owner, webhook) == [("delivered", 2)]


@pytest.mark.parametrize("status", [301, 302, 303, 304, 307, 308, 400, 404, 500, 503])
async def test_other_status_than_2xx_is_tried_again(owner: Owner, receiver: Receiver, status: int) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)
    # The answer to 304 has no body.
    receiver.answer = lambda call: (
        b"HTTP/1.1 %d X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 5\r\n\r\nwhy\x00\xff" % status
    )

    await deliver(owner)

    [row] = await owner.deliveries(webhook)
    [attempt] = await attempts(owner, event_id)
    assert (row["state"], row["attempts"], row["claimed_until"]) == ("pending", 1, None)
    assert 4 < (row["due_at"] - attempt["started_at"]).total_seconds() < 20
    assert (attempt["status"], attempt["error"], attempt["url"]) == (status, "bad_status", receiver.url)
    assert attempt["answer"] == ("" if status == 304 else "why\ufffd\ufffd")
    assert len(receiver.calls) == 1
    listed = (await owner.call("GET", f"/{webhook['webhook_id']}/deliveries")).json()["data"][0]
    assert listed["last"]["status"] == status


async def test_answer_is_kept_up_to_one_kibibyte(owner: Owner, receiver: Receiver) -> None:
    await subscribe(owner, receiver)
    [event_id] = await send(owner)
    receiver.answer = lambda call: b"HTTP/1.1 200 X\r\ncontent-length: 90000\r\n\r\n" + b"x" * 90_000

    await deliver(owner)

    assert [(row["status"], row["answer"]) for row in await attempts(owner, event_id)] == [(200, "x" * 1024)]


async def test_delivery_fails_after_ten_attempts(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)
    receiver.answer = lambda call: 500

    for _ in range(11):
        await make_due(owner)
        await deliver(owner)

    assert await state(owner, webhook) == [("failed", 10)]
    assert len(receiver.calls) == len(await attempts(owner, event_id)) == 10
    replayed = await owner.call("POST", f"/{webhook['webhook_id']}/replay", {"state": "failed"})
    receiver.answer = lambda call: 200
    await make_due(owner)
    await deliver(owner)
    assert replayed.status_code == 202
    assert await state(owner, webhook) == [("delivered", 11)]
    assert set(receiver.ids) == {event_id}


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_retry_after_delays_the_next_attempt(owner: Owner, receiver: Receiver, status: int) -> None:
    webhook = await subscribe(owner, receiver)
    [first_id, _] = await send(owner, 2)
    receiver.answer = lambda call: (
        b"HTTP/1.1 %d X\r\nretry-after: 3000\r\ncontent-length: 0\r\n\r\n" % status if call.id == first_id else 204
    )

    await deliver(owner, worker := new_worker(owner))
    await worker.stop()

    first = (await owner.deliveries(webhook))[0]
    delay_s = await owner.database.fetchval("select extract(epoch from $1 - now())", first["due_at"])
    assert 2900 < delay_s <= 3000
    paused = await owner.database.fetchval(
        "select paused_until > now() from webhooks where id = $1", webhook["webhook_id"]
    )
    # The second call was already in progress; its success ends the run of failures, not the pause.
    assert paused == (status != 503)


async def test_overloaded_endpoint_gets_no_calls_during_its_pause(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner, 20)
    receiver.answer = lambda call: 429

    await deliver(owner)

    called = len(receiver.calls)
    assert 1 <= called <= 2  # those that were in progress together
    row = await endpoint(owner, webhook)
    assert row["due_at"] is not None, "the other deliveries wait"
    assert sorted(await state(owner, webhook)) == [("pending", 0)] * (20 - called) + [("pending", 1)] * called
    last = "select max(started_at) from delivery_attempts where tenant_id = $1 and webhook_id = $2"
    last_call = await owner.database.fetchval(last, owner.tenant_id, webhook["webhook_id"])
    assert (row["paused_until"] - last_call).total_seconds() >= pause_in(1, is_overloaded=True, retry_after_s=0)
    longer = "update webhooks set paused_until = now() + interval '1 hour', due_at = now() where id = $1"
    await owner.database.execute(longer, webhook["webhook_id"])  # the pause must not end on a slow machine
    await deliver(owner)
    assert len(receiver.calls) == called
    receiver.answer = lambda call: 204
    await make_due(owner)
    await deliver(owner)
    assert {state for state, _ in await state(owner, webhook)} == {"delivered"}


async def test_status_410_disables_the_endpoint(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    sent = await send(owner, 5)
    receiver.answer = lambda call: 410 if call.id == sent[2] and len(receiver.calls) <= 5 else 204

    await deliver(owner)

    row = await endpoint(owner, webhook)
    assert (row["is_enabled"], row["disabled_reason"]) == (False, "gone")
    event = await owner.database.fetchrow(
        "select * from events where tenant_id = $1 and type = 'webhook.disabled'", owner.tenant_id
    )
    assert event is not None
    assert (event["actor"], event["subject"], event["data"]) == ("auth1", webhook["webhook_id"], '{"reason": "gone"}')
    pending = [name for name, _ in await state(owner, webhook)].count("pending")
    assert pending >= 1

    await owner.call("PATCH", f"/{webhook['webhook_id']}", {"enabled": True})
    await make_due(owner)
    await deliver(owner)
    assert {name for name, _ in await state(owner, webhook)} == {"delivered"}
    assert set(receiver.ids) == set(sent)


@pytest.mark.parametrize(
    ("failures", "days", "reason"), [(9, 6, "failing"), (8, 6, None), (9, 4, None), (100, 5.01, "failing")]
)
async def test_five_days_of_failures_disable_the_endpoint(
    owner: Owner, receiver: Receiver, failures: int, days: float, reason: str | None
) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner)
    receiver.answer = lambda call: 500
    await owner.database.execute(
        "update webhooks set failures = $2, failing_since = now() - $3 * interval '1 day' where id = $1",
        *(webhook["webhook_id"], failures, days),
    )

    await deliver(owner)

    row = await endpoint(owner, webhook)
    assert (row["disabled_reason"], row["is_enabled"]) == (reason, reason is None)
    assert row["failures"] == failures + 1


async def test_success_ends_the_run_of_failures(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await send(owner)
    await owner.database.execute("update webhooks set failures = 50, failing_since = now() - interval '9 days'")

    await deliver(owner)

    row = await endpoint(owner, webhook)
    assert (row["failures"], row["failing_since"], row["is_enabled"]) == (0, None, True)


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


async def test_both_secrets_sign_during_a_rotation(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    rotated = (await owner.call("POST", f"/{webhook['webhook_id']}/rotate-secret", {"grace_in": 3600})).json()
    await send(owner)
    await deliver(owner)
    await owner.database.execute(
        "update webhooks set previous_secret_until = now() where tenant_id = $1", owner.tenant_id
    )
    await send(owner)
    await deliver(owner)

    during, after = receiver.calls
    assert during.verify(webhook["secret"]) == during.verify(rotated["secret"])
    assert after.verify(rotated["secret"])
    with pytest.raises(WebhookVerificationError):
        after.verify(webhook["secret"])


async def test_test_message_is_signed_and_no_event(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    await owner.call("POST", f"/{webhook['webhook_id']}/test")

    await deliver(owner)

    [call] = receiver.calls
    body = call.verify(webhook["secret"])
    assert (body["type"], body["event_id"], body["data"]) == ("webhook.test", call.id, {})
    assert await owner.database.fetchval("select count(*) from events where id = $1", call.id) == 0


async def test_address_that_is_not_allowed_gets_no_connection(owner: Owner, receiver: Receiver) -> None:
    await subscribe(owner, receiver)
    [event_id] = await send(owner)
    worker = new_worker(owner, guard=Guard((ipaddress.ip_network("127.0.0.9/32"),)))

    await deliver(owner, worker)
    await worker.stop()

    [attempt] = await attempts(owner, event_id)
    assert (attempt["status"], attempt["error"], attempt["answer"]) == (None, "address_not_allowed", None)
    assert receiver.calls == []


async def test_call_ends_at_its_deadline(owner: Owner, receiver: Receiver) -> None:
    async def hang(call: Received) -> int:
        await asyncio.Event().wait()
        return 204

    receiver.answer = hang
    await subscribe(owner, receiver)
    [event_id] = await send(owner)
    worker = new_worker(owner, call_s=0.1)

    await deliver(owner, worker)
    await worker.stop()

    assert [row["error"] for row in await attempts(owner, event_id)] == ["timeout"]


async def test_delivery_of_a_purged_event_fails(owner: Owner, receiver: Receiver) -> None:
    webhook = await subscribe(owner, receiver)
    [event_id] = await send(owner)
    await owner.database.execute("delete from events where id = $1", event_id)

    await deliver(owner)

    assert await state(owner, webhook) == [("failed", 1)]
    assert [row["error"] for row in await attempts(owner, event_id)] == ["event_purged"]
    assert (await endpoint(owner, webhook))["failures"] == 0
    assert receiver.calls == []


async def test_nothing_is_sent_without_the_secret(owner: Owner, receiver: Receiver) -> None:
    await subscribe(owner, receiver)
    [event_id] = await send(owner)
    worker = new_worker(owner, keyring=Keyring("another secret of 32 characters or more"))

    await deliver(owner, worker)
    await worker.stop()

    assert [row["error"] for row in await attempts(owner, event_id)] == ["no_secret"]
    assert receiver.calls == []


async def test_backlog_is_measured(owner: Owner, receiver: Receiver) -> None:
    await owner.database.execute("update webhooks set is_enabled = false")
    webhook, failing = await subscribe(owner, receiver), await subscribe(owner, receiver)
    await send(owner, 3)
    await owner.database.execute("update webhooks set failures = 3 where id = $1", failing["webhook_id"])
    await owner.database.execute(
        "update deliveries set due_at = now() - interval '1 minute' where webhook_id = $1", webhook["webhook_id"]
    )

    await delivery_worker.measure(owner.services)

    assert value_of(metrics.WEBHOOK_BACKLOG["working"]) == 3
    assert value_of(metrics.WEBHOOK_BACKLOG["failing"]) == 3
    assert 60 <= value_of(metrics.WEBHOOK_OLDEST_PENDING) < 300
