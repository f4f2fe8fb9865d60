"""Bounds of a JSON object that PostgreSQL stores for a caller."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from auth1.core import schemas
from auth1.errors import FieldError, ValidationFailed

MAX_DEPTH = 10
# PostgreSQL writes all digits of a number: 1e308 would be 309 digits, and 4 KiB of such numbers 200 KiB.
_LEAST, _MOST = 1e-9, 1e21
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in encoded JSON; jsonb cannot store it


def check(field: str, value: Mapping[str, Any], max_bytes: int | None = None) -> bytes:
    """Return an object as JSON. Raises ValidationFailed when PostgreSQL cannot store it or it exceeds `max_bytes`.

    The size is checked first: it bounds the time of the other checks.
    """
    try:
        text = schemas.encode(value)
    except RecursionError:
        raise _error_too_deep(field) from None
    if max_bytes is not None and len(text) > max_bytes:
        raise error_too_large(field, max_bytes)
    if _NUL.search(text):
        raise _error(field, "Must not contain a NUL character.")
    level: list[object] = [value]
    for _ in range(MAX_DEPTH + 1):
        if any(isinstance(one, float) and one and not _LEAST <= abs(one) < _MOST for one in level):
            raise _error(field, "Must not contain a number beyond 1e21 or closer to 0 than 1e-9.")
        level = [inner for outer in level for inner in _children(outer)]
    if level:
        raise _error_too_deep(field)
    return text


def error_too_large(field: str, max_bytes: int) -> ValidationFailed:
    """Return the error for an object that would exceed its limit."""
    return _error(field, f"Must not be larger than {max_bytes // 1024} KiB.")


def _children(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        return iter(value.values())
    return iter(value if isinstance(value, list) else ())


def _error_too_deep(field: str) -> ValidationFailed:
    return _error(field, f"Must not be nested more than {MAX_DEPTH} levels deep.")


def _error(field: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(field, message)])
