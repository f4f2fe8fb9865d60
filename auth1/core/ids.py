"""Ids: a prefix, then 26 characters that sort by creation time.

48 bits of milliseconds and 80 random bits in Crockford's base 32 (lower case), as in a ULID. The SQL function
`id_floor` returns the lowest id of a timestamp, so that partitions, purges and `since=` need no second column.
"""

import secrets
import time
from typing import Annotated

import msgspec

ChallengeId = Annotated[
    str,
    msgspec.Meta(
        max_length=64,
        pattern=r"^ch_[0-9a-z]{26}\Z",
        description="ID of a challenge.",
        extra={"message": "Must be the ID of a challenge, such as ch_01jd8k2m4n6p8q0r2s4t6v8w0x."},
    ),
]
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(a + b for a in _DIGITS for b in _DIGITS)  # ten bits at a time


def new_id(prefix: str) -> str:
    """Return a new id like `ch_01k9z4m8e2v7q6n3r5t1w0x8y4`."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join([_PAIRS[number >> shift & 1023] for shift in range(120, -1, -10)])


def made_at(made: str) -> int:
    """Return the creation time of an id, in whole seconds since 1970."""
    number = 0
    for digit in made.partition("_")[2][:10]:
        number = number << 5 | _DIGITS.index(digit)
    return number // 1000
