"""Bodies as Structs: encoded as JSON, and built from decoded JSON. Invalid input becomes field errors."""

from contextlib import suppress
from typing import Annotated, Any, TypeVar

import msgspec

from auth1.core import sentences
from auth1.errors import FieldError, ValidationFailed

Body = TypeVar("Body", bound=msgspec.Struct)

NOT_NULL = sentences.NOT_NULL
ONE_LINE = {"message": "Must be one line of text without control characters."}
# Seconds in which a rotated key or secret stays valid beside the new one: at most 30 days.
GraceIn = Annotated[int, msgspec.Meta(ge=0, le=30 * 24 * 3600)]
HostName = Annotated[  # the last label begins with a letter: an IP address is not a host name
    str,
    msgspec.Meta(
        max_length=253,
        pattern=r"^(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?\Z",
        extra={"message": "Must be a lower-case host name such as app.example.com."},
    ),
]

encode = msgspec.json.Encoder().encode


class In(msgspec.Struct, forbid_unknown_fields=True):
    """A request body. Unknown fields are rejected; of a repeated field the last one counts."""


class Out(msgspec.Struct):
    """A response body."""


def convert(value: object, kind: type[Body]) -> Body:
    """Build a Struct from decoded JSON. Raises ValidationFailed."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(error, kind)]) from None


def read_stored(decoder: msgspec.json.Decoder[Body], stored: str) -> Body:
    """Decode a Struct as any version stored it. A field that is unknown, or out of today's bounds, has its default."""
    try:
        return decoder.decode(stored)
    except msgspec.ValidationError:
        kept = {}
        for name, value in msgspec.json.decode(stored).items():
            with suppress(msgspec.ValidationError):
                msgspec.convert({name: value}, decoder.type)
                kept[name] = value
        return convert(kept, decoder.type)


def field_error(error: msgspec.ValidationError, kind: Any) -> FieldError:
    """Return the path of the invalid field, and a sentence that says what the field must be."""
    return FieldError(*sentences.explain(str(error), kind))
