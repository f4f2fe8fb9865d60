"""Segments of an SMS: its alphabet, its length in that alphabet, and the number of segments that are billed.

3GPP TS 23.038: a text is sent in GSM 7-bit if all its characters are in the basic or extension table, else in UCS-2.
Characters of the extension table count twice, as do characters beyond the first plane in UCS-2. TS 23.040: a longer
text is split into segments, each shortened by a header; a split never divides a character.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

# TS 23.038, 6.2.1: the default alphabet in its order, without the escape (1B); 6.2.1.1: its extension. It has few
# accented letters: ç, á, í, ó, ú, ã, õ and ê are missing.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
# Units of a text of one segment, and of each segment of a longer text.
_CAPACITY = {"gsm7": (160, 153), "ucs2": (70, 67)}

Encoding = Literal["gsm7", "ucs2"]


class Segments(NamedTuple):
    """`units` are septets in GSM 7-bit and 16-bit units in UCS-2."""

    encoding: Encoding
    units: int
    segments: int


def measure(text: str) -> Segments:
    """Measure a text as it is sent."""
    encoding: Encoding = "gsm7" if _BASIC.union(_EXTENSION).issuperset(text) else "ucs2"
    widths = [_width(character, encoding) for character in text]
    single, joined = _CAPACITY[encoding]
    return Segments(encoding, sum(widths), 1 if sum(widths) <= single else _count(widths, joined))


def _width(character: str, encoding: Encoding) -> int:
    return 1 + (character in _EXTENSION if encoding == "gsm7" else character > "\uffff")


def _count(widths: Iterable[int], capacity: int) -> int:
    segments, free = 1, capacity
    for width in widths:
        if width > free:
            segments, free = segments + 1, capacity
        free -= width
    return segments
