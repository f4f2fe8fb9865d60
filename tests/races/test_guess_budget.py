"""Limits of wrong codes per identifier: 25 an hour, and 100 in a row, over all codes."""

from functools import partial

from tests.conftest import Door
from tests.races.conftest import DAY_S, HOUR_S, NewPerson, Person, assert_told, at_once, outcome, outcomes

PER_HOUR = 25
IN_A_ROW = 100


async def guess(person: Person, guesses: int) -> dict[str, int]:
    """Submit wrong codes one after another, with a new code whenever the attempts are exhausted."""
    seen = []
    for number in range(guesses):
        answer = await person.answer(person.wrong(number))
        if outcome(answer) == "too_many_attempts" and (await person.row())["code_attempts"] == 10:
            await person.later(120)
            await person.asked()
            answer = await person.answer(person.wrong(number))
        seen.append(answer)
    return outcomes(seen)


async def test_new_code_does_not_reset_the_hourly_attempt_limit(new_person: NewPerson) -> None:
    person = await new_person(max_otp_attempts=10, rate_limit_per_hour=100)
    await person.asked()

    assert await guess(person, PER_HOUR) == {"invalid_code": PER_HOUR}

    assert len(set(person.codes)) == 3
    refused = await person.answer(person.code)
    assert outcome(refused) == "too_many_attempts"
    assert HOUR_S - 600 < int(refused.headers["retry-after"]) <= HOUR_S
    # A new code does not help, but to name a challenge does.
    await person.later(120)
    challenge = await person.asked()
    assert outcome(await person.answer(person.code)) == "too_many_attempts"
    assert outcome(await person.answer(person.wrong(), challenge_id=challenge)) == "invalid_code"
    assert (await person.answer(person.code, challenge_id=challenge)).status_code == 200


async def test_wrong_codes_stop_counting_after_an_hour(new_person: NewPerson) -> None:
    person = await new_person(max_otp_attempts=10, rate_limit_per_hour=100)
    await person.asked()
    await guess(person, PER_HOUR)

    await person.later(HOUR_S - 600)
    await person.asked()
    assert outcome(await person.answer(person.code)) == "too_many_attempts"

    await person.later(HOUR_S)
    await person.asked()
    assert await guess(person, PER_HOUR) == {"invalid_code": PER_HOUR}
    assert outcome(await person.answer(person.code)) == "too_many_attempts"


async def test_concurrent_guesses_are_limited_to_the_remaining_attempts(
    new_person: NewPerson, doors: list[Door]
) -> None:
    person = await new_person(doors, max_otp_attempts=10, rate_limit_per_hour=100)
    await person.asked()
    assert await guess(person, PER_HOUR - 4) == {"invalid_code": PER_HOUR - 4}

    answers = await at_once(*(partial(person.answer, person.wrong(n)) for n in range(50)))

    assert_told(answers, {"invalid_code": 4, "too_many_attempts": 46}, person)
    assert {answer.json()["attempts_remaining"] for answer in answers if answer.status_code == 400} <= {0, 1, 2, 3}
    assert await person.events("challenge.attempt_failed") == PER_HOUR
    assert outcome(await person.answer(person.code)) == "too_many_attempts"


async def test_correct_codes_do_not_count_as_wrong_codes(new_person: NewPerson) -> None:
    person = await new_person(rate_limit_per_hour=100)
    for _ in range(12):
        await person.asked()
        assert outcome(await person.answer(person.wrong())) == "invalid_code"
        assert (await person.answer(person.code)).status_code == 200

    row = await person.row()
    assert (len(row["wrong_at"]), row["wrong_streak"]) == (12, 0)


async def test_hundred_wrong_codes_in_a_row_require_a_challenge_id_for_a_day(
    new_person: NewPerson,
) -> None:
    person = await new_person(max_otp_attempts=10, rate_limit_per_hour=100)
    for _ in range(IN_A_ROW // PER_HOUR):
        await person.asked()
        assert await guess(person, PER_HOUR) == {"invalid_code": PER_HOUR}
        await person.later(HOUR_S)

    await person.asked()
    refused = await person.answer(person.code)
    assert outcome(refused) == "too_many_attempts"
    assert 22 * HOUR_S < int(refused.headers["retry-after"]) <= 23 * HOUR_S

    # Who names a challenge gets in, which does not open the door to those who do not.
    await person.later(120)
    challenge = await person.asked()
    assert (await person.answer(person.code, challenge_id=challenge)).status_code == 200
    await person.asked()
    assert outcome(await person.answer(person.code)) == "too_many_attempts"

    await person.later(DAY_S)
    await person.asked()
    assert (await person.answer(person.code)).status_code == 200


async def test_correct_code_resets_the_wrong_code_streak(new_person: NewPerson) -> None:
    person = await new_person(max_otp_attempts=10, rate_limit_per_hour=100)
    for number in range(IN_A_ROW // PER_HOUR):
        await person.asked()
        last = number == IN_A_ROW // PER_HOUR - 1
        assert await guess(person, PER_HOUR - last) == {"invalid_code": PER_HOUR - last}
        await person.later(HOUR_S)
    await person.asked()
    assert (await person.answer(person.code)).status_code == 200

    for _ in range(2):
        await person.asked()
        assert outcome(await person.answer(person.wrong())) == "invalid_code"
        assert (await person.answer(person.code)).status_code == 200


async def test_wrong_codes_of_one_phone_do_not_affect_another(new_person: NewPerson) -> None:
    person = await new_person(max_otp_attempts=10, rate_limit_per_hour=100)
    other = Person(person.doors, person.tenant, person.twilio, person.database)
    await person.asked()
    await other.asked()
    await guess(person, PER_HOUR)

    assert outcome(await person.answer(person.code)) == "too_many_attempts"
    assert (await other.answer(other.code)).status_code == 200
