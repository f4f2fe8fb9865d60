"""Moments that callers name: with a time zone, and not at the edges of the calendar, where one may have no UTC."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.errors import FieldError, ValidationFailed

Timestamp = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339: 2026-01-31T12:00:00Z")]
LAST_YEAR = 9998


def check(field: str, moment: datetime, *, first_year: int = 2000) -> None:
    """Raises ValidationFailed."""
    if not first_year <= moment.year <= LAST_YEAR:
        message = f"Must be a moment of the years {first_year} to {LAST_YEAR}"
        raise ValidationFailed(errors=[FieldError(field, message)])


def require_future(field: str, moment: datetime) -> None:
    """Raises ValidationFailed where a moment is over already."""
    check(field, moment)
    if moment <= datetime.now(UTC):
        raise ValidationFailed(errors=[FieldError(field, "Must lie ahead")])
