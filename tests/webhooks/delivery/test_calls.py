"""Calls of endpoints are signed and bounded, and the backlog is measured."""

import asyncio
import ipaddress

import pytest
from standardwebhooks import WebhookVerificationError

from auth1 import metrics
from auth1.core.crypto import Keyring
from auth1.core.outbound.guard import Guard
from auth1.webhooks.delivery import worker as delivery_worker
from tests.support.metric_values import value_of
from tests.support.receiver import Received, Receiver
from tests.webhooks.conftest import Owner
from tests.webhooks.delivery.worker import attempts, deliver, endpoint, new_worker, send, state, subscribe


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
