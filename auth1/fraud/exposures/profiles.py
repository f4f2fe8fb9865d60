"""What Redis needs to know of a policy, worked out once per policy: the parameters of `fraud_acquire.lua`."""

import struct
from collections import OrderedDict
from typing import NamedTuple

import msgspec

from auth1.fraud.constants import BLOCK_LOAD, KNOWN_DIVISOR, PROOF_LOAD, TRUST_DIVISOR
from auth1.fraud.exposures.messages import Message
from auth1.fraud.policy import Policy, Rule, Rules
from auth1.fraud.rules import budget_of, ratio_of
from auth1.fraud.scopes import NARROW

_PARAMETERS = struct.Struct("<15d")
_ANY = 1e300  # allowance or highest load where nothing is enforced
_NONE = -1.0  # highest load where no message is sent
MAX_PROFILES = 2000  # tenants


class Profile(NamedTuple):
    """A policy as the script sees it.

    `allowances` and `cross_allowances`: of the narrow scopes, and where a block is loaded at another tenant; those of
    rules in shadow and off admit everything. `has_shadow`: only `rules.evaluate` finds all reasons. `guessing`: the
    allowance of wrong codes, negative where the rule is off.
    """

    policy: Policy
    allowances: tuple[float, ...]
    cross_allowances: tuple[float, ...]
    is_country_enforced: bool
    is_enforced: bool
    has_shadow: bool
    budget: float
    guessing: float

    def parameters(self, message: Message, ratio: float | None, elsewhere: tuple[str, ...]) -> bytes:
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
            ratio_of(policy, ratio),
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
        )


class Profiles:
    """The profiles of tenants. `exposure_budget`: the operator's, in dollars."""

    def __init__(self, exposure_budget: float) -> None:
        self._exposure_budget = exposure_budget
        self._profiles: OrderedDict[str, Profile] = OrderedDict()

    def of(self, tenant_id: str, policy: Policy) -> Profile:
        """Return the profile of a tenant's policy."""
        profile = self._profiles.get(tenant_id)
        if profile is None or profile.policy is not policy:
            profile = self._profiles[tenant_id] = new_profile(policy, self._exposure_budget)
            self._profiles.move_to_end(tenant_id)
            if len(self._profiles) > MAX_PROFILES:
                self._profiles.popitem(last=False)
        return profile


def new_profile(policy: Policy, exposure_budget: float) -> Profile:
    """Work out the profile of a policy."""
    rules = policy.rules
    narrow: list[Rule] = [getattr(rules, scope) for scope in NARROW]
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


def share_of(policy: Policy, workers: int) -> Policy:
    """Return a policy whose allowances are divided among workers that cannot count together.

    An allowance of a message or more stays at least one: else the first message of everyone would be doubtful.
    """
    if workers == 1:
        return policy
    rules = {
        name: msgspec.structs.replace(rule, allowance=max(rule.allowance / workers, min(1.0, rule.allowance)))
        for name in Rules.__struct_fields__
        for rule in [getattr(policy.rules, name)]
    }
    budget = policy.exposure_budget
    return msgspec.structs.replace(
        policy, rules=Rules(**rules), exposure_budget=None if budget is None else budget / workers
    )
