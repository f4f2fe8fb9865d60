"""Bodies as Structs: encoded as JSON, and built from decoded JSON. Invalid input becomes field errors."""

from typing import Any, TypeVar

import msgspec

from auth1.core import sentences
from auth1.errors import FieldError, ValidationFailed

Body = TypeVar("Body", bound=msgspec.Struct)

NOT_NULL = sentences.NOT_NULL
ONE_LINE = {"message": "Must be one line of text without control characters."}

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


def field_error(error: msgspec.ValidationError, kind: Any) -> FieldError:
    """Return the path of the invalid field, and a sentence that says what the field must be."""
    return FieldError(*sentences.explain(str(error), kind))
