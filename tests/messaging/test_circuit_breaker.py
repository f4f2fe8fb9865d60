"""The circuit breaker opens after 5 failures within 10 s, probes every 30 s, and closes after a success."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.core.circuit_breaker import CircuitBreaker
from tests.support.effort import effort


@dataclass
class Clock:
    """A clock that a test sets."""

    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> CircuitBreaker:
    return CircuitBreaker(clock)


def fail(breaker: CircuitBreaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_new_circuit_breaker_allows_all_calls() -> None:
    breaker = CircuitBreaker()

    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(100))


def test_fifth_failure_opens_the_circuit_breaker(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    assert (breaker.state, breaker.allows()) == ("closed", True)

    breaker.failed()

    assert (breaker.state, breaker.allows()) == ("open", False)


@pytest.mark.parametrize(("gap", "state"), [(2.5, "open"), (2.625, "closed")])
def test_only_failures_within_ten_seconds_count(breaker: CircuitBreaker, clock: Clock, gap: float, state: str) -> None:
    for _ in range(5):
        breaker.failed()
        clock.now += gap

    assert breaker.state == state


def test_success_resets_the_failure_count(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)

    assert breaker.state == "closed"


def test_one_probe_is_allowed_every_thirty_seconds(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(3):
        clock.now += 29.875
        assert not breaker.allows()
        clock.now += 0.125
        assert [breaker.allows(), breaker.state, breaker.allows()] == [True, "probing", False]
        breaker.failed()
        assert breaker.state == "open"


def test_next_probe_is_allowed_after_an_unanswered_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(3):
        clock.now += 30
        assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_successful_probe_closes_the_circuit_breaker(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 30
    assert breaker.allows()

    breaker.succeeded()

    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(100))
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_late_failures_do_not_postpone_the_probe(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 29
    fail(breaker, 50)
    clock.now += 1
    assert breaker.allows(), "late failures do not put the probe off"

    breaker.succeeded()

    assert breaker.state == "closed"


async def test_one_of_fifty_concurrent_callers_probes(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 30
    barrier = asyncio.Barrier(50)
    calls = 0

    async def call() -> bool:
        nonlocal calls
        await barrier.wait()
        if not breaker.allows():
            return False
        calls += 1
        await asyncio.sleep(0)
        breaker.succeeded()
        return True

    assert sum(await asyncio.gather(*(call() for _ in range(50)))) == 1
    assert calls == 1
    assert breaker.state == "closed"


@dataclass
class Model:
    """A reference model of the circuit breaker, computed from all events since the last success."""

    failures: list[float] = field(default_factory=list)
    opened_at: float | None = None
    probes: list[float] = field(default_factory=list)

    def allows(self, now: float) -> bool:
        if self.opened_at is None:
            return True
        allowed = now - max([self.opened_at, *self.probes]) >= 30
        if allowed:
            self.probes.append(now)
        return allowed

    def failed(self, now: float) -> None:
        if self.opened_at is None:
            self.failures.append(now)
            if len([then for then in self.failures if now - then <= 10]) >= 5:
                self.opened_at = now


# Eighths of a second are exact in floating point, so that the model and the breaker round alike.
STEPS = st.tuples(st.sampled_from(["allows", "failed", "failed", "failed", "succeeded"]), st.integers(0, 100 * 8))
SHORT_STEPS = st.tuples(st.sampled_from(["allows", "failed"]), st.integers(0, 3 * 8))


@settings(derandomize=True, max_examples=effort(100, 1000), deadline=None)
@given(st.lists(STEPS | SHORT_STEPS, max_size=80))
def test_circuit_breaker_matches_its_model(steps: list[tuple[str, int]]) -> None:
    clock, model = Clock(), Model()
    breaker = CircuitBreaker(clock)
    for act, eighths in steps:
        clock.now += eighths / 8
        if act == "allows":
            assert breaker.allows() == model.allows(clock.now)
        elif act == "failed":
            breaker.failed()
            model.failed(clock.now)
        else:
            breaker.succeeded()
            model = Model()
        assert (breaker.state == "closed") == (model.opened_at is None)
        if breaker.state == "probing":
            assert model.probes


@settings(derandomize=True, max_examples=effort(40, 500), deadline=None)
@given(st.lists(st.integers(0, 40 * 8), min_size=1, max_size=60))
def test_failing_probes_are_at_least_thirty_seconds_apart(gaps: list[int]) -> None:
    clock = Clock()
    breaker = CircuitBreaker(clock)
    fail(breaker, 5)
    opened_at, passed = clock.now, []
    for eighths in gaps:
        clock.now += eighths / 8
        if breaker.allows():
            passed.append(clock.now)
            breaker.failed()

    moments = [opened_at, *passed]
    assert all(later - earlier >= 30 for earlier, later in pairwise(moments))
    assert len(passed) >= (clock.now - opened_at) // (30 + 40), "and the provider is not forgotten"
