"""Decisions: what they contain, how they are listed, and their outcomes."""

from datetime import UTC, datetime, timedelta

import pytest

from auth1.fraud.decisions import log as decisions
from tests.conftest import new_phone
from tests.fraud.conftest import ManagedTenant, managed_tenant
from tests.fraud.visitors import BLOCK, Visitors, outcome

ADDRESS = "198.51.100.77"


async def block_one(visitors: Visitors, phone: str) -> str:
    """Block a request by the line type of its number; return its request id."""
    await visitors.change_policy(line_types={"unknown": "block"})
    answer = await visitors.request(phone, ADDRESS)
    assert outcome(answer) == "request_blocked"
    return str(answer.json()["request_id"])


async def test_decision_has_features_without_number_and_address(visitors: Visitors) -> None:
    phone = f"{BLOCK}0123"
    request_id = await block_one(visitors, phone)

    [decision] = await visitors.decisions()

    assert set(decision) == {
        *("decision_id", "decision", "score", "reasons", "features", "scopes", "outcome", "created_at", "request_id"),
    }
    assert (decision["decision"], decision["score"], decision["outcome"]) == ("block", 1, "unknown")
    assert decision["reasons"] == ["line_type: unknown"]
    assert decision["request_id"] == request_id
    assert decision["decision_id"].startswith("fd_")
    assert decision["features"]["block"] == phone[:-3]
    assert decision["features"]["network"] == "198.51.100.0/24"
    text = str(await visitors.database.fetch("select * from decisions where tenant_id = $1", visitors.tenant_id))
    assert phone not in text
    assert ADDRESS not in text


async def test_rejected_request_records_an_event_of_its_decision(visitors: Visitors) -> None:
    await block_one(visitors, f"{BLOCK}0123")

    [decision] = await visitors.decisions()
    [event] = await visitors.events("request.blocked")

    assert event == {"channel": "sms", "country": "US", "decision": "block", "reasons": ["line_type: unknown"]}
    subject = await visitors.database.fetchval(
        "select subject from events where tenant_id = $1 and type = 'request.blocked'", visitors.tenant_id
    )
    assert subject == decision["decision_id"]


async def test_request_that_needs_a_proof_records_loads_and_reasons(visitors: Visitors) -> None:
    for number in range(7):
        await visitors.request(f"{BLOCK}012{number}", f"203.0.{number}.7")

    [decision] = await visitors.decisions(decision="proof_required")

    assert decision["reasons"] == ["block_of_1000: 7 unverified, 6 allowed"]
    assert decision["scopes"]["block_of_1000"] == pytest.approx(7 / 6, abs=0.01)
    assert decision["score"] == pytest.approx(7 / 12, abs=0.01)
    [event] = await visitors.events("request.proof_required")
    assert event["reasons"] == decision["reasons"]


async def test_decisions_are_filtered(visitors: Visitors) -> None:
    await block_one(visitors, f"{BLOCK}0123")
    soon = (datetime.now(UTC) + timedelta(minutes=1)).isoformat()
    earlier = (datetime.now(UTC) - timedelta(minutes=1)).isoformat()

    for query, count in (
        ({"decision": "block"}, 1),
        ({"decision": "allow"}, 0),
        ({"reason": "line_type"}, 1),
        ({"reason": "line"}, 0),
        ({"since": earlier, "until": soon}, 1),
        ({"since": soon}, 0),
        ({"until": earlier}, 0),
    ):
        assert len(await visitors.decisions(**query)) == count, query


async def test_pages_show_each_decision_once(visitors: Visitors) -> None:
    await visitors.change_policy(line_types={"unknown": "block"})
    for number in range(5):
        await visitors.request(f"{BLOCK}012{number}")
    seen: list[str] = []
    cursor: str | None = ""

    while cursor is not None:
        page = (await visitors.managed.call("GET", "/fraud/decisions", params={"limit": 2, "cursor": cursor})).json()
        seen += [decision["decision_id"] for decision in page["data"]]
        cursor = page["next_cursor"]

    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 5


async def test_operator_lists_the_decisions_of_a_tenant(visitors: Visitors) -> None:
    await block_one(visitors, f"{BLOCK}0123")

    answer = await visitors.managed.operator("GET", "/fraud/decisions")

    assert len(answer.json()["data"]) == 1


async def test_tenant_sees_no_decisions_of_others(visitors: Visitors, managed: ManagedTenant) -> None:
    await block_one(visitors, f"{BLOCK}0123")
    other = await managed_tenant(managed.api)

    assert (await other.call("GET", "/fraud/decisions")).json() == {"data": [], "next_cursor": None}


@pytest.mark.parametrize("query", [{"decision": "refuse"}, {"reason": "DROP TABLE"}, {"since": "yesterday"}])
async def test_invalid_filter_is_rejected(managed: ManagedTenant, query: dict[str, str]) -> None:
    answer = await managed.call("GET", "/fraud/decisions", params=query)

    assert answer.status_code == 422


async def test_sample_of_allowed_requests_is_recorded(visitors: Visitors) -> None:
    await visitors.change_policy(sample=1)

    await visitors.request(new_phone())
    await visitors.settle()

    [decision] = await visitors.decisions()
    assert (decision["decision"], decision["reasons"]) == ("allow", [])
    assert decision["features"]["facts"]["scopes"]["address"] == [1, 0]


async def test_flagged_request_is_recorded(visitors: Visitors) -> None:
    await visitors.change_policy(line_types={"unknown": "flag"}, sample=0)

    assert outcome(await visitors.request(f"{BLOCK}0123")) == "sent"
    await visitors.settle()

    [decision] = await visitors.decisions()
    assert (decision["decision"], decision["reasons"]) == ("allow", ["line_type: unknown"])


async def test_outcome_follows_from_the_code(visitors: Visitors) -> None:
    await visitors.change_policy(sample=1)
    verified, unverified = new_phone(), new_phone()
    await visitors.log_in(verified)
    await visitors.request(unverified)
    await visitors.settle()
    services = visitors.managed.api.services

    await decisions.settle_outcomes(services)
    assert {decision["outcome"] for decision in await visitors.decisions()} == {"unknown"}

    # As if the decisions were twenty minutes old: an id begins with its time.
    await visitors.database.execute(
        """update decisions set id = id_floor('fd', now() - interval '20 minutes') || right(id, 16)
           where tenant_id = $1""",
        visitors.tenant_id,
    )
    await decisions.settle_outcomes(services)

    outcomes = {decision["features"]["block"]: decision["outcome"] for decision in await visitors.decisions()}
    listed = await visitors.decisions()
    assert sorted(decision["outcome"] for decision in listed) == ["unverified", "verified"], outcomes


async def test_full_buffer_drops_decisions(visitors: Visitors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decisions, "BUFFERED_DECISIONS", 2)
    await visitors.change_policy(sample=1)

    for number in range(4):
        await visitors.request(f"{BLOCK}{number}123", f"203.0.{number}.7")
    await visitors.settle()

    assert len(await visitors.decisions()) == 2
