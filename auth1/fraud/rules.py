"""The fraud rules as pure functions: the loads of a request's scopes, and the decision that follows.

No I/O, and the clock is an argument. The service (`exposures/acquire.py`), simulations and benchmarks call `evaluate`.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import msgspec

from auth1.fraud.constants import (
    BLOCK_LOAD,
    BUDGET_PART,
    COUNTRY_SHARE,
    GUESSING_DECAY_S,
    GUESSING_PART,
    HISTORY_DAYS,
    HISTORY_LEAST_DAYS,
    HISTORY_MARGIN,
    HISTORY_VERIFIED,
    KNOWN_DIVISOR,
    KNOWN_PART,
    KNOWN_UNANSWERED,
    PROOF_LOAD,
    RATIO_BOUNDS,
    RULES_VERSION,
    SMALLEST,
    TRUST_DIVISOR,
    TRUST_VERIFIED,
)
from auth1.fraud.policy import FraudPolicy, FraudRule
from auth1.fraud.scopes import BLOCKS, NARROW, WIDE, Scope, State, States, decay

__all__ = ["RULES_VERSION", "Decision", "Evaluation", "Facts", "Load", "Reason", "evaluate"]

Decision = Literal["allow", "proof_required", "other_channel", "block"]


class Reason(NamedTuple):
    """A reason of the closed set in docs/fraud.md, and its figures: `block_of_10000: 17 unverified, 8 allowed`."""

    name: str
    figures: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.figures}" if self.figures else self.name


class Facts(msgspec.Struct, frozen=True):
    """All facts that the rules read about one request, so that a stored decision can be evaluated again.

    `price`: dollars. `scopes`: exposure after this message and verified amount, both decayed. `ratio`: that of the
    country's history; null: the policy's. `known`: the number has logged in here and answers its messages (`is_known`).
    `in_country`: the address is in the number's country. `loaded_elsewhere`: blocks that are loaded at another tenant.
    `signals`: names, to which the policy gives weights. `minimum`: the least load, set by a list or a line type.
    """

    price: float
    scopes: dict[str, tuple[float, float]] = {}
    ratio: float | None = None
    known: bool = False
    in_country: bool = False
    loaded_elsewhere: tuple[str, ...] = ()
    signals: tuple[str, ...] = ()
    minimum: float = 0.0
    has_proof: bool = False

    def with_states(self, states: States) -> "Facts":
        """Return the facts with the states after the message, as `scopes.send` returns them."""
        scopes: dict[str, tuple[float, float]] = {name: (one.exposure, one.verified) for name, one in states.items()}
        return msgspec.structs.replace(self, scopes=scopes)


class Load(NamedTuple):
    """The load of a scope: `exposure` after this message divided by what is `allowed`."""

    scope: Scope
    exposure: float
    allowed: float
    load: float
    is_enforced: bool

    @property
    def reason(self) -> Reason:
        """The reason with its figures: "block_of_10000: 17 unverified, 8 allowed"."""
        if self.scope in WIDE:
            return Reason(self.scope, f"${self.exposure:.2f} unverified, ${self.allowed:.2f} allowed")
        return Reason(self.scope, f"{_figure(self.exposure)} unverified, {_figure(self.allowed)} allowed")


class Evaluation(NamedTuple):
    """The outcome of the rules.

    `decision` is what happens; `shadow_decision` is what would happen if rules and a policy in shadow were enforced.
    `load`, `scope` (of the highest load; "" where none counts), `score` and `reasons` count rules in shadow as well.
    """

    decision: Decision
    shadow_decision: Decision
    load: float
    scope: Scope | Literal[""]
    score: float
    reasons: tuple[Reason, ...]
    loads: tuple[Load, ...]


ALLOWED = Evaluation("allow", "allow", 0.0, "", 0.0, (), ())


def evaluate(policy: FraudPolicy, facts: Facts, exposure_budget: float) -> Evaluation:
    """Decide a request under a policy. `exposure_budget`: dollars, where the policy sets none."""
    if policy.mode == "off":
        return ALLOWED
    loads = tuple(scope_loads(policy, facts, exposure_budget))
    weights = {name: policy.signals[name] for name in facts.signals if policy.signals.get(name, 0) > 0}
    weight = sum(weights.values())
    is_cheap = facts.price < policy.price_floor
    weighted = [
        (min(load.load + weight, BLOCK_LOAD) if is_cheap and load.scope in WIDE else load.load + weight, load)
        for load in loads
    ]
    weighted.sort(key=lambda one: -one[0])
    least = max(facts.minimum, weight)
    total = max([least, *(one for one, _ in weighted)])
    enforced = max([least, *(one for one, load in weighted if load.is_enforced)])
    scope = weighted[0][1].scope if weighted and weighted[0][0] == total else ""
    reasons = [load.reason for one, load in weighted if one > PROOF_LOAD]
    reasons += [Reason(name, f"weight {weight:g}") for name, weight in weights.items()]
    return Evaluation(
        decision=decide(policy, enforced, has_proof=facts.has_proof) if policy.mode == "on" else "allow",
        shadow_decision=decide(policy, total, has_proof=facts.has_proof),
        load=total,
        scope=scope,
        score=min(1.0, total / BLOCK_LOAD),
        reasons=tuple(reasons),
        loads=loads,
    )


def decide(policy: FraudPolicy, load: float, *, has_proof: bool) -> Decision:
    """Return the decision for a load. A proof admits loads up to BLOCK_LOAD."""
    if load <= (BLOCK_LOAD if has_proof else PROOF_LOAD):
        return "allow"
    if load <= BLOCK_LOAD:
        return "proof_required"
    return "other_channel" if policy.channels else "block"


def scope_loads(policy: FraudPolicy, facts: Facts, exposure_budget: float) -> Iterable[Load]:
    """Return the loads of the scopes whose rules are not off."""
    for scope in NARROW:
        rule: FraudRule = getattr(policy.rules, scope)
        if scope not in facts.scopes or rule.mode == "off":
            continue
        exposure, verified = facts.scopes[scope]
        divisor = KNOWN_DIVISOR if facts.known and scope in BLOCKS else 1.0
        allowances = {rule.allowance: rule.mode == "on"}
        if scope in facts.loaded_elsewhere and (cross := policy.rules.cross_tenant).mode != "off":
            if cross.mode == "on":
                allowances.clear()  # in shadow, both are evaluated
            allowances.setdefault(min(rule.allowance, cross.allowance), rule.mode == cross.mode == "on")
        for allowance, is_enforced in allowances.items():
            allowed = max(allowance + verified, SMALLEST) * divisor
            yield Load(scope, exposure, allowed, exposure / allowed, is_enforced)
    if policy.rules.country.mode != "off" and "country" in facts.scopes and not facts.known:
        yield from _wide_loads(policy, facts, exposure_budget)


def _wide_loads(policy: FraudPolicy, facts: Facts, exposure_budget: float) -> Iterable[Load]:
    """Return the loads of the country and of the exposure budget; none where the country covers its exposure."""
    exposure, verified = facts.scopes["country"]
    uncovered = exposure - ratio_of(policy, facts.ratio) * verified
    if uncovered <= 0:
        return
    level, verified_lately = facts.scopes["exposure_budget"]
    size = max(budget_of(policy, exposure_budget), BUDGET_PART * verified_lately, SMALLEST)
    divisor = TRUST_DIVISOR if facts.in_country or is_trusted(facts.scopes.get("network")) else 1.0
    is_enforced = policy.rules.country.mode == "on"
    share = size * COUNTRY_SHARE * divisor
    yield Load("country", uncovered, share, uncovered / share, is_enforced)
    if facts.price >= policy.price_floor:
        yield Load("exposure_budget", level, size * divisor, level / (size * divisor), is_enforced)


def is_trusted(network: tuple[float, float] | None) -> bool:
    """Return whether a network had a login within TRUST_S, from its exposure and verified amount."""
    return network is not None and network[1] >= TRUST_VERIFIED


def budget_of(policy: FraudPolicy, exposure_budget: float) -> float:
    """Return the exposure budget in dollars: the policy's, else the operator's."""
    return exposure_budget if policy.exposure_budget is None else policy.exposure_budget


def ratio_of(policy: FraudPolicy, history: float | None) -> float:
    """Return the ratio of a country: that of its history, else the policy's."""
    return policy.ratio if history is None else history


