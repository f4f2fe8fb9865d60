"""Decode the query string of a request into the Struct that its route declares."""

import re
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import TypeVar
from urllib.parse import parse_qsl

import msgspec

from auth1.core import timestamps
from auth1.core.schemas import NOT_NULL, field_error
from auth1.errors import BadRequest, FieldError, ValidationFailed

QueryT = TypeVar("QueryT", bound=msgspec.Struct)

_DATE = re.compile(r"[0-9]{4}-", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class QueryParams(msgspec.Struct, forbid_unknown_fields=True):
    """The query parameters of a request. Unknown ones are rejected: a misspelled filter would match everything."""


def read_query(query_string: bytes, kind: type[QueryT]) -> QueryT:
    """Decode a query string; of a repeated parameter the last value counts.

    Raises ValidationFailed, or BadRequest for bytes that are not UTF-8.
    """
    query = _pairs(query_string)
    types = _types(kind)
    for name, value in query.items():
        if name not in types and kind.__struct_config__.forbid_unknown_fields:
            raise _invalid(name, "Unknown parameter.")
        if "\0" in value:
            raise _invalid(name, "Must not contain a NUL character.")
        of_field = types.get(name, frozenset())
        # msgspec reads 1e1 as 10, and null as None.
        if int in of_field and not _WHOLE.fullmatch(value):
            raise _invalid(name, "Must be a whole number.")
        if NoneType in of_field and str not in of_field and value.lower() == "null":
            raise _invalid(name, NOT_NULL)
        if datetime in of_field:
            if not _DATE.match(value):  # msgspec reads a number as seconds since 1970
                raise _invalid(name, timestamps.MESSAGE)
            query[name] = value.replace(" ", "+")  # a plus that was not encoded arrives as a space
    try:
        found = msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(error, kind)]) from None
    for name in kind.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, datetime):
            timestamps.check(name, value)
    return found


def _pairs(query_string: bytes) -> dict[str, str]:
    try:
        return dict(parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict"))
    except ValueError:
        raise BadRequest("The query is not valid UTF-8.") from None


def _invalid(name: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(name[:64], message)])


@lru_cache(maxsize=256)
def _types(kind: type[msgspec.Struct]) -> dict[str, frozenset[object]]:
    """Return all types that each parameter's type consists of."""
    return {field.encode_name: frozenset(_within(field.type)) for field in msgspec.structs.fields(kind)}


def _within(kind: object) -> set[object]:
    inner = getattr(kind, "__args__", ())
    return {one for part in inner for one in _within(part)} if inner else {kind}
