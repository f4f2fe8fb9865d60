"""The result of the fraud rules for one request: a decision, a score, and the reasons with their figures."""

from typing import Any, Literal, NamedTuple

import msgspec

Decision = Literal["allow", "proof_required", "other_channel", "block"]
# From lenient to strict: of several rules the strictest decides.
DECISIONS: tuple[Decision, ...] = ("allow", "proof_required", "other_channel", "block")
# Loads above these need more than the request itself; `Assessment.score` is the load divided by twice the first.
PROOF_LOAD = 1.0
REJECTED_LOAD = 2.0


class Reason(NamedTuple):
    """A reason of the closed set in docs/fraud.md, and its figures: `block_of_10000: 17 unverified, 8 allowed`."""

    name: str
    figures: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.figures}" if self.figures else self.name


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """What the fraud rules make of a request.

    `features`: what the rules saw: counts, prices and networks, never an identifier or an address.
    `scopes`: the load of each scope after this send.
    `is_enforced`: false in shadow mode, which rejects no request.
    `extra_digits`: added to the code while the tenant's codes are guessed.
    """

    decision: Decision = "allow"
    score: float = 0.0
    reasons: tuple[Reason, ...] = ()
    features: dict[str, Any] = {}
    scopes: dict[str, float] = {}
    is_enforced: bool = True
    extra_digits: int = 0

    @property
    def is_rejected(self) -> bool:
        """Whether the request gets no code."""
        return self.is_enforced and self.decision != "allow"


def decision_of(load: float) -> Decision:
    """Return the decision on the load of the worst scope, before an offer of another channel."""
    if load <= PROOF_LOAD:
        return "allow"
    return "proof_required" if load <= REJECTED_LOAD else "block"


def score_of(load: float) -> float:
    """Return the score of a load, from 0.0 to 1.0."""
    return min(1.0, load / REJECTED_LOAD)
