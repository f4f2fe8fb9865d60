"""The fraud policy of a tenant: which rules hold, how much they allow, and what follows from a line type or a signal.

Figures are those of `docs/fraud.md`, found by `just fraud`.
"""

from typing import Annotated, Literal

import msgspec

from auth1.core.schemas import ONE_LINE, HostName, read_stored
from auth1.errors import FieldError, ValidationFailed

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
# The names of signals that the sources report; docs/fraud.md lists others that are not built.
SIGNALS = (
    "hosting_network",
    "vpn_network",
    "tor_network",
    "foreign_address",
    "disposable_email",
    "pumping_risk",
    "sim_swap",
)
_UNKNOWN_SIGNAL = f"Must be one of: {', '.join(SIGNALS)}."
_Allowance = Annotated[float, msgspec.Meta(ge=0, le=1_000_000)]
_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z", extra=ONE_LINE)]


class FraudRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule. Shadow: it is evaluated and recorded, and changes no decision.

    `allowance` is the number of unverified messages that are accepted where nothing was verified.
    """

    allowance: _Allowance
    mode: Mode = "on"


class FraudRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules by the name of their scope.

    `country`: `allowance` is ignored; `exposure_budget` and `ratio` size it.
    `cross_tenant`: the allowance of a block of numbers that is loaded at another tenant.
    `guessing`: wrong codes of the tenant in an hour.
    """

    block_of_1000: FraudRule = FraudRule(6)
    block_of_10000: FraudRule = FraudRule(8)
    address: FraudRule = FraudRule(6)
    network: FraudRule = FraudRule(20)
    country: FraudRule = FraudRule(0)
    cross_tenant: FraudRule = FraudRule(2)
    guessing: FraudRule = FraudRule(60)


class Captcha(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A captcha in place of proof of work. `hostnames` may solve it; empty: any.

    `secret` is write-only: it is encrypted, never returned, and kept where a new policy omits it.
    """

    provider: Literal["turnstile", "hcaptcha"]
    site_key: _Text
    secret: _Text | msgspec.UnsetType = msgspec.UNSET
    hostnames: Annotated[tuple[HostName, ...], msgspec.Meta(max_length=20)] = ()
    on_failure: Literal["allow", "deny"] = "allow"


class FraudPolicy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
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

    mode: Annotated[Mode, msgspec.Meta(examples=["on"])] = "on"
    rules: FraudRules = FraudRules()
    exposure_budget: Annotated[float, msgspec.Meta(ge=0, le=1_000_000)] | None = None
    ratio: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.6
    price_floor: Annotated[float, msgspec.Meta(ge=0, le=100)] = 0.02
    line_types: Annotated[
        dict[LineType, Action], msgspec.Meta(examples=[{"nonFixedVoip": "block", "landline": "allow"}])
    ] = {}
    lookup: Literal["always", "doubtful", "never"] = "always"
    lookup_outage: Literal["allow", "unavailable"] = "allow"
    signals: dict[str, Annotated[float, msgspec.Meta(ge=0, le=10)]] = {}
    sample: Annotated[float, msgspec.Meta(ge=0, le=1)] = 0.01
    channels: tuple[Literal["email"], ...] = ()
    captcha: Captcha | None = None


def in_shadow(policy: FraudPolicy) -> FraudPolicy:
    """Return a policy that decides and records, and rejects no request. A policy that is off stays off."""
    return msgspec.structs.replace(policy, mode="shadow") if policy.mode == "on" else policy


DEFAULT_POLICY = FraudPolicy()
_DECODER = msgspec.json.Decoder(FraudPolicy)


def check_policy(policy: FraudPolicy) -> None:
    """Raise ValidationFailed unless each signal of a policy is known."""
    if unknown := sorted(set(policy.signals).difference(SIGNALS)):
        raise ValidationFailed(errors=[FieldError(f"signals.{unknown[0][:64]}", _UNKNOWN_SIGNAL)])


def read_policy(stored: str | None) -> FraudPolicy:
    """Read a policy as any version stored it; null: the default."""
    return DEFAULT_POLICY if stored is None else read_stored(_DECODER, stored)
