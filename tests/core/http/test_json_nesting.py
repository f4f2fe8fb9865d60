"""The check of nested JSON: it counts brackets outside of strings, in a time that grows with the size alone."""

from contextlib import suppress

import msgspec
import pytest

from auth1.core.http.bodies import MAX_NESTING, decode_json
from auth1.core.http.request import MAX_BODY_BYTES
from auth1.errors import BadJson
from tests.support.cpu import cpu_ratio

MAX_RATIO = 100  # it was 10,000 when each quote began a search for the end of a string
DECODER = msgspec.json.Decoder()
NESTED = b"[" * (MAX_NESTING + 1)  # the check counts brackets only where there are many


def decode(raw: bytes) -> None:
    with suppress(BadJson):
        decode_json(DECODER, raw)


@pytest.mark.parametrize("piece", [b'\\"', b'"\\', b'"', b"\\", b'"[', b'["'])
def test_string_without_an_end_costs_no_more_than_its_size(piece: bytes) -> None:
    room = MAX_BODY_BYTES - len(NESTED) - 1
    hostile = (NESTED + b'"' + piece * room)[:MAX_BODY_BYTES]
    harmless = NESTED + b'"' + b"a" * room

    assert cpu_ratio(decode, hostile, harmless) < MAX_RATIO


@pytest.mark.parametrize("text", ['"[[[[', '\\"[[[[', "[\\\\", "]]]]", '{\\"'])
def test_brackets_in_strings_are_not_nested(text: str) -> None:
    value = [text] * MAX_NESTING

    assert decode_json(DECODER, msgspec.json.encode(value)) == value


@pytest.mark.parametrize("text", ["", '"', "\\", '\\"', ']"', "]]]]"])
def test_brackets_after_a_string_are_nested(text: str) -> None:
    raw = b'{"a":' + msgspec.json.encode(text) + b',"b":' + b"[" * MAX_NESTING + b"]" * MAX_NESTING + b"}"

    with pytest.raises(BadJson, match="nested"):
        decode_json(DECODER, raw)
