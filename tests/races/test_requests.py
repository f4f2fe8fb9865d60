"""Concurrent code requests: one message is sent, within the hourly and daily limits."""

from functools import partial

import pytest

from tests.races.conftest import DAY_S, HOUR_S, NewUser, RaceUser, at_once, outcomes
from tests.support.api_client import ApiClient

FEW = 12  # Redis allows all of them: 20 to one block of numbers in ten minutes


async def test_twelve_concurrent_requests_send_one_code(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)

    answers = await at_once(*[user.ask] * FEW)

    assert outcomes(answers) == {"200": 1, "resend_too_soon": FEW - 1}
    # A statement that began before the one it waited for returns one second more.
    assert all(0 < int(answer.headers["retry-after"]) <= 31 for answer in answers if answer.status_code == 429)
    assert len(user.codes) == 1
    assert [await user.count(table) for table in ("challenges", "messages")] == [1, 1]
    assert await user.events("challenge.opened") == 1
    assert (await user.answer(user.code)).status_code == 200


async def test_two_hundred_concurrent_requests_send_one_code(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)

    answers = await at_once(*[user.ask] * 200)

    seen = outcomes(answers)
    assert seen.keys() == {"200", "resend_too_soon", "rate_limited"}
    assert seen["200"] == 1
    assert [await user.count(table) for table in ("challenges", "messages")] == [1, 1]
    assert len(user.codes) == 1


async def test_concurrent_resends_send_the_same_code_once(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    challenge = await user.open_challenge()
    await user.later(30)

    answers = await at_once(*[user.ask] * 5, *[partial(user.ask, challenge_id=challenge)] * 5)

    assert outcomes(answers) == {"200": 1, "resend_too_soon": 9}
    assert len(user.codes) == 2
    assert len(set(user.codes)) == 1
    assert await user.events("challenge.repeated") == 1


@pytest.mark.parametrize("per_hour", [1, 3, 5])
async def test_concurrent_requests_stay_within_the_hourly_send_limit(
    new_user: NewUser, apis: list[ApiClient], per_hour: int
) -> None:
    user = await new_user(apis, rate_limit_per_hour=per_hour)
    rounds = []
    for _ in range(per_hour + 1):
        rounds.append(outcomes(await at_once(*[user.ask] * 3)))
        await user.later(120)  # the longest wait

    full = {"200": 1, "rate_limited": 2}
    assert rounds == [{"200": 1, "resend_too_soon": 2}] * (per_hour - 1) + [full, {"rate_limited": 3}]
    assert len(user.codes) == per_hour == await user.count("messages")


async def test_last_send_of_the_hour_goes_to_one_concurrent_request(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    for _ in range(4):
        await user.open_challenge()
        await user.later(14 * 60)

    answers = await at_once(*[user.ask] * 8)

    assert outcomes(answers) == {"200": 1, "rate_limited": 7}
    # The wait is until the first of the five leaves the hour; then there is room for one more.
    await user.later(120)
    [rejected] = await at_once(user.ask)
    assert outcomes([rejected]) == {"rate_limited": 1}
    await user.later(int(rejected.headers["retry-after"]))
    assert outcomes(await at_once(*[user.ask] * 3)) == {"200": 1, "rate_limited": 2}


async def test_daily_send_limit_is_twice_the_hourly_limit(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis, rate_limit_per_hour=2)
    for number in range(4):
        seen = outcomes(await at_once(*[user.ask] * 3))
        assert seen == {"200": 1, "resend_too_soon" if number < 3 else "rate_limited": 2}
        await user.later(HOUR_S)

    answers = await at_once(*[user.ask] * 3)

    assert outcomes(answers) == {"rate_limited": 3}
    # The first of the four was four hours ago.
    assert {answer.headers["retry-after"] for answer in answers} <= {str(20 * HOUR_S - n) for n in range(60)}
    assert len(user.codes) == 4
    await user.later(DAY_S - 4 * HOUR_S)
    assert outcomes(await at_once(*[user.ask] * 3)) == {"200": 1, "rate_limited": 2}


async def test_correct_code_ends_the_resend_delay_but_not_the_rate_limit(new_user: NewUser) -> None:
    user = await new_user(rate_limit_per_hour=3)
    for _ in range(3):
        await user.open_challenge()
        assert (await user.answer(user.code)).status_code == 200

    assert outcomes([await user.ask()]) == {"rate_limited": 1}


async def test_rejected_requests_do_not_limit_other_numbers_of_the_prefix(user: RaceUser) -> None:
    neighbour = RaceUser(user.apis, user.tenant, user.twilio, user.database)
    neighbour.phone = user.phone[:-2] + f"{(int(user.phone[-2:]) + 1) % 100:02d}"
    for _ in range(2):
        assert "rate_limited" not in outcomes(await at_once(*[user.ask] * FEW))
        await user.apis[0].services.limiter.flush_releases()
    assert len(user.codes) == 1

    assert outcomes([await neighbour.ask()]) == {"200": 1}
