"""Concurrent code requests: one message is sent, within the hourly and daily limits."""

from functools import partial

import pytest

from tests.conftest import Door
from tests.races.conftest import DAY_S, HOUR_S, NewPerson, Person, assert_told, at_once, outcomes

FEW = 12  # all of whom Redis lets through: 20 to one block of numbers in ten minutes


async def test_twelve_concurrent_requests_send_one_code(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)

    answers = await at_once(*[person.ask] * FEW)

    assert_told(answers, {"200": 1, "resend_too_soon": FEW - 1}, person)
    # Whose statement began before the one it waited for is told one second more.
    assert all(0 < int(answer.headers["retry-after"]) <= 31 for answer in answers if answer.status_code == 429)
    assert len(person.codes) == 1
    assert [await person.count(table) for table in ("challenges", "messages")] == [1, 1]
    assert await person.events("challenge.opened") == 1
    assert (await person.answer(person.code)).status_code == 200


async def test_two_hundred_concurrent_requests_send_one_code(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)

    answers = await at_once(*[person.ask] * 200)

    seen = outcomes(answers)
    assert seen.keys() == {"200", "resend_too_soon", "rate_limited"} or person.retries
    assert_told(answers, seen | {"200": 1}, person)
    made = [await person.count(table) for table in ("challenges", "messages")]
    # Where the service had no time for any of those whom Redis let through, nobody got one; where it gave up on its own
    # statement, the message is the outbox' to settle.
    assert made == [1, 1] or (person.retries and made == [0, 0])
    assert len(person.codes) == 1 or (person.retries and not person.codes)


async def test_concurrent_resends_send_the_same_code_once(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)
    challenge = await person.asked()
    await person.later(30)

    answers = await at_once(*[person.ask] * 5, *[partial(person.ask, challenge_id=challenge)] * 5)

    assert_told(answers, {"200": 1, "resend_too_soon": 9}, person)
    assert len(person.codes) == 2
    assert len(set(person.codes)) == 1
    assert await person.events("challenge.repeated") == 1


@pytest.mark.parametrize("per_hour", [1, 3, 5])
async def test_concurrent_requests_stay_within_the_hourly_send_limit(
    new_person: NewPerson, doors: list[Door], per_hour: int
) -> None:
    person = await new_person(doors, rate_limit_per_hour=per_hour)
    rounds = []
    for _ in range(per_hour + 1):
        rounds.append(outcomes(await at_once(*[person.ask] * 3)))
        await person.later(120)  # the longest wait

    full = {"200": 1, "rate_limited": 2}
    assert rounds == [{"200": 1, "resend_too_soon": 2}] * (per_hour - 1) + [full, {"rate_limited": 3}]
    assert len(person.codes) == per_hour == await person.count("messages")


async def test_last_send_of_the_hour_goes_to_one_concurrent_request(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)
    for _ in range(4):
        await person.asked()
        await person.later(14 * 60)

    answers = await at_once(*[person.ask] * 8)

    assert_told(answers, {"200": 1, "rate_limited": 7}, person)
    # The wait is until the first of the five leaves the hour; then there is room for one more.
    await person.later(120)
    [refused] = await at_once(person.ask)
    assert outcomes([refused]) == {"rate_limited": 1}
    await person.later(int(refused.headers["retry-after"]))
    assert outcomes(await at_once(*[person.ask] * 3)) == {"200": 1, "rate_limited": 2}


async def test_daily_send_limit_is_twice_the_hourly_limit(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors, rate_limit_per_hour=2)
    for number in range(4):
        seen = outcomes(await at_once(*[person.ask] * 3))
        assert seen == {"200": 1, "resend_too_soon" if number < 3 else "rate_limited": 2}
        await person.later(HOUR_S)

    answers = await at_once(*[person.ask] * 3)

    assert outcomes(answers) == {"rate_limited": 3}
    # The first of the four was four hours ago.
    assert {answer.headers["retry-after"] for answer in answers} <= {str(20 * HOUR_S - n) for n in range(60)}
    assert len(person.codes) == 4
    await person.later(DAY_S - 4 * HOUR_S)
    assert outcomes(await at_once(*[person.ask] * 3)) == {"200": 1, "rate_limited": 2}


async def test_correct_code_ends_the_resend_delay_but_not_the_rate_limit(new_person: NewPerson) -> None:
    person = await new_person(rate_limit_per_hour=3)
    for _ in range(3):
        await person.asked()
        assert (await person.answer(person.code)).status_code == 200

    assert outcomes([await person.ask()]) == {"rate_limited": 1}


async def test_rejected_requests_do_not_limit_other_numbers_of_the_prefix(person: Person) -> None:
    neighbour = Person(person.doors, person.tenant, person.twilio, person.database)
    neighbour.phone = person.phone[:-2] + f"{(int(person.phone[-2:]) + 1) % 100:02d}"
    for _ in range(2):
        assert "rate_limited" not in outcomes(await at_once(*[person.ask] * FEW))
        await person.doors[0].services.limiter.flush_releases()
    assert len(person.codes) == 1

    assert outcomes([await neighbour.ask()]) == {"200": 1}
