"""The figures of the fraud rules, with their units; `policy.py` has those that a tenant may change.

Each was found by simulating honest tenants and attackers (docs/fraud.md, `just fraud`). Redis gets the same
figures: `exposures.py` passes this module to the Lua scripts.
"""

import math

RULES_VERSION = 1  # stored with each decision; raise it when a decision may change

HOUR_S = 3600.0
DAY_S = 86_400.0

# Time constants: a state falls to 37 % in this time.
BLOCK_DECAY_S = 2 * DAY_S
ADDRESS_DECAY_S = 1 * DAY_S
WIDE_DECAY_S = 5 * DAY_S
VERIFIED_DECAY_S = 5 * DAY_S  # of what was verified, in every scope but guessing
GUESSING_DECAY_S = 1 * HOUR_S

# Loads.
PROOF_LOAD = 1.0  # above it a proof is required
BLOCK_LOAD = 2.0  # above it a proof does not help

# The wide scope, in dollars.
BUDGET_PART = 0.05  # of the money verified lately, when that is more than the exposure budget
COUNTRY_SHARE = 0.5  # of the exposure budget, for one country
TRUST_DIVISOR = 4.0  # of the wide load, for a trusted network; a power of two, so that divisions are exact
TRUST_S = 7 * DAY_S  # a network is trusted for so long after a login
TRUST_VERIFIED = math.exp(-TRUST_S / VERIFIED_DECAY_S)  # what remains of one login then

# A country's ratio from its history.
HISTORY_DAYS = 14
HISTORY_LEAST_DAYS = 3  # that count; else the ratio of the policy holds, so that one attacked day changes nothing
HISTORY_VERIFIED = 20  # verified messages that make a day count
HISTORY_MARGIN = 1.5  # times the unverified per verified of the median day
RATIO_BOUNDS = (0.25, 0.7)

# Numbers that have logged in here.
KNOWN_DIVISOR = 2.0  # of the load of a block; a power of two
KNOWN_UNANSWERED = 2.0  # messages that may stay unanswered over the number's life, and …
KNOWN_PART = 0.5  # … so many for each that it has answered

# Wrong codes of a tenant.
GUESSING_PART = 0.5  # of the right codes, added to the allowance of wrong ones
GUESSING_END = 0.5  # load below which an attack by guessing has ended

CROSS_TENANT_S = 1 * DAY_S  # a block counts as loaded at other tenants for so long

# Redis.
NARROW_LIFE_S = str(10 * 24 * 3600)  # without a message; then little of a state is left
WIDE_LIFE_S = 30 * DAY_S  # then it is read from PostgreSQL again
PROOF_LIFE_S = 300.0  # a proof is valid for so long, and is remembered as used
MAX_SENDS_BYTES = 2000.0  # of the messages of one code

SMALLEST = 1e-9  # the least allowance, so that no load is infinite
LARGEST = 1e12  # the largest exposure or verified amount that is read; others are garbage

# For scripts. A number that is an argument of a command is text: Lua would format it for each command.
LITERALS: dict[str, float | str] = {
    name: value for name, value in globals().items() if name.isupper() and isinstance(value, float | str)
}
