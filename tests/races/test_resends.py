"""Resends: the same code while it is valid, growing delays, and which challenges stay open."""

from tests.races.conftest import NewPerson, Person, outcome, outcomes


async def test_resend_delay_grows_from_30_to_60_to_120_seconds(
    new_person: NewPerson,
) -> None:
    person = await new_person(rate_limit_per_hour=10)
    for wait in (30, 60, 120, 120):
        asked = await person.ask()
        assert asked.status_code == 200
        assert asked.json()["resend_after"] == wait

        await person.later(wait - 10)
        refused = await person.ask()
        assert outcome(refused) == "resend_too_soon"
        assert 0 < int(refused.headers["retry-after"]) <= 10
        await person.later(10)

    assert len(person.codes) == 4
    assert len(set(person.codes)) == 1


async def test_resend_delay_resets_after_an_hour_without_a_send(new_person: NewPerson) -> None:
    person = await new_person(rate_limit_per_hour=10)
    for _ in range(3):
        await person.asked()
        await person.later(120)
    await person.later(3600)

    assert (await person.ask()).json()["resend_after"] == 30


async def test_resend_returns_the_remaining_code_lifetime(person: Person) -> None:
    assert (await person.ask()).json()["expires_in"] == 600
    await person.later(5 * 60)

    again = (await person.ask()).json()

    assert 290 <= again["expires_in"] <= 300
    assert "Expires in 5 minutes." in person.twilio.sent_to(person.phone)[-1]


async def test_resend_repeats_the_code_with_over_two_minutes_left(person: Person) -> None:
    await person.asked()
    await person.later(7.5 * 60)
    await person.asked()

    assert len(set(person.codes)) == 1


async def test_resend_replaces_the_code_with_under_two_minutes_left(person: Person) -> None:
    challenge = await person.asked()
    await person.later(8 * 60)
    again = await person.ask()

    old, new = person.codes
    assert old != new
    assert again.json()["expires_in"] == 600
    assert outcome(await person.answer(old)) == "invalid_code"
    assert outcome(await person.answer(old, challenge_id=challenge)) == "invalid_code"
    assert (await person.answer(new, challenge_id=challenge)).status_code == 200


async def test_no_resend_delay_after_a_correct_code(person: Person) -> None:
    for _ in range(3):
        asked = await person.ask()
        assert asked.json()["resend_after"] == 30
        assert (await person.answer(person.code)).status_code == 200

    assert len(set(person.codes)) == 3


async def test_resend_delay_applies_after_a_wrong_code(person: Person) -> None:
    await person.asked()
    await person.answer(person.wrong())

    assert outcome(await person.ask()) == "resend_too_soon"


async def test_each_request_opens_a_challenge_that_can_be_verified(person: Person) -> None:
    for place in range(3):
        challenges = []
        for _ in range(3):
            challenges.append(await person.asked())
            await person.later(120)
        assert len(set(challenges)) == 3

        assert (await person.answer(person.code, challenge_id=challenges[place])).status_code == 200

        others = [await person.answer(person.code, challenge_id=challenge) for challenge in challenges]
        assert outcomes(others) == {"no_active_challenge": 3}
        await person.later(24 * 3600)


async def test_resend_with_challenge_id_keeps_the_challenge(person: Person) -> None:
    challenge = await person.asked()
    await person.later(30)

    assert await person.asked(challenge_id=challenge) == challenge

    assert await person.count("challenges") == 1
    assert await person.count("messages") == 2
    assert (await person.answer(person.code, challenge_id=challenge)).status_code == 200


async def test_challenge_of_another_identifier_is_not_reused(new_person: NewPerson) -> None:
    person, stranger = await new_person(), await new_person()
    theirs = await person.asked()

    assert await stranger.asked(challenge_id=theirs) != theirs

    neighbour = Person(person.doors, person.tenant, person.twilio, person.database)
    assert await neighbour.asked(challenge_id=theirs) != theirs
    assert outcome(await neighbour.answer(neighbour.code, challenge_id=theirs)) == "no_active_challenge"


async def test_answered_challenge_is_not_reused(person: Person) -> None:
    challenge = await person.asked()
    await person.answer(person.code)

    assert await person.asked(challenge_id=challenge) != challenge
    assert outcome(await person.answer(person.code, challenge_id=challenge)) == "no_active_challenge"
