"""What metadata may be: JSON that PostgreSQL can keep, of a bounded size and depth."""

import re
from typing import Any

from auth1.core.schemas import encode
from auth1.errors import FieldError, ValidationFailed

BYTES = 4096  # as PostgreSQL writes it
DEPTH = 10
# PostgreSQL writes all digits of a number: 1e308 would be 309 of them, and 4 KiB of such numbers 200.
_LEAST, _MOST = 1e-9, 1e21
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in encoded JSON; jsonb cannot keep one


def check(field: str, value: dict[str, Any]) -> None:
    """Refuse what cannot be kept. Raises ValidationFailed."""
    if _NUL.search(encode(value)):
        raise ValidationFailed(errors=[FieldError(field, "Contains a NUL character")])
    level: list[object] = [value]
    for _ in range(DEPTH + 1):
        if any(isinstance(one, float) and one and not _LEAST <= abs(one) < _MOST for one in level):
            raise ValidationFailed(errors=[FieldError(field, "Contains a number of too many digits")])
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise ValidationFailed(errors=[FieldError(field, f"Nested more than {DEPTH} deep")])


def refuse_large(field: str) -> ValidationFailed:
    """What somebody is told whose metadata would become too large."""
    return ValidationFailed(errors=[FieldError(field, "Would be longer than 4 KiB")])


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []
