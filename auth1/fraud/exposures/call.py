"""The call of `lua/fraud_acquire.lua`: its parameters, which follow from the policy, and its outcome."""

import struct
from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec

from auth1.core.ratelimit import Decision, RateLimit
from auth1.fraud.constants import BLOCK_LOAD, KNOWN_DIVISOR, PROOF_LIFE_S, PROOF_LOAD, TRUST_DIVISOR
from auth1.fraud.exposures.messages import Message, pack_state, read_state
from auth1.fraud.policy import FraudPolicy, FraudRule
from auth1.fraud.rules import Evaluation, Facts, budget_of, evaluate, ratio_of
from auth1.fraud.scopes import NARROW, WIDE, Scope, State, send

_PARAMETERS = struct.Struct("<16d")
_ANY = 1e300  # allowance or highest load where nothing is enforced
_NONE = -1.0  # highest load where no message is sent
MAX_PROFILES = 2000  # tenants

Proof = Literal["none", "redeemed", "used", "kept"]
PROOFS: tuple[Proof, ...] = ("none", "redeemed", "used", "kept")


class Profile(NamedTuple):
    """A policy as the script sees it.

    `allowances` and `cross_allowances`: of the narrow scopes, and where a block is loaded at another tenant; those of
    rules in shadow and off admit everything. `has_shadow`: only `rules.evaluate` finds all reasons. `guessing`: the
    allowance of wrong codes, negative where the rule is off.
    """

    policy: FraudPolicy
    allowances: tuple[float, ...]
    cross_allowances: tuple[float, ...]
    is_country_enforced: bool
    is_enforced: bool
    has_shadow: bool
    budget: float
    guessing: float

    def parameters(
        self, message: Message, ratio: float | None, elsewhere: tuple[str, ...], *, may_be_known: bool
    ) -> bytes:
        """Pack the parameters of a message. `elsewhere`: its blocks that are loaded at another tenant."""
        policy, allowances = self.policy, self.allowances
        if elsewhere:
            allowances = tuple(
                self.cross_allowances[i] if scope in elsewhere else allowances[i] for i, scope in enumerate(NARROW)
            )
        weight, minimum = 0.0, message.minimum
        if message.signals:
            weight = sum(policy.signals.get(name, 0.0) for name in message.signals)
            minimum = max(minimum, weight)
        most = most_wide = proof_most = proof_most_wide = _ANY
        if self.is_enforced:
            most = most_wide = PROOF_LOAD if minimum <= PROOF_LOAD else _NONE
            proof_most = proof_most_wide = BLOCK_LOAD if minimum <= BLOCK_LOAD else _NONE
            if message.price < policy.price_floor and minimum <= BLOCK_LOAD:
                proof_most_wide = _ANY
        divisor = TRUST_DIVISOR if message.in_country else 1.0
        return _PARAMETERS.pack(
            message.price,
            policy.ratio if ratio is None else ratio,
            self.budget,
            message.price >= policy.price_floor,
            *allowances,
            KNOWN_DIVISOR if message.known else 1.0,
            divisor if self.is_country_enforced and not message.known else 0.0,
            weight,
            most,
            most_wide,
            proof_most,
            proof_most_wide,
            KNOWN_DIVISOR if may_be_known and not message.known and self.is_enforced else 0.0,
        )


class Profiles:
    """The profiles of tenants. `exposure_budget`: the operator's, in dollars."""

    def __init__(self, exposure_budget: float) -> None:
        self._exposure_budget = exposure_budget
        self._profiles: OrderedDict[str, Profile] = OrderedDict()

    def of(self, tenant_id: str, policy: FraudPolicy) -> Profile:
        """Return the profile of a tenant's policy."""
        profile = self._profiles.get(tenant_id)
        if profile is None or profile.policy is not policy:
            profile = self._profiles[tenant_id] = new_profile(policy, self._exposure_budget)
            self._profiles.move_to_end(tenant_id)
            if len(self._profiles) > MAX_PROFILES:
                self._profiles.popitem(last=False)
        return profile


def new_profile(policy: FraudPolicy, exposure_budget: float) -> Profile:
    """Compute the profile of a policy."""
    rules = policy.rules
    narrow: list[FraudRule] = [getattr(rules, scope) for scope in NARROW]
    cross = rules.cross_tenant
    own = tuple(rule.allowance if rule.mode == "on" else _ANY for rule in narrow)
    return Profile(
        policy=policy,
        allowances=own,
        cross_allowances=tuple(
            min(allowance, cross.allowance) if cross.mode == "on" and allowance < _ANY else allowance
            for allowance in own
        ),
        is_country_enforced=rules.country.mode == "on",
        is_enforced=policy.mode == "on",
        has_shadow=any(rule.mode == "shadow" for rule in (*narrow, rules.country, cross)),
        budget=budget_of(policy, exposure_budget),
        guessing=rules.guessing.allowance if rules.guessing.mode != "off" and policy.mode != "off" else -1.0,
    )


