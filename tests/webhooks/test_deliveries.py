"""Deliveries by hand: list, show, replay, cancel and test."""

import asyncio
import itertools
import json
from typing import Any

import pytest

from auth1.webhooks import delivery_store
from auth1.webhooks.delivery_ids import delivery_id
from tests.webhooks.conftest import URL, Owner

EVENTS = ("user.created", "user.updated", "user.banned", "user.unbanned", "user.erased")


async def delivered_webhook(owner: Owner) -> tuple[dict[str, Any], list[str]]:
    """Return a webhook with five pending deliveries, and their events."""
    webhook = await owner.webhook(*EVENTS)
    ids = await owner.add(*EVENTS)
    await owner.fan_out()
    return webhook, ids


def path_of(webhook: dict[str, Any], event_id: str, action: str = "") -> str:
    return f"/{webhook['webhook_id']}/deliveries/{delivery_id(webhook['webhook_id'], event_id)}{action}"


async def states(owner: Owner, webhook: dict[str, Any]) -> list[str]:
    return [row["state"] for row in await owner.deliveries(webhook)]


async def listed(owner: Owner, webhook: dict[str, Any], query: str = "") -> list[str]:
    """Return the events of all pages of a list."""
    ids = list[str]()
    cursor: str | None = ""
    while cursor is not None:
        page = await owner.call("GET", f"/{webhook['webhook_id']}/deliveries?limit=2&cursor={cursor}{query}")
        assert page.status_code == 200, page.text
        ids += [delivery["event_id"] for delivery in page.json()["data"]]
        cursor = page.json()["next_cursor"]
    return ids


async def test_deliveries_are_listed_newest_first_with_their_last_call(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:1], "delivered")
    await owner.finish(webhook, ids[1:2], "failed")

    assert await listed(owner, webhook) == ids[::-1]
    page = (await owner.call("GET", f"/{webhook['webhook_id']}/deliveries")).json()["data"]
    assert page[-1] == {
        "delivery_id": delivery_id(webhook["webhook_id"], ids[0]),
        "event_id": ids[0],
        "type": "user.created",
        "state": "delivered",
        "attempts": 1,
        "next_attempt_at": None,
        "last": {"status": 204, "error": None, "ms": 12, "answer": "ok"},
    }
    assert (page[0]["state"], page[0]["attempts"], page[0]["last"]) == ("pending", 0, None)
    assert page[0]["next_attempt_at"] is not None


async def test_list_is_filtered_by_state_type_and_time(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:2], "failed")
    moment = await owner.database.fetchval("select created_at from events where id = $1", ids[2])

    assert await listed(owner, webhook, "&state=failed") == ids[1::-1]
    assert await listed(owner, webhook, "&state=delivered") == []
    assert await listed(owner, webhook, "&type=user.banned") == [ids[2]]
    at = moment.isoformat().replace("+00:00", "Z")
    since, until = await listed(owner, webhook, f"&since={at}"), await listed(owner, webhook, f"&until={at}")
    assert sorted(since + until) == sorted(ids)
    assert since
    assert until


async def test_page_scans_a_bounded_number_of_deliveries(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, ids = await delivered_webhook(owner)
    monkeypatch.setattr(delivery_store, "MAX_SCANNED", 2)

    first = (await owner.call("GET", f"/{webhook['webhook_id']}/deliveries?type=user.created")).json()

    assert first["data"] == []
    assert first["next_cursor"] is not None
    assert await listed(owner, webhook, "&type=user.created") == [ids[0]]


async def test_disabled_webhook_shows_no_next_attempt(owner: Owner) -> None:
    webhook, _ = await delivered_webhook(owner)
    await owner.call("PATCH", f"/{webhook['webhook_id']}", {"enabled": False})

    page = (await owner.call("GET", f"/{webhook['webhook_id']}/deliveries")).json()["data"]

    assert {delivery["next_attempt_at"] for delivery in page} == {None}


async def test_delivery_shows_its_request_and_all_calls(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:1], "failed")
    await owner.finish(webhook, ids[:1], "delivered")

    shown = (await owner.call("GET", path_of(webhook, ids[0]))).json()

    assert shown["request"]["headers"]["webhook-id"] == ids[0]
    body = json.loads(shown["request"]["body"])
    event = await owner.database.fetchrow("select * from events where id = $1", ids[0])
    assert event is not None
    assert body == {
        "type": "user.created",
        "timestamp": event["created_at"].isoformat().replace("+00:00", "Z"),
        "event_id": ids[0],
        "tenant_id": owner.tenant_id,
        "actor": "key_1",
        "subject": "usr_1",
        "request_id": None,
        "data": {"changed": ["email"]},
    }
    assert [(call["attempt"], call["status"], call["url"]) for call in shown["calls"]] == [(2, 204, URL), (1, 500, URL)]
    assert shown["last"] == {"status": 204, "error": None, "ms": 12, "answer": "ok"}


