"""Concurrent correct codes create one session."""

import itertools
from functools import partial

from tests.races.conftest import NewUser, RaceUser, at_once, outcome, outcomes
from tests.support.api_client import ApiClient


async def test_fifty_concurrent_correct_codes_create_one_session(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    await user.open_challenge()

    answers = await at_once(*[partial(user.answer, user.code)] * 50)

    assert outcomes(answers) == {"200": 1, "no_active_challenge": 49}
    assert [await user.count(table) for table in ("sessions", "users", "challenges")] == [1, 1, 1]
    assert await user.events("challenge.answered") == 1
    assert await user.events("user.created") == 1
    assert await user.events("challenge.attempt_failed") == 0


async def test_fifty_correct_codes_for_two_challenges_create_one_session(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    user = await new_user(apis)
    challenges = [await user.open_challenge()]
    await user.later(30)
    challenges.append(await user.open_challenge())
    assert len(set(challenges)) == 2
    assert len(set(user.codes)) == 1

    answers = await at_once(*(partial(user.answer, user.code, challenge_id=challenges[n % 2]) for n in range(50)))

    assert outcomes(answers) == {"200": 1, "no_active_challenge": 49}
    assert await user.count("sessions") == 1
    statuses = await user.database.fetch("select status from challenges where tenant_id = $1", user.tenant_id)
    assert sorted(row["status"] for row in statuses) == ["answered", "cancelled"]


async def test_first_login_at_two_tenants_concurrently_creates_two_users(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    here, there = await new_user(apis), await new_user(apis)
    there.phone = here.phone
    await here.open_challenge()
    code_here = here.code
    await there.open_challenge()
    code_there = there.code

    answers = await at_once(
        *[partial(here.answer, code_here)] * 10,
        *[partial(there.answer, code_there)] * 10,
    )

    for user, reported in ((here, answers[:10]), (there, answers[10:])):
        assert outcomes(reported) == {"200": 1, "no_active_challenge": 9}
        assert [await user.count(table) for table in ("sessions", "users")] == [1, 1]
    owners = await here.database.fetch("select distinct user_id from identifiers where identifier = $1", here.phone)
    assert len(owners) == 2


async def test_repeated_logins_return_the_same_user(user: RaceUser) -> None:
    user_ids = set()
    for number in range(4):
        await user.open_challenge()
        answers = await at_once(*[partial(user.answer, user.code)] * 5)
        [verified] = [answer.json() for answer in answers if answer.status_code == 200]
        user_ids.add(verified["user_id"])
        assert verified["is_new_user"] is (number == 0)

    assert len(user_ids) == 1
    assert await user.count("sessions") == 4


async def test_old_code_is_invalid_after_a_concurrent_request_of_a_new_one(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    user = await new_user(apis)
    for _ in range(4):
        await user.open_challenge()
        old = user.code
        await user.later(8.5 * 60)  # under two minutes are left: a request gets a new code

        verified, *requested = await at_once(partial(user.answer, old), *[user.ask] * 3)

        sessions = await user.count("sessions")
        assert outcomes(requested) == {"200": 1, "resend_too_soon": 2}
        if verified.status_code != 200:
            # It came after the new code, and was compared with that.
            assert outcome(verified) == "invalid_code"
        # In either order, the old code is invalid, and the new one is valid and was sent.
        assert outcome(await user.answer(old)) == "invalid_code"
        assert user.code != old
        assert (await user.answer(user.code)).status_code == 200
        assert await user.count("sessions") == sessions + 1
        await user.database.execute("delete from identifiers where tenant_id = $1", user.tenant_id)


async def test_concurrent_verifications_of_many_phones_are_independent(
    new_user: NewUser, apis: list[ApiClient]
) -> None:
    first_user = await new_user(apis)
    users = [RaceUser(apis, first_user.tenant, first_user.twilio, first_user.database) for _ in range(12)]
    assert {answer.status_code for answer in await at_once(*(user.ask for user in users))} == {200}

    calls = [[partial(user.answer, user.wrong()), partial(user.answer, user.code)] for user in users]
    answers = await at_once(*itertools.chain(*calls))

    assert all(outcome(answer) in ("invalid_code", "no_active_challenge") for answer in answers[0::2])
    assert {answer.status_code for answer in answers[1::2]} == {200}
    assert len({answer.json()["user_id"] for answer in answers[1::2]}) == len(users)
    assert await first_user.count("users") == await first_user.count("sessions") == len(users)
