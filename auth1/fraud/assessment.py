"""Decisions of the fraud rules, and their reasons with figures."""

from typing import Literal, NamedTuple

Decision = Literal["allow", "proof_required", "other_channel", "block"]


class Reason(NamedTuple):
    """A reason of the closed set in docs/fraud.md, and its figures: `block_of_10000: 17 unverified, 8 allowed`."""

    name: str
    figures: str = ""

    def __str__(self) -> str:
        return f"{self.name}: {self.figures}" if self.figures else self.name
