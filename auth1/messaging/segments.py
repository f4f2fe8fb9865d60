"""How many segments an SMS is billed as: its alphabet, its length in that alphabet, and how it is cut.

3GPP TS 23.038: a text is sent in the GSM 7-bit alphabet when all its characters are of the basic table or of the
extension table (those count twice, for the escape before them), and otherwise in UCS-2, where a character beyond the
first plane counts twice. TS 23.040: a longer text is cut into segments that are each shorter, by a header that says how
to join them; no cut goes through a character.
"""

from collections.abc import Iterable
from typing import Literal, NamedTuple

# TS 23.038, 6.2.1: the default alphabet in its order, without the escape (1B), which is no character; 6.2.1.1: its
# extension. Of the accented letters it has few: ç, á, í, ó, ú, ã, õ, ê are not among them.
_BASIC = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_EXTENSION = frozenset("\f^{}\\[~]|€")
# Units of a text that is one segment, and of each segment of a longer one.
_ROOM = {"gsm7": (160, 153), "ucs2": (70, 67)}

Encoding = Literal["gsm7", "ucs2"]


class Segments(NamedTuple):
    """`units` are septets in GSM 7-bit and 16-bit units in UCS-2."""

    encoding: Encoding
    units: int
    segments: int


def measure(text: str) -> Segments:
    """Say how a text travels."""
    encoding: Encoding = "gsm7" if _BASIC.union(_EXTENSION).issuperset(text) else "ucs2"
    widths = [_width(character, encoding) for character in text]
    alone, joined = _ROOM[encoding]
    return Segments(encoding, sum(widths), 1 if sum(widths) <= alone else _cut(widths, joined))


def _width(character: str, encoding: Encoding) -> int:
    return 1 + (character in _EXTENSION if encoding == "gsm7" else character > "\uffff")


def _cut(widths: Iterable[int], room: int) -> int:
    segments, left = 1, room
    for width in widths:
        if width > left:
            segments, left = segments + 1, room
        left -= width
    return segments
