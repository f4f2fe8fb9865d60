"""Feedback on a decision: entries of lists, forgiven exposure, repeats."""

import asyncio
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.core.ids import new_id
from auth1.fraud.exposures.messages import Message
from auth1.fraud.lists import store as list_store
from auth1.fraud.policy import DEFAULT_POLICY
from tests.conftest import new_phone
from tests.fraud.conftest import ManagedTenant, managed_tenant
from tests.fraud.decision_rows import COLD, make_decision
from tests.support.api_client import ApiClient


async def give(managed: ManagedTenant, decision_id: str, was: str) -> httpx.Response:
    return await managed.call("POST", "/fraud/feedback", {"decision_id": decision_id, "was": was})


async def entries(managed: ManagedTenant) -> list[tuple[str, str, str, bool]]:
    """Return the list, kind and value of each entry, and whether it expires."""
    data: list[dict[str, Any]] = (await managed.call("GET", "/fraud/lists")).json()["data"]
    return [(one["list"], one["kind"], one["value"], one["expires_at"] is not None) for one in data]


async def load_of(api: ApiClient, message: Message) -> float:
    """Acquire a message, and return the load of its block of 1,000 numbers."""
    acquired = await api.services.exposures.acquire(DEFAULT_POLICY, message, ())
    return {load.scope: load.load for load in acquired.evaluate().loads}["block_of_1000"]


async def test_honest_decision_allows_the_number_and_a_repeat_changes_nothing(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    phone = new_phone()
    decision_id = await make_decision(database, managed.tenant_id, COLD, phone=phone, block=phone[:-3], country="US")

    answers = [await give(managed, decision_id, "honest") for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()
    assert answers[0].json()["entry_id"].startswith("fl_")
    assert await entries(managed) == [("allow", "number", phone, False)]
    events = await database.fetch(
        "select type from events where tenant_id = $1 and type like 'fraud.%' order by id", managed.tenant_id
    )
    assert [row["type"] for row in events] == ["fraud.list_entry_added", "fraud.feedback_given"]


async def test_honest_decision_without_a_code_allows_the_block_for_a_week(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    decision_id = await make_decision(database, managed.tenant_id, COLD, decision="block", block="+14155550")

    await give(managed, decision_id, "honest")

    assert await entries(managed) == [("allow", "prefix", "+14155550", True)]


async def test_honest_decision_forgives_the_exposure_of_its_block(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    api, block = managed.api, new_phone()[:-3]
    message = Message(managed.tenant_id, block + "123", block + "123", "US", 0.05, "192.0.2.7")
    loads = [await load_of(api, message) for _ in range(3)]
    decision_id = await make_decision(
        database, managed.tenant_id, COLD, decision="block", block=block, country="US", network="192.0.2.0/24"
    )

    await give(managed, decision_id, "honest")
    await api.services.exposures.settlements.flush()

    assert loads == pytest.approx([1 / 6, 2 / 6, 3 / 6], rel=0.01)
    assert await load_of(api, message) == pytest.approx(1 / 6, rel=0.01)


async def test_fraud_blocks_a_known_number_and_no_block_of_numbers(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    phone = new_phone()
    sent = await make_decision(database, managed.tenant_id, COLD, phone=phone, block=phone[:-3])
    rejected = await make_decision(database, managed.tenant_id, COLD, decision="block", block=phone[:-3])

    answers = [await give(managed, decision_id, "fraud") for decision_id in (sent, rejected)]

    assert [answer.json()["entry_id"] is None for answer in answers] == [False, True]
    assert await entries(managed) == [("block", "number", phone, True)]


async def test_later_feedback_replaces_the_entry_of_the_earlier_one(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    phone = new_phone()
    decision_id = await make_decision(database, managed.tenant_id, COLD, phone=phone, block=phone[:-3])

    for was in ("fraud", "honest"):
        assert (await give(managed, decision_id, was)).status_code == 200

    assert await entries(managed) == [("allow", "number", phone, False)]


async def test_feedback_given_at_once_adds_one_entry(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    phone = new_phone()
    decision_id = await make_decision(database, managed.tenant_id, COLD, phone=phone, block=phone[:-3])

    answers = await asyncio.gather(*(give(managed, decision_id, "honest") for _ in range(10)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 1
    assert len(await entries(managed)) == 1


async def test_decision_of_another_tenant_is_not_found(
    api: ApiClient, managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    other = await managed_tenant(api)
    decision_id = await make_decision(database, managed.tenant_id, COLD, block="+14155550")

    answers = [await give(other, decision_id, "honest"), await give(managed, new_id("fd"), "honest")]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(404, "not_found")] * 2
    assert await entries(managed) == await entries(other) == []


async def test_feedback_is_not_recorded_when_the_lists_are_full(
    managed: ManagedTenant, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    decision_id = await make_decision(database, managed.tenant_id, COLD, block="+14155550")
    monkeypatch.setattr(list_store, "MAX_ENTRIES", 0)

    full = await give(managed, decision_id, "honest")
    monkeypatch.undo()
    again = await give(managed, decision_id, "honest")

    assert (full.status_code, full.json()["code"]) == (409, "conflict")
    assert again.status_code == 200
    assert len(await entries(managed)) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [({"decision_id": "fd_x", "was": "honest"}, "decision_id"), ({"decision_id": new_id("fd"), "was": "maybe"}, "was")],
)
async def test_invalid_feedback_is_rejected(managed: ManagedTenant, body: dict[str, str], field: str) -> None:
    answer = await managed.call("POST", "/fraud/feedback", body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
