"""Stored decisions under another policy: `POST …/fraud/simulate` and `auth1 fraud replay`."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest

from auth1.errors import ValidationFailed
from auth1.fraud.decisions import simulation
from auth1.fraud.decisions.simulation import merge_policy
from auth1.fraud.policy import DEFAULT_POLICY, FraudPolicy, FraudRule, FraudRules
from tests.fraud.conftest import ManagedTenant, managed_tenant
from tests.fraud.decision_rows import COLD, FLOODED, LOADED, make_decision
from tests.support.api_client import ApiClient
from tests.support.commands import CommandServer, Ended

SIMULATE = "/fraud/simulate"
NOTHING = {
    "requests": 0,
    "allowed": 0,
    "proof_required": 0,
    "blocked": 0,
    "blocked_verified": 0,
    "saved": 0.0,
    "let_through": 0,
    "since": None,
}


async def simulated(managed: ManagedTenant, policy: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    answer = await managed.call("POST", SIMULATE, {"policy": policy or {}, **body})
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return {name: value for name, value in result.items() if name != "since"}


async def fill(database: asyncpg.Connection, tenant_id: str) -> None:
    """Store five decisions: two without load, one doubtful, two of a flooded block."""
    for outcome in ("verified", "unverified"):
        await make_decision(database, tenant_id, COLD, outcome=outcome)
        await make_decision(database, tenant_id, FLOODED, decision="block", outcome=outcome)
    await make_decision(database, tenant_id, LOADED, decision="proof_required", outcome="unknown")


async def test_tenant_without_decisions_gets_zeros(managed: ManagedTenant) -> None:
    answer = await managed.call("POST", SIMULATE, {})

    assert answer.json() == NOTHING


async def test_decisions_are_counted_under_the_same_and_another_policy(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    await fill(database, managed.tenant_id)
    sums = {"requests": 5, "allowed": 2, "proof_required": 1, "blocked": 2}
    results = {"blocked_verified": 1, "saved": 0.05, "let_through": 1}

    same = await simulated(managed)
    shadow = await simulated(managed, {"mode": "shadow"})
    off = await simulated(managed, {"mode": "off"})
    stricter = await simulated(managed, {"rules": {"block_of_1000": {"allowance": 0.1}}})
    by_operator = (await managed.operator("POST", SIMULATE, {"policy": {"mode": "off"}})).json()

    assert same == shadow == sums | results
    assert off == dict.fromkeys(same, 0) | {"requests": 5, "allowed": 5, "let_through": 3}
    assert (stricter["blocked"], stricter["blocked_verified"]) == (5, 2)
    assert stricter["saved"] == pytest.approx(0.15)
    assert by_operator["allowed"] == 5
    assert (await managed.call("GET", "/fraud/policy")).json()["mode"] == "on"


async def test_sampled_decision_stands_for_the_others(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    await make_decision(database, managed.tenant_id, COLD, reasons=(), outcome="verified", sample=0.05)
    await make_decision(database, managed.tenant_id, COLD, reasons=(), outcome="unverified")  # the policy's 0.01
    await make_decision(database, managed.tenant_id, COLD, outcome="unverified")

    result = await simulated(managed)

    assert (result["requests"], result["allowed"], result["let_through"]) == (121, 121, 101)


async def test_line_type_action_of_the_policy_is_applied(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    blocked = {"reasons": ("line_type: nonFixedVoip",), "facts": {"minimum": 4.0}, "line_type": "nonFixedVoip"}
    await make_decision(database, managed.tenant_id, COLD, line_type="mobile")
    await make_decision(database, managed.tenant_id, COLD, decision="block", **blocked)  # type: ignore[arg-type]  # mixed

    same = await simulated(managed)
    lenient = await simulated(managed, {"line_types": {"nonFixedVoip": "allow"}})
    strict = await simulated(managed, {"line_types": {"mobile": "block"}})

    assert [one["blocked"] for one in (same, lenient, strict)] == [1, 0, 2]


async def test_older_decisions_and_those_of_other_tenants_are_left_out(
    api: ApiClient, managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    other = await managed_tenant(api)
    await make_decision(database, other.tenant_id, COLD)
    await make_decision(database, managed.tenant_id, COLD, age=timedelta(hours=3))
    recent = (datetime.now(UTC) - timedelta(hours=1)).isoformat()

    assert (await simulated(managed))["requests"] == 1
    assert (await simulated(managed, since=recent))["requests"] == 0


async def test_newest_decisions_are_read_in_batches_up_to_a_limit(
    managed: ManagedTenant, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "BATCH", 2)
    for hours in range(5):
        await make_decision(database, managed.tenant_id, COLD, age=timedelta(hours=hours))
    assert (await simulated(managed))["requests"] == 5

    monkeypatch.setattr(simulation, "MAX_ROWS", 4)
    answer = (await managed.call("POST", SIMULATE, {})).json()

    assert answer["requests"] == 4
    oldest = datetime.fromisoformat(answer["since"])
    assert timedelta(hours=2) < datetime.now(UTC) - oldest < timedelta(hours=4)


async def test_decision_without_facts_is_left_out(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    decision_id = await make_decision(database, managed.tenant_id, COLD)
    await database.execute("update decisions set features = '{}' where id = $1", decision_id)

    assert (await simulated(managed))["requests"] == 0


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({"policy": {"colour": 1}}, "policy.colour", "Unknown field."),
        ({"policy": {"ratio": 101}}, "policy.ratio", "Must be a number from 0 to 100."),
        ({"policy": {"rules": {"address": {"allowance": "x"}}}}, "policy.rules.address.allowance", "Must be a number"),
        ({"policy": []}, "policy", "Must be a JSON object."),
        ({"since": "yesterday"}, "since", "Must be an RFC 3339 timestamp"),
        ({"since": "2200-01-01T00:00:00Z"}, "since", "Must be in the past."),
    ],
)
async def test_invalid_simulation_is_rejected(
    managed: ManagedTenant, body: dict[str, Any], field: str, message: str
) -> None:
    answer = await managed.call("POST", SIMULATE, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert error["message"].startswith(message)


def test_changes_are_merged_into_a_policy() -> None:
    policy = FraudPolicy(ratio=0.5, line_types={"mobile": "flag"}, rules=FraudRules(address=FraudRule(12, "shadow")))

    merged = merge_policy(
        policy, {"ratio": None, "line_types": {"pager": "block"}, "rules": {"address": {"mode": "on"}}}
    )

    assert merged == FraudPolicy(
        line_types={"mobile": "flag", "pager": "block"}, rules=FraudRules(address=FraudRule(12, "on"))
    )
    assert merge_policy(DEFAULT_POLICY, {}) == DEFAULT_POLICY
    with pytest.raises(ValidationFailed):
        merge_policy(DEFAULT_POLICY, {"signals": {"full_moon": 1}})


async def test_replay_prints_the_decisions_of_each_tenant(
    managed: ManagedTenant,
    database: asyncpg.Connection,
    environment: dict[str, str],
    fraud_url: str,
    command_server: CommandServer,
    tmp_path: Path,
) -> None:
    await fill(database, managed.tenant_id)
    changes = tmp_path / "policy.json"
    changes.write_text('{"mode": "off"}')
    slug = managed.made["slug"]

    async def run(*arguments: str) -> Ended:
        return await command_server.run(
            ["fraud", "replay", *arguments], os.environ | environment | {"DATABASE_URL": fraud_url}
        )

    as_json = await run("--json", "--days", "2", "--policy", str(changes))
    as_text = await run()
    changes.write_text("[]")
    invalid = await run("--policy", str(changes))

    assert msgspec.json.decode(as_json.out)[slug]["allowed"] == 5, as_json.err
    [line] = [line for line in as_text.out.splitlines() if line.startswith(slug)]
    assert line.split() == [slug, "5", "2", "1", "2", "1", "0.05", "1"]
    assert invalid.code == 1
    assert "is no policy in JSON" in invalid.err
