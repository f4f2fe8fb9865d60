"""Compute when a delivery is tried again, and how long an endpoint is paused. Nothing here does I/O."""

import random
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MINUTE_S, HOUR_S = 60.0, 3600.0
# After the first attempt, which leaves at once; each ± JITTER.
RETRY_DELAYS_S = (
    5.0,
    5 * MINUTE_S,
    30 * MINUTE_S,
    2 * HOUR_S,
    5 * HOUR_S,
    10 * HOUR_S,
    14 * HOUR_S,
    20 * HOUR_S,
    24 * HOUR_S,
)
MAX_ATTEMPTS = len(RETRY_DELAYS_S) + 1
JITTER = 0.1
MAX_RETRY_AFTER_S = 24 * HOUR_S

FAILING_FROM = 3  # failures in a row: from then on one call at a time
OVERLOADED = frozenset((429, 502, 504))  # answers of an endpoint that needs fewer calls
MAX_PAUSE_S = 60.0
MAX_OVERLOADED_PAUSE_S = 5 * MINUTE_S
MAX_REQUESTED_PAUSE_S = HOUR_S

DISABLED_AFTER_S = 5 * 24 * HOUR_S  # of nothing but failures
DISABLED_FROM = 10  # failures


def retry_in(attempt: int, retry_after_s: float, jitter: Callable[[], float] = random.random) -> float | None:
    """Return the seconds until the attempt after the `attempt`-th; None after the last one.

    The endpoint's Retry-After delays it, up to a day, and never makes it earlier.
    """
    if attempt >= MAX_ATTEMPTS:
        return None
    delay_s = RETRY_DELAYS_S[attempt - 1] * (1 - JITTER + 2 * JITTER * jitter())
    return max(delay_s, min(retry_after_s, MAX_RETRY_AFTER_S))


def pause_in(failures: int, *, is_overloaded: bool, retry_after_s: float) -> float:
    """Return the seconds that an endpoint gets no calls after so many failures in a row."""
    if failures == 0:
        return 0.0
    if is_overloaded:
        growing_s = min(RETRY_DELAYS_S[0] * 2.0 ** min(failures - 1, 20), MAX_OVERLOADED_PAUSE_S)
        return max(growing_s, min(retry_after_s, MAX_REQUESTED_PAUSE_S))
    if failures < FAILING_FROM:
        return 0.0
    return min(2.0 ** min(failures - FAILING_FROM, 20), MAX_PAUSE_S)


def read_retry_after(text: str | None, now: datetime) -> float:
    """Return the seconds of a Retry-After header: a number or a date (RFC 9110, 10.2.3); 0 where it is neither."""
    if text is None:
        return 0.0
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:9]), MAX_RETRY_AFTER_S)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return min(max((moment - now).total_seconds(), 0.0), MAX_RETRY_AFTER_S)
