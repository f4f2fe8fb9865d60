"""Concurrent guesses above the limit: exactly the allowed attempts are compared."""

from functools import partial

import pytest

from tests.races.conftest import NewUser, RaceUser, at_once, outcome, outcomes
from tests.support.api_client import ApiClient
from tests.support.effort import effort

ATTEMPTS = 5
GUESSES = effort(80, 200)


async def use_up_attempts(user: RaceUser, guesses: int, **more: object) -> None:
    answers = await at_once(*(partial(user.answer, user.wrong(n), **more) for n in range(guesses)))

    assert outcomes(answers) == {"invalid_code": ATTEMPTS, "too_many_attempts": guesses - ATTEMPTS}
    remaining = [answer.json()["attempts_remaining"] for answer in answers if answer.status_code == 400]
    assert len(remaining) == len(set(remaining))
    assert set(remaining) <= set(range(ATTEMPTS))
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers if answer.status_code == 429)
    assert await user.events("challenge.attempt_failed") == ATTEMPTS


async def test_many_concurrent_guesses_compare_five_and_the_owner_can_log_in(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    owner = await new_user(apis)
    challenge = await owner.open_challenge()

    await use_up_attempts(owner, GUESSES)

    rejected = await owner.answer(owner.code)
    assert outcome(rejected) == "too_many_attempts"
    assert await owner.count("sessions") == 0
    assert (await owner.answer(owner.code, challenge_id=challenge)).status_code == 200


async def test_owner_can_log_in_with_a_new_code_after_attempts_are_exhausted(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    owner = await new_user(apis)
    first = await owner.open_challenge()
    await use_up_attempts(owner, 30)
    await owner.later(30)

    again = await owner.open_challenge()

    assert len(set(owner.codes)) == 2, "a code whose attempts are spent is of no use"
    assert outcome(await owner.answer(owner.codes[0], challenge_id=first)) == "invalid_code"
    assert (await owner.answer(owner.code, challenge_id=again)).status_code == 200


async def test_challenge_remains_valid_after_another_code_request(new_user: NewUser, apis: list[ApiClient]) -> None:
    owner = await new_user(apis)
    first = await owner.open_challenge()
    await use_up_attempts(owner, 30)
    await owner.later(30)
    await owner.open_challenge()  # the stranger does

    assert (await owner.answer(owner.code, challenge_id=first)).status_code == 200


async def test_many_concurrent_guesses_at_one_challenge_compare_five(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    challenge = await user.open_challenge()
    await user.later(30)
    other = await user.open_challenge()

    await use_up_attempts(user, GUESSES, challenge_id=challenge)

    assert outcome(await user.answer(user.code, challenge_id=challenge)) == "too_many_attempts"
    row = await user.row()
    assert sorted(row["challenge_attempts"]) == [0, ATTEMPTS]
    assert (row["code_attempts"], row["wrong_at"]) == (0, []), "no budget but the challenge's own was used"
    statuses = await user.database.fetch("select id, status from challenges where tenant_id = $1", user.tenant_id)
    assert {row["id"]: row["status"] for row in statuses} == {challenge: "exhausted", other: "open"}
    assert (await user.answer(user.code, challenge_id=other)).status_code == 200


async def test_exhausted_challenge_is_not_reused_by_a_resend(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await use_up_attempts(user, 10, challenge_id=challenge)
    await user.later(30)

    other = await user.open_challenge(challenge_id=challenge)

    assert other != challenge
    assert outcome(await user.answer(user.code, challenge_id=challenge)) == "too_many_attempts"
    assert (await user.answer(user.code, challenge_id=other)).status_code == 200


async def test_resend_does_not_reset_challenge_attempts(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    for number in range(ATTEMPTS - 1):
        assert outcome(await user.answer(user.wrong(number), challenge_id=challenge)) == "invalid_code"
    await user.later(30)
    assert await user.open_challenge(challenge_id=challenge) == challenge
    await user.later(9 * 60)
    assert await user.open_challenge(challenge_id=challenge) == challenge  # over a new code
    assert len(set(user.codes)) == 2

    assert outcome(await user.answer(user.wrong(), challenge_id=challenge)) == "invalid_code"
    assert outcome(await user.answer(user.wrong(), challenge_id=challenge)) == "too_many_attempts"


@pytest.mark.parametrize("wrong", [3, 8, effort(30, 60)])
async def test_concurrent_correct_and_wrong_codes_are_serialized(
    new_user: NewUser, apis: list[ApiClient], wrong: int
) -> None:
    user = await new_user(apis)
    for _ in range(3):
        sessions, guessed = await user.count("sessions"), await user.events("challenge.attempt_failed")
        await user.open_challenge()
        right = [partial(user.answer, user.code)] * 2
        guesses = [partial(user.answer, user.wrong(n)) for n in range(wrong)]

        answers = await at_once(*guesses[: wrong // 2], *right, *guesses[wrong // 2 :])

        compared = await user.events("challenge.attempt_failed") - guessed
        opened = await user.count("sessions") - sessions
        if opened:
            assert opened == 1
            assert compared < ATTEMPTS
            rest = {"no_active_challenge": len(answers) - 1 - compared}
            reported = {"200": 1, "invalid_code": compared} if compared else {"200": 1}
        else:
            assert compared == ATTEMPTS
            rest, reported = {"too_many_attempts": len(answers) - ATTEMPTS}, {"invalid_code": ATTEMPTS}
        assert outcomes(answers) == reported | rest
        await user.database.execute("delete from identifiers where tenant_id = $1", user.tenant_id)
