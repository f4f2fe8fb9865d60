"""Ids: a prefix, then 26 characters that sort by creation time.

48 bits of milliseconds and 80 random bits in Crockford's base 32 (lower case), as in a ULID. The SQL function
`id_floor` returns the lowest id of a timestamp, so that partitions, purges and `since=` need no second column.

Random characters are drawn for many ids at once, and the ten characters of a millisecond are made once. That replaces a
system call and thirteen lookups per id, and costs a fifth. The oracle in tests/core/test_ids.py computes one id from
its number.
"""

import hashlib
import os
import re
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
_RANDOM_CHARACTERS = 16
_IDS_PER_DRAW = 256
# Every byte becomes the digit of its lower five bits: 256 is a multiple of 32, so all digits are equally likely.
_TO_DIGITS = bytes(_DIGITS.encode()[byte % 32] for byte in range(256))


class _Source:
    """The parts of the next ids of this process."""

    def __init__(self) -> None:
        self.drawn: list[str] = []  # random parts, each used once
        self.millisecond = -1
        self.time = ""  # that millisecond in base 32

    def draw(self) -> str:
        """Return the random part of an id."""
        text = os.urandom(_RANDOM_CHARACTERS * _IDS_PER_DRAW).translate(_TO_DIGITS).decode()
        self.drawn.extend(text[at : at + _RANDOM_CHARACTERS] for at in range(0, len(text), _RANDOM_CHARACTERS))
        return self.drawn.pop()

    def set_time(self, millisecond: int) -> None:
        self.time = _digits_of(millisecond)
        self.millisecond = millisecond


def _digits_of(millisecond: int) -> str:
    """Return a time in base 32."""
    return "".join([_DIGITS[millisecond >> shift & 31] for shift in range(45, -1, -5)])


_FROM_DIGITS = str.maketrans(_DIGITS, "0123456789abcdefghijklmnopqrstuv")
_TIMED = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{25}")

_source = _Source()
os.register_at_fork(after_in_child=_source.drawn.clear)  # a child must not use what its parent will use


def new_id(prefix: str) -> str:
    """Return a new id like `ch_01k9z4m8e2v7q6n3r5t1w0x8y4`."""
    source, millisecond = _source, time.time_ns() // 1_000_000
    if millisecond != source.millisecond:
        source.set_time(millisecond)
    try:
        return f"{prefix}_{source.time}{source.drawn.pop()}"
    except IndexError:
        return f"{prefix}_{source.time}{source.draw()}"


def new_id_at(prefix: str, seconds: float) -> str:
    """Return a new id of another time than this machine's, in seconds since 1970."""
    millisecond = int(seconds * 1000)
    return f"{prefix}_{_digits_of(millisecond)}{_source.drawn.pop() if _source.drawn else _source.draw()}"


def made_at(made: str) -> int:
    """Return the creation time of an id, in whole seconds since 1970."""
    number = 0
    for digit in made.partition("_")[2][:10]:
        number = number << 5 | _DIGITS.index(digit)
    return number // 1000


def pack_id(made: str, prefix: str) -> bytes:
    """Return an id as 16 bytes that sort as ids do; of another text than an id with this prefix, a digest."""
    start = len(prefix) + 1
    if made[:start] == f"{prefix}_" and _TIMED.fullmatch(made, start):
        return int(made[start:].translate(_FROM_DIGITS), 32).to_bytes(16, "big")
    return hashlib.sha256(made.encode()).digest()[:16]


def unpack_id(packed: bytes, prefix: str) -> str:
    """Return the id of 16 bytes."""
    number = int.from_bytes(packed, "big")
    return f"{prefix}_" + "".join([_DIGITS[number >> shift & 31] for shift in range(125, -1, -5)])
