"""Failed deliveries are tried again, until they succeed, ten attempts failed, or the endpoint is disabled."""

import pytest

from auth1.webhooks.delivery.schedule import pause_in
from tests.support.receiver import Receiver
from tests.webhooks.conftest import Owner
from tests.webhooks.delivery.worker import attempts, deliver, endpoint, make_due, new_worker, send, state, subscribe


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
