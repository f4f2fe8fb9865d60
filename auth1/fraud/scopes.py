"""The scopes of a request and their states: exposures that decay, grow with a message, and are settled.

Pure: no I/O, and the clock is an argument. `lua/fraud_acquire.lua` and `lua/fraud_settle.lua` do the same arithmetic in
Redis, and tests compare the two.
"""

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from auth1.fraud.constants import ADDRESS_DECAY_S, BLOCK_DECAY_S, LARGEST, VERIFIED_DECAY_S, WIDE_DECAY_S

Scope = Literal["block_of_1000", "block_of_10000", "address", "network", "country", "exposure_budget"]

BLOCKS: tuple[Scope, ...] = ("block_of_1000", "block_of_10000")
NARROW: tuple[Scope, ...] = (*BLOCKS, "address", "network")  # count messages
WIDE: tuple[Scope, ...] = ("country", "exposure_budget")  # count dollars
DECAY_S: dict[Scope, float] = {
    "block_of_1000": BLOCK_DECAY_S,
    "block_of_10000": BLOCK_DECAY_S,
    "address": ADDRESS_DECAY_S,
    "network": ADDRESS_DECAY_S,
    "country": WIDE_DECAY_S,
    "exposure_budget": WIDE_DECAY_S,
}


class State(NamedTuple):
    """The state of a scope at a time in seconds since 1970: messages or dollars."""

    exposure: float = 0.0
    verified: float = 0.0
    second: float = 0.0


EMPTY = State()
States = Mapping[Scope, State]  # a request without an address has no "address" and no "network"


def decay(state: State, now: float, decay_s: float, verified_decay_s: float = VERIFIED_DECAY_S) -> State:
    """Return the state at `now`. A clock that has gone back decays nothing. Garbage is empty."""
    exposure, verified, second = state
    if not (0 <= exposure <= LARGEST and 0 <= verified <= LARGEST and second >= 0):
        return State(0.0, 0.0, now)
    age = now - second
    if age <= 0:
        return State(exposure, verified, now)
    return State(exposure * math.exp(-age / decay_s), verified * math.exp(-age / verified_decay_s), now)


def send(states: States, price: float, ratio: float, price_floor: float, now: float) -> dict[Scope, State]:
    """Return the states after a message. What a country does not cover draws on the exposure budget.

    A message that costs less than `price_floor` draws nothing.
    """
    after = {scope: decay(state, now, DECAY_S[scope]) for scope, state in states.items()}
    for scope in NARROW:
        if scope in after:
            after[scope] = after[scope]._replace(exposure=after[scope].exposure + 1)
    country, budget = after["country"], after["exposure_budget"]
    exposure = country.exposure + price
    after["country"] = country._replace(exposure=exposure)
    if price >= price_floor:
        uncovered = exposure - ratio * country.verified
        drawn = max(0.0, uncovered) - max(0.0, uncovered - price)
        after["exposure_budget"] = budget._replace(exposure=budget.exposure + drawn)
    return after


def settle(state: State, removed: float, verified: float, decay_s: float, now: float) -> State:
    """Return the state of a narrow scope after messages were verified or taken back. Negative: they were sent."""
    state = decay(state, now, decay_s)
    return State(max(0.0, state.exposure - removed), state.verified + verified, now)


def settle_wide(
    country: State, budget: State, removed: float, verified: float, ratio: float, *, draws: bool, now: float
) -> tuple[State, State]:
    """Return the states of country and budget after dollars were verified or taken back. Negative: they were sent.

    `draws`: the messages have drawn on the budget, which gets back what the country covers now.
    """
    country, budget = decay(country, now, WIDE_DECAY_S), decay(budget, now, WIDE_DECAY_S)
    after = State(max(0.0, country.exposure - removed), country.verified + verified, now)
    level = budget.exposure
    if draws:
        returned = max(0.0, country.exposure - ratio * country.verified) - max(
            0.0, after.exposure - ratio * after.verified
        )
        level = max(0.0, level - returned)
    return after, State(level, budget.verified + verified, now)
