"""The query of a request, read into a Struct: what it declares is what the description of the API says."""

import re
from functools import lru_cache
from typing import Any, TypeVar

import msgspec

from auth1.core.call import Call
from auth1.core.schemas import field_error
from auth1.errors import FieldError, ValidationFailed

Query = TypeVar("Query", bound=msgspec.Struct)

_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


def read_query(call: Call[Any], kind: type[Query]) -> Query:
    """Read the query's parameters; those that `kind` does not name are left alone, of a name given twice the last
    counts.

    Raises ValidationFailed, or BadRequest on bytes that are not UTF-8.
    """
    query = call.query()
    for name, value in query.items():
        if "\0" in value:
            raise ValidationFailed(errors=[FieldError(name[:64], "Contains a NUL character")])
        # msgspec would take 1e1 for ten.
        if name in _whole(kind) and not _WHOLE.fullmatch(value):
            raise ValidationFailed(errors=[FieldError(name, "Must be a whole number")])
    try:
        return msgspec.convert(query, kind, strict=False)
    except msgspec.ValidationError as error:
        raise ValidationFailed(errors=[field_error(str(error))]) from None


@lru_cache
def _whole(kind: type[msgspec.Struct]) -> frozenset[str]:
    """The names of the parameters that are whole numbers."""
    return frozenset(field.encode_name for field in msgspec.structs.fields(kind) if _mentions(field.type, int))


def _mentions(kind: object, wanted: type) -> bool:
    return kind is wanted or any(_mentions(inner, wanted) for inner in getattr(kind, "__args__", ()))
