"""Decode JSON into Structs and encode Structs as JSON. Invalid input becomes field errors."""

import re
from typing import Any, TypeVar

import msgspec

from auth1.core import sentences
from auth1.errors import BadJson, FieldError, ValidationFailed

Body = TypeVar("Body", bound=msgspec.Struct)

MAX_NESTING = 64
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")

NOT_NULL = sentences.NOT_NULL
ONE_LINE = {"message": "Must be one line of text without control characters."}

encode = msgspec.json.Encoder().encode


class In(msgspec.Struct, forbid_unknown_fields=True):
    """A request body. Unknown fields are rejected; of a repeated field the last one counts."""


class Out(msgspec.Struct):
    """A response body."""


def is_nested_deeper(raw: bytes, levels: int) -> bool:
    """Return whether JSON is nested deeper than some levels, where a recursive reader could fail."""
    if raw.count(b"[") + raw.count(b"{") <= levels:
        return False
    depth = 0
    for bracket in _BRACKETS.findall(_STRINGS.sub(b"", raw)):
        depth += 1 if bracket in b"[{" else -1
        if depth > levels:
            return True
    return False


def decode(decoder: msgspec.json.Decoder[Any], raw: bytes) -> Any:
    """Decode a body. Raises BadJson or ValidationFailed."""
    if is_nested_deeper(raw, MAX_NESTING):
        raise BadJson(f"The body is nested more than {MAX_NESTING} levels deep.")
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(error, decoder.type)]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadJson from None


def convert(value: object, kind: type[Body]) -> Body:
    """Build a Struct from decoded JSON. Raises ValidationFailed."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(error, kind)]) from None


def field_error(error: msgspec.ValidationError, kind: Any) -> FieldError:
    """Return the path of the invalid field, and a sentence that says what the field must be."""
    return FieldError(*sentences.explain(str(error), kind))
