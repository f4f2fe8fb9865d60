"""Limits of wrong codes per identifier: 25 an hour, and 100 in a row, over all codes."""

from functools import partial

from tests.races.conftest import DAY_S, HOUR_S, NewUser, RaceUser, at_once, outcome, outcomes
from tests.support.api_client import ApiClient

PER_HOUR = 25
IN_A_ROW = 100


async def guess(user: RaceUser, guesses: int) -> dict[str, int]:
    """Submit wrong codes one after another, with a new code whenever the attempts are exhausted."""
    seen = []
    for number in range(guesses):
        answer = await user.answer(user.wrong(number))
        if outcome(answer) == "too_many_attempts" and (await user.row())["code_attempts"] == 10:
            await user.later(120)
            await user.open_challenge()
            answer = await user.answer(user.wrong(number))
        seen.append(answer)
    return outcomes(seen)


async def test_new_code_does_not_reset_the_hourly_attempt_limit(new_user: NewUser) -> None:
    user = await new_user(max_otp_attempts=10, rate_limit_per_hour=100)
    await user.open_challenge()

    assert await guess(user, PER_HOUR) == {"invalid_code": PER_HOUR}

    assert len(set(user.codes)) == 3
    rejected = await user.answer(user.code)
    assert outcome(rejected) == "too_many_attempts"
    assert HOUR_S - 600 < int(rejected.headers["retry-after"]) <= HOUR_S
    # A new code does not help, but to name a challenge does.
    await user.later(120)
    challenge = await user.open_challenge()
    assert outcome(await user.answer(user.code)) == "too_many_attempts"
    assert outcome(await user.answer(user.wrong(), challenge_id=challenge)) == "invalid_code"
    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200


async def test_wrong_codes_stop_counting_after_an_hour(new_user: NewUser) -> None:
    user = await new_user(max_otp_attempts=10, rate_limit_per_hour=100)
    await user.open_challenge()
    await guess(user, PER_HOUR)

    await user.later(HOUR_S - 600)
    await user.open_challenge()
    assert outcome(await user.answer(user.code)) == "too_many_attempts"

    await user.later(HOUR_S)
    await user.open_challenge()
    assert await guess(user, PER_HOUR) == {"invalid_code": PER_HOUR}
    assert outcome(await user.answer(user.code)) == "too_many_attempts"


async def test_concurrent_guesses_are_limited_to_the_remaining_attempts(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    user = await new_user(apis, max_otp_attempts=10, rate_limit_per_hour=100)
    await user.open_challenge()
    assert await guess(user, PER_HOUR - 4) == {"invalid_code": PER_HOUR - 4}

    answers = await at_once(*(partial(user.answer, user.wrong(n)) for n in range(50)))

    assert outcomes(answers) == {"invalid_code": 4, "too_many_attempts": 46}
    assert {answer.json()["attempts_remaining"] for answer in answers if answer.status_code == 400} <= {0, 1, 2, 3}
    assert await user.events("challenge.attempt_failed") == PER_HOUR
    assert outcome(await user.answer(user.code)) == "too_many_attempts"


async def test_correct_codes_do_not_count_as_wrong_codes(new_user: NewUser) -> None:
    user = await new_user(rate_limit_per_hour=100)
    for _ in range(12):
        await user.open_challenge()
        assert outcome(await user.answer(user.wrong())) == "invalid_code"
        assert (await user.answer(user.code)).status_code == 200

    row = await user.row()
    assert (len(row["wrong_at"]), row["wrong_streak"]) == (12, 0)


async def test_hundred_wrong_codes_in_a_row_require_a_challenge_id_for_a_day(
    new_user: NewUser,
) -> None:
    user = await new_user(max_otp_attempts=10, rate_limit_per_hour=100)
    for _ in range(IN_A_ROW // PER_HOUR):
        await user.open_challenge()
        assert await guess(user, PER_HOUR) == {"invalid_code": PER_HOUR}
        await user.later(HOUR_S)

    await user.open_challenge()
    rejected = await user.answer(user.code)
    assert outcome(rejected) == "too_many_attempts"
    assert 22 * HOUR_S < int(rejected.headers["retry-after"]) <= 23 * HOUR_S

    # A named challenge can log in, which does not unlock logins without one.
    await user.later(120)
    challenge = await user.open_challenge()
    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200
    await user.open_challenge()
    assert outcome(await user.answer(user.code)) == "too_many_attempts"

    await user.later(DAY_S)
    await user.open_challenge()
    assert (await user.answer(user.code)).status_code == 200


async def test_correct_code_resets_the_wrong_code_streak(new_user: NewUser) -> None:
    user = await new_user(max_otp_attempts=10, rate_limit_per_hour=100)
    for number in range(IN_A_ROW // PER_HOUR):
        await user.open_challenge()
        last = number == IN_A_ROW // PER_HOUR - 1
        assert await guess(user, PER_HOUR - last) == {"invalid_code": PER_HOUR - last}
        await user.later(HOUR_S)
    await user.open_challenge()
    assert (await user.answer(user.code)).status_code == 200

    for _ in range(2):
        await user.open_challenge()
        assert outcome(await user.answer(user.wrong())) == "invalid_code"
        assert (await user.answer(user.code)).status_code == 200


async def test_wrong_codes_of_one_phone_do_not_affect_another(new_user: NewUser) -> None:
    user = await new_user(max_otp_attempts=10, rate_limit_per_hour=100)
    other = RaceUser(user.apis, user.tenant, user.twilio, user.database)
    await user.open_challenge()
    await other.open_challenge()
    await guess(user, PER_HOUR)

    assert outcome(await user.answer(user.code)) == "too_many_attempts"
    assert (await other.answer(other.code)).status_code == 200
