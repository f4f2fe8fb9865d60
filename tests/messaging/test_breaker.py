"""The breaker opens after 5 failures within 10 s, probes every 30 s, and closes with a success."""

import asyncio
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.core.circuit_breaker import CircuitBreaker


@dataclass
class Clock:
    """A clock that goes on when it is told to."""

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


def test_a_new_breaker_lets_everything_through() -> None:
    breaker = CircuitBreaker()

    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(100))


def test_four_failures_do_not_open_it_and_the_fifth_does(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    assert (breaker.state, breaker.allows()) == ("closed", True)

    breaker.failed()

    assert (breaker.state, breaker.allows()) == ("open", False)


@pytest.mark.parametrize(("gap", "state"), [(2.5, "open"), (2.625, "closed")])
def test_the_five_failures_count_within_ten_seconds(
    breaker: CircuitBreaker, clock: Clock, gap: float, state: str
) -> None:
    for _ in range(5):
        breaker.failed()
        clock.now += gap

    assert breaker.state == state


def test_a_success_among_failures_starts_the_count_anew(breaker: CircuitBreaker) -> None:
    fail(breaker, 4)
    breaker.succeeded()
    fail(breaker, 4)

    assert breaker.state == "closed"


def test_one_caller_probes_every_thirty_seconds(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(3):
        clock.now += 29.875
        assert not breaker.allows()
        clock.now += 0.125
        assert [breaker.allows(), breaker.state, breaker.allows()] == [True, "probing", False]
        breaker.failed()
        assert breaker.state == "open"


def test_a_probe_that_is_never_answered_is_followed_by_the_next(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    for _ in range(3):
        clock.now += 30
        assert [breaker.allows() for _ in range(3)] == [True, False, False]


def test_a_success_of_the_probe_closes_it_and_forgets_what_was(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 30
    assert breaker.allows()

    breaker.succeeded()

    assert breaker.state == "closed"
    assert all(breaker.allows() for _ in range(100))
    fail(breaker, 4)
    assert breaker.state == "closed"


def test_calls_that_began_before_it_opened_may_report_later(breaker: CircuitBreaker, clock: Clock) -> None:
    fail(breaker, 5)
    clock.now += 29
    fail(breaker, 50)
    clock.now += 1
    assert breaker.allows(), "late failures do not put the probe off"

    breaker.succeeded()

    assert breaker.state == "closed"


async def test_of_fifty_callers_at_once_one_probes(breaker: CircuitBreaker, clock: Clock) -> None:
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
    """What the breaker does, said as plainly as it can be: from everything that happened since the last success."""

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


@settings(derandomize=True, max_examples=300, deadline=None)
@given(st.lists(STEPS | SHORT_STEPS, max_size=80))
def test_it_does_what_its_description_says_in_any_order_of_events(steps: list[tuple[str, int]]) -> None:
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


@settings(derandomize=True, max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 40 * 8), min_size=1, max_size=60))
def test_while_nobody_succeeds_calls_that_pass_are_thirty_seconds_apart(gaps: list[int]) -> None:
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
