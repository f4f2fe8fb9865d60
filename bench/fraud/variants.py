"""The fraud rules without one of their parts, and with one signal."""

from dataclasses import dataclass

import msgspec

from auth1.fraud.policy import FraudPolicy, FraudRules
from bench.fraud.signals import NAMES

SIGNAL_WEIGHT = 0.5


@dataclass(frozen=True)
class Variant:
    """A policy, and the parts that no policy changes.

    `exempts_known`: rule 3, numbers that have logged in here. `limits_known`: they must answer most of their codes.
    `trusts_networks`: rule 3, networks with a login and addresses in the number's country. `uses_history`: ratios of
    countries. `releases`: rule 6. `offers_proofs`: a doubtful request may carry a proof; else it is rejected.
    """

    policy: FraudPolicy | None = None
    exempts_known: bool = True
    limits_known: bool = True
    trusts_networks: bool = True
    uses_history: bool = True
    releases: bool = True
    offers_proofs: bool = True


def without(*names: str) -> FraudPolicy:
    """Return the default policy with some rules off."""
    rules = FraudRules()
    off = {name: msgspec.structs.replace(getattr(rules, name), mode="off") for name in names}
    return FraudPolicy(rules=msgspec.structs.replace(rules, **off))


VARIANTS: dict[str, Variant] = {
    "all rules": Variant(),
    "without block_of_1000": Variant(without("block_of_1000")),
    "without block_of_10000": Variant(without("block_of_10000")),
    "without both blocks": Variant(without("block_of_1000", "block_of_10000")),
    "without address": Variant(without("address")),
    "without network": Variant(without("network")),
    "without country": Variant(without("country")),
    "without cross_tenant": Variant(without("cross_tenant")),
    "without guessing": Variant(without("guessing")),
    "without known numbers": Variant(exempts_known=False),
    "without limit of known numbers": Variant(limits_known=False),
    "without known networks": Variant(trusts_networks=False),
    "without history": Variant(uses_history=False),
    "without price floor": Variant(FraudPolicy(price_floor=0.0)),
    "without release": Variant(releases=False),
    "without proofs": Variant(offers_proofs=False),
}
OFF = tuple(name for name in VARIANTS if name.startswith("without"))
WITH_SIGNAL = tuple(f"with {name}" for name in NAMES)
VARIANTS |= {f"with {name}": Variant(FraudPolicy(signals={name: SIGNAL_WEIGHT})) for name in NAMES}