def keys_and_arguments(
    profile: Profile,
    message: Message,
    rate_limits: Sequence[RateLimit],
    ratio: float | None,
    elsewhere: tuple[str, ...],
    now: float,
    *,
    may_be_known: bool = False,
) -> tuple[list[str], list[str | bytes | int]]:
    """Return keys and arguments of `fraud_acquire.lua`."""
    keys = [rate_limit.key for rate_limit in rate_limits]
    arguments: list[str | bytes | int] = [int(now * 1000), len(keys), repr(profile.guessing)]
    for rate_limit in rate_limits:
        arguments += (rate_limit.limit, rate_limit.window_ms)
    if message.number is not None:
        keys.append(message.sends_key())
        keys += message.narrow_keys()
        arguments += (
            message.country_field,
            profile.parameters(message, ratio, elsewhere, may_be_known=may_be_known),
            message.entry(),
            message.code_s,
        )
        if message.proof is not None:
            keys.append(message.proof_key())
            arguments.append(int(PROOF_LIFE_S))
        else:
            arguments.append("")
    keys.append(message.wide_key())
    return keys, arguments


class Acquired(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one call: the rate limits and scopes of a message are acquired, or nothing is.

    `is_if_known`: only the rate limits and the proof are acquired, because only a known number may get the message.
    `limits`: the decision of the rate limits. `load`: the highest of the enforced scopes. `proof`: redeemed with this
    request, used before, or kept because nothing was acquired. `is_guessed`: the tenant's codes are being guessed;
    `guessing_ended`: this request found that they no longer are. `stored`: the states of the scopes as they are stored
    (narrow ones, country, exposure budget), after the message where it was acquired. `ratio`: of the country's history.
    `elsewhere`: blocks that are loaded at another tenant. `now`: seconds. `is_local`: decided by this worker alone,
    because Redis is unavailable.
    """

    message: Message
    policy: FraudPolicy
    exposure_budget: float
    is_acquired: bool
    limits: Decision
    is_if_known: bool = False
    proof: Proof = "none"
    is_guessed: bool = False
    guessing_ended: bool = False
    load: float = 0.0
    stored: Sequence[bytes | None] = ()
    ratio: float | None = None
    elsewhere: tuple[str, ...] = ()
    now: float = 0.0
    is_local: bool = False
    has_shadow: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether the message is acquired, and `evaluate` would find no reason to record."""
        message = self.message
        return (
            self.is_acquired
            and self.load <= PROOF_LOAD
            and not message.signals
            and message.minimum <= PROOF_LOAD
            and not self.has_shadow
        )

    @property
    def states(self) -> dict[Scope, State]:
        """The states of the scopes; empty for an email and where a rate limit is exceeded."""
        if not self.stored:
            return {}
        names = (*self.message.scopes, *WIDE)
        return {name: read_state(stored) for name, stored in zip(names, self.stored, strict=True)}

    @property
    def facts(self) -> Facts:
        """Return the facts about the request that the rules read."""
        message, states = self.message, self.states
        if states and not self.is_acquired:
            states = self._states_after()
        return Facts(
            price=message.price,
            ratio=self.ratio,
            known=message.known,
            in_country=message.in_country,
            loaded_elsewhere=self.elsewhere,
            signals=message.signals,
            minimum=message.minimum,
            has_proof=self.proof in ("redeemed", "kept"),
        ).with_states(states)

    def evaluate(self, *, known: bool | None = None) -> Evaluation:
        """Evaluate the rules; `known` says how they would decide for a number that is known."""
        facts = self.facts
        if known is not None:
            facts = msgspec.structs.replace(facts, known=known)
        return evaluate(self.policy, facts, self.exposure_budget)

    def as_known(self) -> "Acquired":
        """Return the result after the number was found to be known."""
        message = self.message._replace(known=True)
        loads = self.evaluate(known=True).loads
        return msgspec.structs.replace(
            self,
            message=message,
            load=max((load.load for load in loads if load.is_enforced), default=0.0),
            stored=self.stored if self.is_acquired else [pack_state(state) for state in self._states_after().values()],
            is_acquired=True,
            is_if_known=False,
        )

    def _states_after(self) -> dict[Scope, State]:
        """Return the states after a message that is not acquired."""
        return send(
            self.states, self.message.price, ratio_of(self.policy, self.ratio), self.policy.price_floor, self.now
        )
