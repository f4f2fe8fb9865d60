"""Evaluate stored decisions under another policy, with the rules of the service (`rules.evaluate`).

Each decision is evaluated with the exposures that were counted when it was made: what another policy would have
rejected earlier stays counted. A policy in shadow is evaluated as if it were enforced. A request without a reason is
stored as one of a sample, and stands for the others.
"""

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from auth1.core import schemas
from auth1.core.postgres import Postgres, Queries
from auth1.core.schemas import Out
from auth1.errors import FieldError, ValidationFailed
from auth1.fraud.constants import BLOCK_LOAD, PROOF_LOAD
from auth1.fraud.policy import Action, FraudPolicy, LineType, check_policy
from auth1.fraud.rules import Facts, evaluate

BATCH = 500
MAX_ROWS = 50_000
TIME_S = 8.0
_MINIMUM_LOADS: dict[Action, float] = {
    "allow": 0.0,
    "flag": 0.0,
    "proof_required": 1.5 * PROOF_LOAD,
    "block": 2 * BLOCK_LOAD,
}
_QUERIES = Queries("fraud_review")


class _ReadDecisions(NamedTuple):
    tenant_id: str
    before: str
    since: datetime
    max_rows: int


class StoredDecision(NamedTuple):
    """A stored decision, as `read_decisions` returns it."""

    id: str
    decision: str
    features: str
    reasons: list[str]
    outcome: str
    created_at: datetime


class _Features(msgspec.Struct):
    """The features of a decision that a simulation needs. `sample`: of the policy that held."""

    facts: Facts | None = None
    line_type: LineType | None = None
    sample: float | None = None


class Simulation(Out):
    """Stored decisions under a policy; the numbers of requests include those that a sample stands for.

    `blocked_verified`: blocked, although the code was verified. `let_through`: allowed, although no code was verified.
    `saved`: US dollars of blocked messages whose code was not verified. `since`: the time of the oldest decision that
    was read, at most 50,000 are; null without any.
    """

    requests: int = 0
    allowed: int = 0
    proof_required: int = 0
    blocked: int = 0
    blocked_verified: int = 0
    saved: float = 0.0
    let_through: int = 0
    since: datetime | None = None


_READ_DECISIONS = _QUERIES.statement("read_decisions", _ReadDecisions, StoredDecision)
_decode_features = msgspec.json.Decoder(_Features).decode


class Simulator:
    """Adds up decisions under a policy. `before` is the policy that holds now."""

    def __init__(self, before: FraudPolicy, policy: FraudPolicy, exposure_budget: float) -> None:
        self._before = before
        self._policy = msgspec.structs.replace(policy, mode="on") if policy.mode == "shadow" else policy
        self._exposure_budget = exposure_budget
        self._counts = {"allow": 0.0, "proof_required": 0.0, "block": 0.0}
        self._blocked_verified = self._let_through = self._saved = 0.0
        self._since: datetime | None = None

    def add(self, decisions: Iterable[StoredDecision]) -> None:
        """Evaluate decisions. Those of a version that stored no facts are left out."""
        for stored in decisions:
            try:
                features = _decode_features(stored.features)
            except msgspec.ValidationError:
                continue
            if features.facts is not None:
                self._add(stored, features, features.facts)

    def _add(self, stored: StoredDecision, features: _Features, facts: Facts) -> None:
        self._since = stored.created_at
        facts = self._with_line_type(facts, features.line_type, stored.reasons)
        decision = evaluate(self._policy, facts, self._exposure_budget).decision
        name = "block" if decision == "other_channel" else decision
        weight = self._weight(stored, features)
        self._counts[name] += weight
        is_verified = stored.outcome == "verified"
        if name == "block":
            self._blocked_verified += weight * is_verified
            self._saved += weight * facts.price * (not is_verified)
        elif name == "allow":
            self._let_through += weight * (not is_verified)

    def _weight(self, stored: StoredDecision, features: _Features) -> float:
        """Return the number of requests that a decision stands for."""
        if stored.reasons or stored.decision != "allow":
            return 1.0
        sample = self._before.sample if features.sample is None else features.sample
        return 1 / sample if sample > 0 else 1.0

    def _with_line_type(self, facts: Facts, line_type: LineType | None, reasons: list[str]) -> Facts:
        """Return the facts with the least load that the policy sets for the line type, where it differs."""
        if line_type is None:
            return facts
        action = self._policy.line_types.get(line_type)
        if action is None or action == self._before.line_types.get(line_type):
            return facts
        by_line_type = any(reason.startswith("line_type") for reason in reasons)
        least = 0.0 if by_line_type else facts.minimum
        return msgspec.structs.replace(facts, minimum=max(least, _MINIMUM_LOADS[action]))

    def result(self) -> Simulation:
        """Return the sums so far."""
        counts = {name: round(count) for name, count in self._counts.items()}
        return Simulation(
            requests=sum(counts.values()),
            allowed=counts["allow"],
            proof_required=counts["proof_required"],
            blocked=counts["block"],
            blocked_verified=round(self._blocked_verified),
            saved=round(self._saved, 4),
            let_through=round(self._let_through),
            since=self._since,
        )


async def simulate(
    reads: Postgres,
    tenant_id: str,
    before: FraudPolicy,
    policy: FraudPolicy,
    since: datetime,
    *,
    exposure_budget: float,
) -> Simulation:
    """Evaluate a tenant's decisions since a time, newest first, until MAX_ROWS or TIME_S. Raises Unavailable."""
    simulator = Simulator(before, policy, exposure_budget)
    end, last = time.monotonic() + TIME_S, "fd_~"  # the character ~ sorts after all of an id
    for _ in range(MAX_ROWS // BATCH):
        rows = await reads.rows(_READ_DECISIONS, _ReadDecisions(tenant_id, last, since, BATCH))
        simulator.add(rows)
        if len(rows) < BATCH or time.monotonic() > end:
            break
        last = rows[-1].id
    return simulator.result()


def merge_policy(policy: FraudPolicy, changes: dict[str, Any]) -> FraudPolicy:
    """Return a policy with changes: a JSON merge patch (RFC 7396), where null restores a default.

    Raises ValidationFailed.
    """
    merged = _merge(msgspec.to_builtins(policy), changes)
    try:
        changed = schemas.convert(merged, FraudPolicy)
        check_policy(changed)
    except ValidationFailed as failed:
        errors = [FieldError(f"policy.{error.field}".rstrip("."), error.message) for error in failed.errors]
        raise ValidationFailed(errors=errors) from None
    return changed


def _merge(target: Any, changes: Any) -> Any:
    if not isinstance(changes, dict):
        return changes
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in changes.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge(merged.get(name), value)
    return merged
