"""The times of later attempts of a delivery, and the pauses of an endpoint."""

from datetime import UTC, datetime

import pytest

from auth1.webhooks.delivery.schedule import MAX_ATTEMPTS, RETRY_DELAYS_S, pause_in, read_retry_after, retry_in

NOW = datetime(2026, 1, 15, 12, 0, tzinfo=UTC)
DAY_S = 86400.0


def test_delays_are_those_of_standard_webhooks() -> None:
    hours = [1 / 720, 1 / 12, 0.5, 2, 5, 10, 14, 20, 24]

    assert [retry_in(attempt, 0, lambda: 0.5) for attempt in range(1, 10)] == pytest.approx([h * 3600 for h in hours])
    assert MAX_ATTEMPTS == 10
    assert retry_in(10, 3600) is None


@pytest.mark.parametrize("attempt", range(1, 10))
def test_delays_vary_by_ten_percent(attempt: int) -> None:
    delay_s = RETRY_DELAYS_S[attempt - 1]

    assert retry_in(attempt, 0, lambda: 0.0) == pytest.approx(delay_s * 0.9)
    assert retry_in(attempt, 0, lambda: 1.0) == pytest.approx(delay_s * 1.1)


def test_retry_after_delays_the_next_attempt_up_to_a_day() -> None:
    assert retry_in(1, 3600) == 3600
    assert retry_in(1, 3 * DAY_S) == DAY_S
    assert retry_in(3, 1, lambda: 0.5) == 1800  # never earlier than planned


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, 0),
        ("", 0),
        ("120", 120),
        (" 5 ", 5),
        ("9" * 400, DAY_S),
        ("-5", 0),
        ("1.5", 0),
        ("٣", 0),
        ("Thu, 15 Jan 2026 12:02:00 GMT", 120),
        ("Thursday, 15-Jan-26 12:02:00 GMT", 120),
        ("Thu Jan 15 12:02:00 2026", 120),
        ("Thu, 15 Jan 2026 11:00:00 GMT", 0),
        ("Thu, 15 Jan 2099 12:00:00 GMT", DAY_S),
        ("tomorrow", 0),
        ("Thu, 99 Jan 2026 12:02:00 GMT", 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(text: str | None, seconds: float) -> None:
    assert read_retry_after(text, NOW) == seconds


@pytest.mark.parametrize(
    ("failures", "is_overloaded", "retry_after_s", "pause_s"),
    [
        (0, False, 0, 0),
        (1, False, 60, 0),
        (2, False, 0, 0),
        (3, False, 0, 1),
        (6, False, 0, 8),
        (10_000, False, 0, 60),
        (1, True, 0, 5),
        (4, True, 0, 40),
        (10_000, True, 0, 300),
        (1, True, 120, 120),
        (1, True, DAY_S, 3600),
    ],
)
def test_endpoint_pauses_longer_after_more_failures(
    failures: int, is_overloaded: bool, retry_after_s: float, pause_s: float
) -> None:
    assert pause_in(failures, is_overloaded=is_overloaded, retry_after_s=retry_after_s) == pause_s
