"""Encoding, length and segments of an SMS."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.templates.segments import measure

# 3GPP TS 23.038 as the Unicode consortium maps it (GSM0338.TXT): the code points of 00 to 7F, without 1B.
BASIC = [
    *(0x40, 0xA3, 0x24, 0xA5, 0xE8, 0xE9, 0xF9, 0xEC, 0xF2, 0xC7, 0x0A, 0xD8, 0xF8, 0x0D, 0xC5, 0xE5),
    *(0x394, 0x5F, 0x3A6, 0x393, 0x39B, 0x3A9, 0x3A0, 0x3A8, 0x3A3, 0x398, 0x39E, 0xC6, 0xE6, 0xDF, 0xC9),
    *(*range(0x20, 0x24), 0xA4, *range(0x25, 0x40)),
    *(0xA1, *range(0x41, 0x5B), 0xC4, 0xD6, 0xD1, 0xDC, 0xA7),
    *(0xBF, *range(0x61, 0x7B), 0xE4, 0xF6, 0xF1, 0xFC, 0xE0),
]
EXTENSION = [0x0C, 0x5E, 0x7B, 0x7D, 0x5C, 0x5B, 0x7E, 0x5D, 0x7C, 0x20AC]


def test_each_character_has_the_encoding_of_the_standard() -> None:
    assert len(set(BASIC)) == 127

    for code_point in range(0x10000):
        if 0xD800 <= code_point < 0xE000:
            continue  # surrogates are no characters
        expected = ("gsm7", 1) if code_point in BASIC else ("gsm7", 2) if code_point in EXTENSION else ("ucs2", 1)
        assert measure(chr(code_point)) == (*expected, 1), hex(code_point)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ("gsm7", 0, 1)),
        ("a" * 160, ("gsm7", 160, 1)),
        ("a" * 161, ("gsm7", 161, 2)),
        ("a" * 306, ("gsm7", 306, 2)),
        ("a" * 307, ("gsm7", 307, 3)),
        ("€" * 80, ("gsm7", 160, 1)),
        ("€" * 80 + "a", ("gsm7", 161, 2)),
        ("ñ" * 160, ("gsm7", 160, 1)),
        ("ó" * 70, ("ucs2", 70, 1)),
        ("ó" * 71, ("ucs2", 71, 2)),
        ("ó" * 134, ("ucs2", 134, 2)),
        ("ó" * 135, ("ucs2", 135, 3)),
        ("a" * 70 + "ó", ("ucs2", 71, 2)),
        ("€" * 35 + "ó" * 35, ("ucs2", 70, 1)),
        ("😀" * 35, ("ucs2", 70, 1)),
        ("😀" * 36, ("ucs2", 72, 2)),
        # 306 units would fit into two segments, and 134, if a cut could go through a character.
        ("a" * 152 + "€" + "a" * 152, ("gsm7", 306, 3)),
        ("ó" * 66 + "😀" + "ó" * 66, ("ucs2", 134, 3)),
    ],
)
def test_text_is_split_into_segments_by_the_standard(text: str, expected: tuple[str, int, int]) -> None:
    assert measure(text) == expected


@settings(derandomize=True, database=None, deadline=None)
@given(st.text(st.sampled_from("aé€{ó字😀"), max_size=400))
def test_segment_count_covers_all_units(text: str) -> None:
    encoding, units, segments = measure(text)

    wide = sum(character in ("€{" if encoding == "gsm7" else "😀") for character in text)
    assert units == len(text) + wide
    alone, joined = (160, 153) if encoding == "gsm7" else (70, 67)
    least = 1 if units <= alone else math.ceil(units / joined)
    assert segments >= least
    # Each cut wastes one unit at most.
    assert segments <= 1 or (segments - 1) * (joined - 1) < units
    assert wide or segments == least
