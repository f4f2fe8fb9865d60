"""The database's clock replaces this machine's only where they differ by more than 2 s."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from auth1.core.postgres.clock import CLOCKS_AGREE_S, ServerClock

STARTED, SERVER = 5000.0, 1_769_860_800.0  # this machine's monotonic clock, and the server's


async def clock_after(monkeypatch: pytest.MonkeyPatch, here: float, *, trip_s: float = 0.0) -> ServerClock:
    """Return a clock that was read in a round trip of some seconds, and has run for 100 s since."""
    moments = iter((STARTED, STARTED + trip_s))
    monkeypatch.setattr("auth1.core.postgres.clock.time", SimpleNamespace(monotonic=lambda: next(moments)))

    async def fetchval(query: str) -> float:
        return SERVER

    connection: Any = SimpleNamespace(fetchval=fetchval)
    clock = ServerClock()
    await clock.read(connection)
    later = SimpleNamespace(monotonic=lambda: STARTED + trip_s + 100, time=lambda: here)
    monkeypatch.setattr("auth1.core.postgres.clock.time", later)
    return clock


@pytest.mark.parametrize("difference_s", [0.0, 1.9, -1.9])
async def test_small_difference_is_left_alone(monkeypatch: pytest.MonkeyPatch, difference_s: float) -> None:
    here = SERVER + 100 + difference_s

    assert (await clock_after(monkeypatch, here)).now() == here


@pytest.mark.parametrize("difference_s", [2.1, -2.1, 600.0, -600.0, 1e9])
async def test_larger_difference_is_corrected(monkeypatch: pytest.MonkeyPatch, difference_s: float) -> None:
    assert (await clock_after(monkeypatch, SERVER + 100 + difference_s)).now() == SERVER + 100


async def test_slow_answer_of_the_server_is_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server may have read its clock at any moment of the round trip."""
    for here in (SERVER + 100 - CLOCKS_AGREE_S, SERVER + 100, SERVER + 110 + CLOCKS_AGREE_S):
        clock = await clock_after(monkeypatch, here, trip_s=10.0)
        assert clock.now() == here
        assert clock.earliest == SERVER + 100


async def test_difference_beyond_a_slow_answer_is_corrected(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await clock_after(monkeypatch, SERVER - 600, trip_s=10.0)).now() == SERVER + 105


def test_unknown_clock_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: SERVER)

    assert ServerClock().now() == SERVER
