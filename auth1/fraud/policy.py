"""The fraud policy of a tenant: which rules hold, how much they allow, and what follows from a line type or a signal.

Figures are those of `docs/fraud.md`, found by `just fraud`.
"""

from typing import Annotated, Literal

import msgspec

Mode = Literal["on", "shadow", "off"]
Action = Literal["allow", "flag", "proof_required", "block"]
LineType = Literal[
    "landline",
    "mobile",
    "fixedVoip",
    "nonFixedVoip",
    "personal",
    "tollFree",
    "premium",
    "sharedCost",
    "uan",
    "voicemail",
    "pager",
    "unknown",
]
_Allowance = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule. Shadow: it is evaluated and recorded, and changes no decision.

    `allowance` is the number of unverified messages that are accepted where nothing was verified.
    """

    allowance: _Allowance
    mode: Mode = "on"


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules by the name of their scope.

    `country`: `allowance` is ignored; `exposure_budget` and `ratio` size it.
    `cross_tenant`: the allowance of a block of numbers that is loaded at another tenant.
    `guessing`: wrong codes of the tenant in an hour.
    """

    block_of_1000: Rule = Rule(6)
    block_of_10000: Rule = Rule(8)
    address: Rule = Rule(6)
    network: Rule = Rule(20)
    country: Rule = Rule(0)
    cross_tenant: Rule = Rule(2)
    guessing: Rule = Rule(60)


class Captcha(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A captcha in place of proof of work. `secret` is write-only; `hostnames` may solve it; empty: any."""

    provider: Literal["turnstile", "hcaptcha"]
    site_key: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    secret: Annotated[str, msgspec.Meta(min_length=1, max_length=200)] | None = None
    hostnames: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=253)], ...], msgspec.Meta(max_length=20)] = ()
    on_failure: Literal["allow", "deny"] = "allow"


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The fraud policy of a tenant. Shadow decides and records, and rejects no request.

    `line_types`: the action by line type; a type that is missing follows `voip_blocking`.
    `lookup`: whether to look up the line type of each number, only where the load is above 0.5, or never.
    `lookup_outage`: what to do with a number when the lookup fails: allow and flag it, or answer 503.
    `signals`: weights that are added to the load.
    `sample`: the part of allowed requests without a reason that is recorded.
    `exposure_budget`: dollars; null: FRAUD_EXPOSURE_BUDGET.
    `ratio`: money that may be unverified in a country for each dollar verified there, without history.
    `price_floor`: dollars; where a message costs less, the country's rule never rejects.
    `channels`: what a rejected SMS request is referred to.
    """

    mode: Mode = "on"
    rules: Rules = Rules()
    exposure_budget: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    ratio: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.6
    price_floor: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.02
    line_types: dict[LineType, Action] = {}
    lookup: Literal["always", "doubtful", "never"] = "always"
    lookup_outage: Literal["allow", "unavailable"] = "allow"
    signals: dict[str, Annotated[float, msgspec.Meta(ge=0, le=10)]] = {}
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    channels: tuple[Literal["email"], ...] = ()
    captcha: Captcha | None = None
