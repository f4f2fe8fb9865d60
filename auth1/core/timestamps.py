"""Timestamps that callers send: with a time zone, and within years that every time zone can represent."""

from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.errors import FieldError, ValidationFailed

MESSAGE = "Must be an RFC 3339 timestamp, such as 2026-01-31T12:00:00Z."
Timestamp = Annotated[
    datetime, msgspec.Meta(tz=True, description="RFC 3339: 2026-01-31T12:00:00Z", extra={"message": MESSAGE})
]
LAST_YEAR = 9998


def check(field: str, timestamp: datetime, *, first_year: int = 2000) -> None:
    """Check the year of a timestamp. Raises ValidationFailed."""
    if not first_year <= timestamp.year <= LAST_YEAR:
        message = f"Must be a timestamp of the years {first_year} to {LAST_YEAR}."
        raise ValidationFailed(errors=[FieldError(field, message)])


def check_range(since: datetime | None, until: datetime | None) -> None:
    """Check the years of the ends `since` and `until`. Raises ValidationFailed."""
    for field, timestamp in (("since", since), ("until", until)):
        if timestamp is not None:
            check(field, timestamp)


def require_future(field: str, timestamp: datetime) -> None:
    """Check that a timestamp is in the future. Raises ValidationFailed."""
    check(field, timestamp)
    if timestamp <= datetime.now(UTC):
        raise ValidationFailed(errors=[FieldError(field, "Must be in the future.")])
