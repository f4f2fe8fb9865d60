"""Moments in a query: `since` and `until` of a list."""

from datetime import datetime
from typing import Annotated, Any

import msgspec

from auth1.core.call import Call
from auth1.errors import FieldError, ValidationFailed

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]


def moment(call: Call[Any], name: str) -> datetime | None:
    """Read a parameter in RFC 3339; None where there is none. Raises ValidationFailed."""
    text = call.query().get(name)
    if text is None:
        return None
    try:
        # A plus that was not encoded is a space by now.
        found = msgspec.convert(text.replace(" ", "+"), _Moment)
    except msgspec.ValidationError:
        raise ValidationFailed(errors=[FieldError(name, "Must be a moment like 2026-01-31T12:00:00Z")]) from None
    if not 2000 <= found.year <= 9998:  # at the edges of the calendar a moment may have no UTC
        raise ValidationFailed(errors=[FieldError(name, "Must be a moment of the years 2000 to 9998")])
    return found
