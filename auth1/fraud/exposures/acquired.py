"""The outcome of acquiring a request: rate limits, scopes, proof, and what the rules make of it."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from auth1.core.ratelimit import Decision
from auth1.fraud.constants import PROOF_LOAD
from auth1.fraud.exposures.messages import Message, read_state
from auth1.fraud.policy import Policy
from auth1.fraud.rules import Evaluation, Facts, evaluate, ratio_of
from auth1.fraud.scopes import WIDE, Scope, State, send

Proof = Literal["none", "redeemed", "used", "kept"]
PROOFS: tuple[Proof, ...] = ("none", "redeemed", "used", "kept")


class Acquired(msgspec.Struct, frozen=True, kw_only=True):
    """What one call acquired: the rate limits and the scopes of a message, or nothing.

    `limits`: the decision of the rate limits. `load`: the highest of the enforced scopes. `proof`: redeemed with this
    request, used before, or kept because nothing was acquired. `is_guessed`: the tenant's codes are being guessed;
    `guessing_ended`: this request found that they no longer are. `stored`: the states of the scopes as they are stored
    (narrow ones, country, exposure budget), after the message where it was acquired. `ratio`: of the country's history.
    `elsewhere`: blocks that are loaded at another tenant. `now`: seconds. `is_local`: decided by this worker alone,
    because Redis is unavailable.
    """

    message: Message
    policy: Policy
    exposure_budget: float
    is_acquired: bool
    limits: Decision
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
        """Whether it is acquired without any reason to record: `evaluate` would find none."""
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
        """What the rules read about the request."""
        message, states = self.message, self.states
        if states and not self.is_acquired:
            ratio = ratio_of(self.policy, self.ratio)
            states = send(states, message.price, ratio, self.policy.price_floor, self.now)
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
