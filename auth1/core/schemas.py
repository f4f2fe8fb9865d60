"""JSON to Struct and back. What a caller got wrong becomes field/message pairs."""

import re
from typing import Any, TypeVar

import msgspec

from auth1.errors import BadJson, FieldError, ValidationFailed

Body = TypeVar("Body", bound=msgspec.Struct)

MAX_NESTING = 64
_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")

encode = msgspec.json.Encoder().encode


class In(msgspec.Struct, forbid_unknown_fields=True):
    """A body that a caller sends: unknown fields are refused; of a key given twice the last one counts."""


class Out(msgspec.Struct):
    """A body that we answer with."""


def is_nested_deeper(raw: bytes, levels: int) -> bool:
    """Say whether JSON is nested deeper than some levels: what then reads it recursively could fail."""
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
        raise ValidationFailed(errors=[field_error(str(error))]) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadJson from None


def convert(value: object, kind: type[Body]) -> Body:
    """Build a Struct of already decoded JSON. Raises ValidationFailed."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(str(error))]) from None


def field_error(message: str) -> FieldError:
    """Read msgspec's "Expected `int` >= 4 - at `$.settings.otp_length`"; a key is "at `key` in `$.settings`"."""
    text, _, path = message.replace(" - at `key` in `$", " - at `$").partition(" - at `$")
    field = path.rstrip("`").lstrip(".")
    unknown = re.fullmatch(r"Object contains unknown field `(.*)`", text, re.DOTALL)
    missing = re.fullmatch(r"Object missing required field `(.*)`", text, re.DOTALL)
    if found := unknown or missing:
        name = found[1] if len(found[1]) <= 64 else found[1][:64] + "…"
        field = f"{field}.{name}".lstrip(".")
        text = "Unknown field" if unknown else "Required"
    return FieldError(field, text)
