"""Sorted integers as bytes: little-endian on every machine, and searched where they are, without a copy.

A list of a million integers takes 40 MiB, and these 4, 8 or 16 bytes each.
"""

import sys
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from typing import Literal

Width = Literal[4, 8, 16]  # bytes of each integer
_CODES: dict[int, Literal["I", "Q"]] = {4: "I", 8: "Q"}
_IS_LITTLE = sys.byteorder == "little"


def pack(numbers: Sequence[int], width: Width) -> bytes:
    """Return numbers as bytes; those of 16 bytes are big-endian, so that bytes sort as numbers do."""
    if width == 16:
        return b"".join([number.to_bytes(16, "big") for number in numbers])
    packed = array(_CODES[width], numbers)
    if not _IS_LITTLE:
        packed.byteswap()
    return packed.tobytes()


class Packed:
    """Sorted numbers in the bytes that `pack` returned."""

    def __init__(self, data: memoryview, width: Width) -> None:
        self._count = len(data) // width
        self._data = data
        self._numbers: Sequence[int] | None = None
        if width != 16:
            self._numbers = data.cast(_CODES[width])
            if not _IS_LITTLE:
                swapped = array(_CODES[width], self._numbers)
                swapped.byteswap()
                self._numbers = swapped

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> int:
        if self._numbers is not None:
            return self._numbers[index]
        return int.from_bytes(self._data[16 * index : 16 * index + 16], "big")

    def rank(self, number: int) -> int:
        """Return how many numbers are less than or equal to a number."""
        return bisect_right(self._numbers if self._numbers is not None else self, number)