async def test_delivery_of_a_purged_event_has_no_request(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.database.execute("delete from events where tenant_id = $1 and id = $2", owner.tenant_id, ids[0])

    assert (await owner.call("GET", path_of(webhook, ids[0]))).json()["request"] is None


@pytest.mark.parametrize("name", ["dlv_01kf0fv2z4z60fen5rnweennx2", "dlv_1", "x", "dlv_%C3%A9"])
async def test_unknown_delivery_is_not_found(owner: Owner, name: str) -> None:
    webhook, _ = await delivered_webhook(owner)
    path = f"/{webhook['webhook_id']}/deliveries/{name}"

    answers = [
        await owner.call("GET", path),
        await owner.call("POST", f"{path}/replay"),
        await owner.call("POST", f"{path}/cancel"),
    ]

    assert {answer.status_code for answer in answers} == {404}


async def test_replay_makes_an_ended_delivery_pending_with_a_new_back_off(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    for _ in range(3):
        await owner.finish(webhook, ids[:1], "failed")

    answer = await owner.call("POST", path_of(webhook, ids[0], "/replay"))

    assert (answer.status_code, answer.json()["state"], answer.json()["event_id"]) == (202, "pending", ids[0])
    row = (await owner.deliveries(webhook))[0]
    assert (row["attempts"], row["attempts_before"], row["finished_at"]) == (3, 3, None)
    assert await owner.database.fetchval("select due_at <= now() from webhooks where id = $1", webhook["webhook_id"])


async def test_replay_during_a_call_waits_for_its_end(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    claim = (
        "update deliveries set claimed_until = now() + interval '30 s' where webhook_id = $1 returning claimed_until"
    )
    claimed_until = await owner.database.fetchval(claim, webhook["webhook_id"])

    answer = await owner.call("POST", path_of(webhook, ids[0], "/replay"))

    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    assert (await owner.deliveries(webhook))[0]["due_at"] == claimed_until


async def test_all_failed_deliveries_are_replayed_at_a_limited_rate(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:4], "failed")
    await owner.finish(webhook, ids[4:], "delivered")

    answer = await owner.call("POST", f"/{webhook['webhook_id']}/replay")

    assert (answer.status_code, answer.json()) == (202, {"deliveries": 4, "has_more": False})
    assert await states(owner, webhook) == ["pending"] * 4 + ["delivered"]
    due = [row["due_at"] for row in await owner.deliveries(webhook)][:4]
    gaps = [(after - before).total_seconds() * 1000 for before, after in itertools.pairwise(due)]
    assert gaps == [delivery_store.REPLAY_INTERVAL_MS] * 3


@pytest.mark.parametrize("action", ["replay", "cancel"])
@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+23:59", "1969-12-31T23:59:59Z", "1999-12-31T23:59:59Z", "9999-12-31T23:59:59-23:59"],
)
async def test_range_of_impossible_years_is_rejected(owner: Owner, action: str, moment: str) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids, "failed")
    before = await states(owner, webhook)

    for field in ("since", "until"):
        answer = await owner.call("POST", f"/{webhook['webhook_id']}/{action}", {field: moment})

        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert await states(owner, webhook) == before


