"""Read the timestamps of other products, and reject those that have more than one meaning.

ISO 8601 and RFC 3339   2024-05-01T12:00:00Z, 2024-05-01 12:00:00.123+00, 20240501T120000Z, 2024-05-01; UTC by default
seconds since 1970      9 or 10 digits before a decimal point: 1973 to 2286
milliseconds            12 or 13 digits: 1973 to 2286

Any other number is rejected: `20240501` and `45413` are dates of other notations, and `0` means no date. So is a
number of the rules above that reads as a date too (`202405011200`, `2024050112`).
"""

import re
from datetime import UTC, datetime
from decimal import Decimal

from auth1.core import timestamps
from auth1.errors import FieldError, ValidationFailed
from auth1.users.schemas import FIRST_YEAR, PERMANENT

_ISO = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
    r"(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?:Z|[+-][0-9]{2}(?::?[0-9]{2})?)?)?"
    r"|[0-9]{8}T[0-9]{6}(?:Z|[+-][0-9]{4})?",
    re.ASCII,
)
_NUMBER = re.compile(r"([0-9]+)(?:\.[0-9]+)?", re.ASCII)
_SECONDS, _MILLISECONDS = (9, 10), (12, 13)  # digits before the decimal point
_NOTATIONS = {10: "%Y%m%d%H", 12: "%Y%m%d%H%M"}  # calendar dates of as many digits
_MESSAGE = "Must be a timestamp such as 2024-05-01T12:00:00Z, or seconds or milliseconds since 1970."


def parse_timestamp(field: str, value: object) -> datetime | None:
    """Return a timestamp in UTC, None for no value. Raises ValidationFailed."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    try:
        moment = _parse(value).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationFailed(errors=[FieldError(field, _MESSAGE)]) from None
    if field != "banned_until" or moment.year < PERMANENT.year:
        timestamps.check(field, moment, first_year=FIRST_YEAR)
    return moment


def _parse(value: object) -> datetime:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError
    text = value.strip().upper() if isinstance(value, str) else _digits(value)
    if _ISO.fullmatch(text):
        moment = datetime.fromisoformat(text.replace(",", "."))
        return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    number = _NUMBER.fullmatch(text)
    digits = len(number[1].lstrip("0")) if number is not None else 0
    if digits not in (*_SECONDS, *_MILLISECONDS) or _is_calendar_date(text, digits):
        raise ValueError
    seconds = Decimal(text) / (1000 if digits in _MILLISECONDS else 1)
    return datetime.fromtimestamp(float(seconds), UTC)


def _digits(value: float) -> str:
    """Return a number without an exponent."""
    return format(Decimal(repr(value)), "f") if abs(value) < 1e16 else ""


def _is_calendar_date(text: str, digits: int) -> bool:
    notation = _NOTATIONS.get(digits)
    if notation is None or len(text) != digits:
        return False
    try:
        return 1900 <= datetime.strptime(text, notation).replace(tzinfo=UTC).year <= 2100
    except ValueError:
        return False
