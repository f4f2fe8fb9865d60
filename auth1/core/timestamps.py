"""Timestamps that callers send: with a time zone, and within years in which every time zone has a UTC time."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.errors import FieldError, ValidationFailed

Timestamp = Annotated[datetime, msgspec.Meta(tz=True, description="RFC 3339: 2026-01-31T12:00:00Z")]
LAST_YEAR = 9998


def check(field: str, moment: datetime, *, first_year: int = 2000) -> None:
    """Check the year of a timestamp. Raises ValidationFailed."""
    if not first_year <= moment.year <= LAST_YEAR:
        message = f"Must be a moment of the years {first_year} to {LAST_YEAR}"
        raise ValidationFailed(errors=[FieldError(field, message)])


def require_future(field: str, moment: datetime) -> None:
    """Check that a timestamp is in the future. Raises ValidationFailed."""
    check(field, moment)
    if moment <= datetime.now(UTC):
        raise ValidationFailed(errors=[FieldError(field, "Must be in the future.")])