@pytest.mark.parametrize("state", ["failed", "cancelled", "delivered"])
async def test_time_range_of_a_state_is_replayed(owner: Owner, state: str) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids, state)
    since, until = [
        await owner.database.fetchval("select created_at from events where id = $1", ids[n]) for n in (1, 3)
    ]
    body = {"state": state, "since": since.isoformat(), "until": until.isoformat()}

    answer = await owner.call("POST", f"/{webhook['webhook_id']}/replay", body)

    # The time of an event's id and that of its row differ by some milliseconds.
    assert answer.json()["deliveries"] in (1, 2, 3)
    assert (await states(owner, webhook)).count("pending") == answer.json()["deliveries"]
    assert (await states(owner, webhook))[0] == state


async def test_replay_is_bounded_and_continues(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids, "failed")
    monkeypatch.setattr(delivery_store, "STEP", 1)
    monkeypatch.setattr(delivery_store, "MAX_STEPS", 3)

    answers = [(await owner.call("POST", f"/{webhook['webhook_id']}/replay")).json() for _ in range(3)]

    assert answers == [
        {"deliveries": 3, "has_more": True},
        {"deliveries": 2, "has_more": False},
        {"deliveries": 0, "has_more": False},
    ]


async def test_racing_replays_replay_each_delivery_once(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids, "failed")
    monkeypatch.setattr(delivery_store, "STEP", 2)

    answers = await asyncio.gather(*(owner.call("POST", f"/{webhook['webhook_id']}/replay") for _ in range(2)))

    assert sum(answer.json()["deliveries"] for answer in answers) == len(ids)


async def test_pending_delivery_is_cancelled_and_replayed(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)

    cancelled = [await owner.call("POST", path_of(webhook, ids[0], "/cancel")) for _ in range(2)]
    replayed = await owner.call("POST", path_of(webhook, ids[0], "/replay"))

    assert [(answer.status_code, answer.json()["state"]) for answer in cancelled] == [(200, "cancelled")] * 2
    assert replayed.json()["state"] == "pending"


async def test_ended_or_running_delivery_cannot_be_cancelled(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:1], "delivered")
    await owner.database.execute(
        "update deliveries set claimed_until = now() + interval '30 s' where event_id = $1", ids[1]
    )

    ended = await owner.call("POST", path_of(webhook, ids[0], "/cancel"))
    running = await owner.call("POST", path_of(webhook, ids[1], "/cancel"))

    assert [(answer.status_code, answer.json()["code"]) for answer in (ended, running)] == [(409, "conflict")] * 2
    assert running.headers["retry-after"] == "1"


async def test_all_pending_deliveries_are_cancelled_but_those_of_running_calls(owner: Owner) -> None:
    webhook, ids = await delivered_webhook(owner)
    await owner.finish(webhook, ids[:1], "delivered")
    await owner.finish(webhook, ids[1:2], "pending")
    await owner.database.execute(
        "update deliveries set claimed_until = now() + interval '30 s' where event_id = $1", ids[2]
    )

    answer = await owner.call("POST", f"/{webhook['webhook_id']}/cancel")

    assert (answer.status_code, answer.json()) == (202, {"deliveries": 3, "has_more": False})
    assert await states(owner, webhook) == ["delivered", "cancelled", "pending", "cancelled", "cancelled"]


async def test_test_is_a_delivery_without_an_event(owner: Owner) -> None:
    webhook = await owner.webhook("user.created")

    answer = await owner.call("POST", f"/{webhook['webhook_id']}/test")

    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]
    assert await owner.database.fetchval("select count(*) from events where id = $1", event_id) == 0
    shown = (await owner.call("GET", f"/{webhook['webhook_id']}/deliveries/{answer.json()['delivery_id']}")).json()
    body = json.loads(shown["request"]["body"])
    assert (body["type"], body["event_id"], body["subject"]) == ("webhook.test", event_id, webhook["webhook_id"])
    assert shown["state"] == "pending"
    [row] = await owner.deliveries(webhook)
    assert row["tx"] == 0  # before all events


async def test_disabled_webhook_cannot_be_tested(owner: Owner) -> None:
    webhook = await owner.webhook()
    await owner.call("PATCH", f"/{webhook['webhook_id']}", {"enabled": False})

    answer = await owner.call("POST", f"/{webhook['webhook_id']}/test")

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
