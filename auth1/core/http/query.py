"""The query of a request, read into a Struct: what it declares is what the description of the API says."""

import re
from datetime import datetime
from functools import lru_cache
from types import NoneType
from typing import Any, TypeVar

import msgspec

from auth1.core import timestamps
from auth1.core.http.request import Request
from auth1.core.schemas import field_error
from auth1.errors import FieldError, ValidationFailed

Query = TypeVar("Query", bound=msgspec.Struct)

_DATE = re.compile(r"[0-9]{4}-", re.ASCII)
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def read_query(
    request: Request[Any], kind: type[Query], *, beside: type[msgspec.Struct] | None = None, others: bool = False
) -> Query:
    """Read the query's parameters; of a name given twice the last counts.

    One that is neither of `kind` nor of `beside` is refused, unless `others` are welcome: a filter with a typing error
    must not mean everything. Raises ValidationFailed, or BadRequest on bytes that are not UTF-8.
    """
    query = request.query()
    known = _kinds(kind).keys() | (_kinds(beside).keys() if beside is not None else set())
    for name, value in query.items():
        if name not in known and not others:
            raise ValidationFailed(errors=[FieldError(name[:64], "Unknown parameter")])
        if "\0" in value:
            raise ValidationFailed(errors=[FieldError(name[:64], "Contains a NUL character")])
        kinds = _kinds(kind).get(name, frozenset())
        # msgspec would take 1e1 for ten, and the word null for nothing at all.
        if int in kinds and not _WHOLE.fullmatch(value):
            raise ValidationFailed(errors=[FieldError(name, "Must be a whole number")])
        if NoneType in kinds and str not in kinds and value.lower() == "null":
            raise ValidationFailed(errors=[FieldError(name, "Leave it out, or give it a value")])
        if datetime in kinds:
            if not _DATE.match(value):  # msgspec would take a number for seconds since 1970
                raise ValidationFailed(errors=[FieldError(name, "Must be a moment like 2026-01-31T12:00:00Z")])
            query[name] = value.replace(" ", "+")  # a plus that was not encoded is a space by now
    try:
        found = msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(str(error))]) from None
    for name in kind.__struct_fields__:
        value = getattr(found, name)
        if isinstance(value, datetime):
            timestamps.check(name, value)
    return found


@lru_cache
def _kinds(kind: type[msgspec.Struct]) -> dict[str, frozenset[object]]:
    """By parameter all types that its type is made of."""
    return {field.encode_name: frozenset(_within(field.type)) for field in msgspec.structs.fields(kind)}


def _within(kind: object) -> set[object]:
    inner = getattr(kind, "__args__", ())
    return {one for part in inner for one in _within(part)} if inner else {kind}
