"""Sorted integers as bytes: little-endian on every machine, and searched where they are, without a copy.

A list of a million integers takes 40 MiB, and these 4, 8 or 16 bytes each. Those of 16 bytes are stored as their upper
halves, then their lower halves.
"""

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import Literal

Width = Literal[4, 8, 16]  # bytes of each integer
_CODES: dict[int, Literal["I", "Q"]] = {4: "I", 8: "Q"}
_IS_LITTLE = sys.byteorder == "little"
_LOWER = (1 << 64) - 1


def pack(numbers: Sequence[int], width: Width) -> bytes:
    """Return numbers as bytes."""
    if width == 16:
        return pack([number >> 64 for number in numbers], 8) + pack([number & _LOWER for number in numbers], 8)
    packed = array(_CODES[width], numbers)
    if not _IS_LITTLE:
        packed.byteswap()
    return packed.tobytes()


class Packed:
    """Sorted numbers in the bytes that `pack` returned."""

    def __init__(self, data: memoryview, width: Width) -> None:
        self._lower: Sequence[int] | None = None
        if width == 16:
            half = len(data) // 2
            self._lower = _unpack(data[half:], 8)
            data, width = data[:half], 8
        self._numbers = _unpack(data, width)

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> int:
        number = self._numbers[index]
        return number if self._lower is None else number << 64 | self._lower[index]

    def rank(self, number: int) -> int:
        """Return the count of numbers that are less than or equal to a number."""
        if self._lower is None:
            return bisect_right(self._numbers, number)
        upper = number >> 64
        first = bisect_left(self._numbers, upper)
        end = bisect_right(self._numbers, upper, first)
        return bisect_right(self._lower, number & _LOWER, first, end)


def _unpack(data: memoryview, width: Width) -> Sequence[int]:
    """Return the numbers of 4 or 8 bytes."""
    numbers = data.cast(_CODES[width])
    if _IS_LITTLE:
        return numbers
    swapped = array(_CODES[width], numbers)
    swapped.byteswap()
    return swapped
