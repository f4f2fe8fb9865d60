"""The limits of a process without Redis: the arithmetic of the script with a test clock."""

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import open_redis
from auth1.core.telemetry.log import Log
from tests.lua.model import Model
from tests.support.effort import effort

BUCKETS = (
    RateLimit("a", "a", 2, 1000),
    RateLimit("b", "b", 5, 1000),
    RateLimit("c", "c", 3, 60_000),
    RateLimit("d", "d", 1, 997),
)
NOON = 1_700_000_000_000

some_buckets = st.lists(st.sampled_from(BUCKETS), min_size=1, max_size=4, unique=True).map(tuple)
# Small steps make crowds, large ones let a window pass.
steps = st.lists(
    st.tuples(st.one_of(st.just(0), st.integers(0, 200), st.integers(0, 5000)), some_buckets), min_size=1, max_size=60
)
reproducibly = settings(max_examples=effort(100, 1000), deadline=None, derandomize=True, database=None)


def limiter() -> RateLimiter:
    """Return a limiter without Redis."""
    return RateLimiter(open_redis("redis://127.0.0.1:1/0", Log("error")))


@reproducibly
@given(steps, st.integers(0, 10_000))
def test_local_limits_match_the_model(steps: list[tuple[int, tuple[RateLimit, ...]]], start: int) -> None:
    local, model, moment = limiter(), Model(), NOON + start
    for pause, buckets in steps:
        moment += pause
        assert local.acquire_locally(buckets, moment) == model.acquire(buckets, moment)


@reproducibly
@given(steps, st.integers(0, 10_000))
def test_local_limit_is_not_exceeded_in_nine_tenths_of_a_window(
    steps: list[tuple[int, tuple[RateLimit, ...]]], start: int
) -> None:
    local, moment = limiter(), NOON + start
    acquired: dict[RateLimit, list[int]] = {bucket: [] for bucket in BUCKETS}
    for pause, buckets in steps:
        moment += pause
        if local.acquire_locally(buckets, moment)[0] == 0:
            for bucket in buckets:
                acquired[bucket].append(moment)

    for bucket, moments in acquired.items():
        for first, one_too_many in zip(moments, moments[bucket.limit :], strict=False):
            assert one_too_many - first >= 9 * (bucket.window_ms // 10)


@reproducibly
@given(steps, st.integers(0, 10_000))
def test_local_limit_is_reset_after_a_window(steps: list[tuple[int, tuple[RateLimit, ...]]], start: int) -> None:
    local, moment = limiter(), NOON + start
    for pause, buckets in steps:
        moment += pause
        local.acquire_locally(buckets, moment)

    for bucket in BUCKETS:
        later = moment + bucket.window_ms
        for left in reversed(range(bucket.limit)):
            limited_by, _, remaining, _ = local.acquire_locally((bucket,), later)
            assert (limited_by, remaining) == (0, left)


@reproducibly
@given(steps, st.integers(0, 10_000))
def test_local_retry_after_is_exact_to_the_millisecond(
    steps: list[tuple[int, tuple[RateLimit, ...]]], start: int
) -> None:
    local, moment = limiter(), NOON + start
    for pause, buckets in steps:
        moment += pause
        limited_by, retry_after, *_ = local.acquire_locally(buckets, moment)
        if limited_by:
            assert local.acquire_locally(buckets, moment + retry_after - 1)[0] != 0
            moment += retry_after
            assert local.acquire_locally(buckets, moment)[0] == 0


async def test_local_limit_applies_without_redis(key: str) -> None:
    local, one = limiter(), RateLimit("any", key, 3, 3_600_000)

    outcomes = [await local.acquire(one) for _ in range(10)]

    assert [slots.limited_by for slots in outcomes] == [None] * 3 + [one] * 7
    assert [slots.remaining[0].remaining for slots in outcomes] == [2, 1, 0] + [0] * 7
    assert all(0 < slots.retry_after_ms <= one.window_ms for slots in outcomes[3:])


async def test_local_limit_can_be_released_without_redis(key: str) -> None:
    local, one = limiter(), RateLimit("any", key, 3, 3_600_000)
    for _ in range(2):
        await local.acquire(one)

    for _ in range(5):  # more than were acquired
        local.release_later(one)
    await local.flush_releases()

    remaining = [(await local.acquire(one)).remaining[0].remaining for _ in range(3)]
    assert remaining == [2, 1, 0]


async def test_local_limits_are_bounded_and_keep_exhausted_keys() -> None:
    local = limiter()
    busy = RateLimit("any", "busy", 2, 3_600_000)
    for number in itertools.count():
        if number == 150_000:
            break
        local.acquire_locally((RateLimit("any", str(number), 1, 3_600_000),), NOON)
        if number % 25_000 == 0:
            local.acquire_locally((busy,), NOON)

    single = [(RateLimit("any", str(number), 1, 3_600_000),) for number in range(150_000)]
    assert 0 < sum(local.acquire_locally(one, NOON, acquire=False)[0] for one in single) <= 50_000
    assert local.acquire_locally((busy,), NOON)[0] == 1
