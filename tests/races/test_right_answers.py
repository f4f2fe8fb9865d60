"""Concurrent correct codes create one session."""

import itertools
from functools import partial

from tests.conftest import Door
from tests.races.conftest import NewPerson, Person, assert_told, at_once, outcome


async def test_fifty_concurrent_correct_codes_create_one_session(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)
    await person.asked()

    answers = await at_once(*[partial(person.answer, person.code)] * 50)

    assert_told(answers, {"200": 1, "no_active_challenge": 49}, person)
    assert [await person.count(table) for table in ("sessions", "users", "challenges")] == [1, 1, 1]
    assert await person.events("challenge.answered") == 1
    assert await person.events("user.created") == 1
    assert await person.events("challenge.attempt_failed") == 0


async def test_fifty_correct_codes_for_two_challenges_create_one_session(
    new_person: NewPerson, doors: list[Door]
) -> None:
    person = await new_person(doors)
    challenges = [await person.asked()]
    await person.later(30)
    challenges.append(await person.asked())
    assert len(set(challenges)) == 2
    assert len(set(person.codes)) == 1

    answers = await at_once(*(partial(person.answer, person.code, challenge_id=challenges[n % 2]) for n in range(50)))

    assert_told(answers, {"200": 1, "no_active_challenge": 49}, person)
    assert await person.count("sessions") == 1
    statuses = await person.database.fetch("select status from challenges where tenant_id = $1", person.tenant_id)
    assert sorted(row["status"] for row in statuses) == ["answered", "cancelled"]


async def test_first_login_at_two_tenants_concurrently_creates_two_users(
    new_person: NewPerson, doors: list[Door]
) -> None:
    here, there = await new_person(doors), await new_person(doors)
    there.phone = here.phone
    await here.asked()
    code_here = here.code
    await there.asked()
    code_there = there.code

    answers = await at_once(
        *[partial(here.answer, code_here)] * 10,
        *[partial(there.answer, code_there)] * 10,
    )

    for person, told in ((here, answers[:10]), (there, answers[10:])):
        assert_told(told, {"200": 1, "no_active_challenge": 9}, person)
        assert [await person.count(table) for table in ("sessions", "users")] == [1, 1]
    owners = await here.database.fetch("select distinct user_id from identifiers where identifier = $1", here.phone)
    assert len(owners) == 2


async def test_repeated_logins_return_the_same_user(person: Person) -> None:
    user_ids = set()
    for number in range(4):
        await person.asked()
        answers = await at_once(*[partial(person.answer, person.code)] * 5)
        [verified] = [answer.json() for answer in answers if answer.status_code == 200]
        user_ids.add(verified["user_id"])
        assert verified["is_new_user"] is (number == 0)

    assert len(user_ids) == 1
    assert await person.count("sessions") == 4


async def test_new_code_requested_during_verification_of_the_old_code(new_person: NewPerson, doors: list[Door]) -> None:
    person = await new_person(doors)
    for _ in range(4):
        await person.asked()
        old = person.code
        await person.later(8.5 * 60)  # under two minutes are left: who asks now gets a new code

        verified, *asked = await at_once(partial(person.answer, old), *[person.ask] * 3)

        sessions = await person.count("sessions")
        assert_told(asked, {"200": 1, "resend_too_soon": 2}, person)
        if verified.status_code != 200:
            # It came after the new code, and was compared with that.
            assert outcome(verified) == "invalid_code"
        # In whatever order: the old code is dead, the new one lives, and is the one that was sent.
        assert outcome(await person.answer(old)) == "invalid_code"
        assert person.code != old
        assert (await person.answer(person.code)).status_code == 200
        assert await person.count("sessions") == sessions + 1
        await person.database.execute("delete from identifiers where tenant_id = $1", person.tenant_id)


async def test_concurrent_verifications_of_many_phones_are_independent(
    new_person: NewPerson, doors: list[Door]
) -> None:
    somebody = await new_person(doors)
    people = [Person(doors, somebody.tenant, somebody.twilio, somebody.database) for _ in range(12)]
    assert {answer.status_code for answer in await at_once(*(person.ask for person in people))} == {200}

    calls = [[partial(person.answer, person.wrong()), partial(person.answer, person.code)] for person in people]
    answers = await at_once(*itertools.chain(*calls))

    assert all(outcome(answer) in ("invalid_code", "no_active_challenge") for answer in answers[0::2])
    assert {answer.status_code for answer in answers[1::2]} == {200}
    assert len({answer.json()["user_id"] for answer in answers[1::2]}) == len(people)
    assert await somebody.count("users") == await somebody.count("sessions") == len(people)
