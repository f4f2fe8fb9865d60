"""Line types by prefix: a file `prefix,line_type`, and the longest match for a number.

The file is compiled once, by the command that loads it: prefixes become ranges that do not overlap, as sorted starts
with the type from there on. So a worker needs one bisection per number, and no work when it loads a million prefixes.

A number is a key of 15 digits in base 11, where 0 is the end of the number and 1 to 10 are its digits. So a number is
outside of a prefix that is longer than itself.
"""

import re
import struct
from array import array
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from auth1.core.packed import Packed, pack
from auth1.fraud.datasets.files import BadLine
from auth1.fraud.line_types.types import LINE_TYPES, parse_line_type
from auth1.fraud.policy import LineType

MAX_PREFIXES = 2_000_000  # each worker keeps up to 18 bytes for each

_DIGITS = 15  # of the longest number in E.164
_TO_BASE_11 = str.maketrans("0123456789", "123456789a")
_NO_TYPE = 255
_HEADER = struct.Struct("<I")  # the number of ranges
_LINE = re.compile(r"\s*\+?([1-9][0-9]{0,14})\s*,\s*([A-Za-z]+)\s*", re.ASCII)
_FIRST_LINE = "prefix,line_type"
# A prefix as one integer, which sorts by its first number, then by its length: both as documented at `_pack`.
_LENGTH_BITS, _TYPE_BITS, _LINE_BITS = 4, 4, 32


class Prefixes:
    """Line types by prefix, as `compile_prefixes` returns them. Raises ValueError for other bytes."""

    def __init__(self, data: bytes = _HEADER.pack(0)) -> None:
        view = memoryview(data)
        (count,) = _HEADER.unpack(bytes(view[: _HEADER.size]).ljust(_HEADER.size))
        end = _HEADER.size + 8 * count
        if len(data) != end + count:
            raise ValueError("not compiled prefixes")
        self._starts = Packed(view[_HEADER.size : end], 8)
        self._types = view[end:]

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, phone: str) -> LineType | None:
        """Return the line type of the longest prefix of a number in E.164, None where there is none."""
        index = self._starts.rank(_key(phone[1:])) - 1
        if index < 0 or self._types[index] == _NO_TYPE:
            return None
        return LINE_TYPES[self._types[index]]


class _Range(NamedTuple):
    end: int
    type: int


def compile_prefixes(lines: Iterable[str]) -> tuple[int, bytes]:
    """Return the number of prefixes of a file, and them as bytes. Raises BadLine."""
    packed = sorted(_read(lines))
    starts, types = array("Q"), bytearray()

    def begin(position: int, line_type: int) -> None:
        if starts and starts[-1] == position:
            starts.pop()
            types.pop()
        if (types[-1] if types else _NO_TYPE) != line_type:
            starts.append(position)
            types.append(line_type)

    nested: list[_Range] = []
    count, last = 0, (-1, -1)
    for number in packed:
        start, length, line_type, line = _unpack(number)
        if (start, length) == last:
            if nested[-1].type != line_type:
                raise BadLine(line, "the prefix has another line type on an earlier line")
            continue
        count, last = count + 1, (start, length)
        while nested and nested[-1].end <= start:
            end = nested.pop().end
            begin(end, nested[-1].type if nested else _NO_TYPE)
        nested.append(_Range(start + 11 ** (_DIGITS - length), line_type))
        begin(start, line_type)
    while nested:
        end = nested.pop().end
        begin(end, nested[-1].type if nested else _NO_TYPE)
    return count, _HEADER.pack(len(starts)) + pack(starts, 8) + bytes(types)


def _read(lines: Iterable[str]) -> Iterator[int]:
    """Read the lines of a file. Empty lines, comments (#) and a header line are skipped. Raises BadLine."""
    count = 0
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#") or (number == 1 and line.strip() == _FIRST_LINE):
            continue
        found = _LINE.fullmatch(line)
        if found is None:
            raise BadLine(number, "must be prefix,line_type, such as 4475,mobile")
        line_type = parse_line_type(found[2])
        if line_type is None:
            raise BadLine(number, f"{found[2]} is no line type; use one of {', '.join(LINE_TYPES)}")
        count += 1
        if count > MAX_PREFIXES:
            raise BadLine(number, f"a file may have {MAX_PREFIXES:,} prefixes at most")
        yield _pack(found[1], LINE_TYPES.index(line_type), number)


def _key(digits: str) -> int:
    """Return the key of a number or of the first number of a prefix."""
    return int(digits.translate(_TO_BASE_11).ljust(_DIGITS, "0"), 11)


def _pack(digits: str, line_type: int, line: int) -> int:
    """Pack a prefix into one integer, which takes a third of a tuple's memory: key, length, line number, type."""
    key = _key(digits) << _LENGTH_BITS | len(digits)
    return (key << _LINE_BITS | line) << _TYPE_BITS | line_type


def _unpack(packed: int) -> tuple[int, int, int, int]:
    """Return key, length, type and line number."""
    line_type = packed & (1 << _TYPE_BITS) - 1
    line = packed >> _TYPE_BITS & (1 << _LINE_BITS) - 1
    prefix = packed >> _TYPE_BITS + _LINE_BITS
    return prefix >> _LENGTH_BITS, prefix & (1 << _LENGTH_BITS) - 1, line_type, line