def is_known(*, answered: int, unanswered: int) -> bool:
    """Return whether a number that has logged in here is exempt, from the messages that it answered over its life."""
    return answered > 0 and unanswered <= KNOWN_UNANSWERED + KNOWN_PART * answered


def guessing_load(policy: FraudPolicy, state: State, now: float) -> float:
    """Return the load of a tenant's wrong codes. `state` has the wrong codes, and the right ones as verified."""
    state = decay(state, now, GUESSING_DECAY_S, GUESSING_DECAY_S)
    return state.exposure / max(policy.rules.guessing.allowance + GUESSING_PART * state.verified, SMALLEST)


def country_ratio(days: Sequence[tuple[int, int]]) -> float | None:
    """Return the ratio of a country from the messages and the verified ones of its last days; None without history."""
    days = [day for day in days[-HISTORY_DAYS:] if day[1] >= HISTORY_VERIFIED]
    if len(days) < HISTORY_LEAST_DAYS:
        return None
    rates = sorted((sent - verified) / verified for sent, verified in days)
    low, high = RATIO_BOUNDS
    return min(high, max(low, rates[(len(rates) - 1) // 2] * HISTORY_MARGIN))


def _figure(number: float) -> str:
    """Format a number of messages with at most one decimal, rounded up; none where it is whole."""
    return f"{math.ceil(number * 10 - 1e-6) / 10:.1f}".removesuffix(".0")
