"""Resends: the same code while it is valid, growing delays, and which challenges stay open."""

from tests.races.conftest import NewUser, RaceUser, outcome, outcomes


async def test_resend_delay_grows_from_30_to_60_to_120_seconds(
    new_user: NewUser,
) -> None:
    user = await new_user(rate_limit_per_hour=10)
    for wait in (30, 60, 120, 120):
        requested = await user.ask()
        assert requested.status_code == 200
        assert requested.json()["resend_after"] == wait

        await user.later(wait - 10)
        rejected = await user.ask()
        assert outcome(rejected) == "resend_too_soon"
        assert 0 < int(rejected.headers["retry-after"]) <= 10
        await user.later(10)

    assert len(user.codes) == 4
    assert len(set(user.codes)) == 1


async def test_resend_delay_resets_after_an_hour_without_a_send(new_user: NewUser) -> None:
    user = await new_user(rate_limit_per_hour=10)
    for _ in range(3):
        await user.open_challenge()
        await user.later(120)
    await user.later(3600)

    assert (await user.ask()).json()["resend_after"] == 30


async def test_resend_returns_the_remaining_code_lifetime(user: RaceUser) -> None:
    assert (await user.ask()).json()["expires_in"] == 600
    await user.later(5 * 60)

    again = (await user.ask()).json()

    assert 290 <= again["expires_in"] <= 300
    assert "Expires in 5 minutes." in user.twilio.sent_to(user.phone)[-1]


async def test_resend_repeats_the_code_with_over_two_minutes_left(user: RaceUser) -> None:
    await user.open_challenge()
    await user.later(7.5 * 60)
    await user.open_challenge()

    assert len(set(user.codes)) == 1


async def test_resend_replaces_the_code_with_under_two_minutes_left(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await user.later(8 * 60)
    again = await user.ask()

    old, new = user.codes
    assert old != new
    assert again.json()["expires_in"] == 600
    assert outcome(await user.answer(old)) == "invalid_code"
    assert outcome(await user.answer(old, challenge_id=challenge)) == "invalid_code"
    assert (await user.answer(new, challenge_id=challenge)).status_code == 200


async def test_request_after_a_correct_code_has_no_resend_delay(user: RaceUser) -> None:
    for _ in range(3):
        requested = await user.ask()
        assert requested.json()["resend_after"] == 30
        assert (await user.answer(user.code)).status_code == 200

    assert len(set(user.codes)) == 3


async def test_resend_delay_applies_after_a_wrong_code(user: RaceUser) -> None:
    await user.open_challenge()
    await user.answer(user.wrong())

    assert outcome(await user.ask()) == "resend_too_soon"


async def test_each_request_opens_a_challenge_that_can_be_verified(user: RaceUser) -> None:
    for place in range(3):
        challenges = []
        for _ in range(3):
            challenges.append(await user.open_challenge())
            await user.later(120)
        assert len(set(challenges)) == 3

        assert (await user.answer(user.code, challenge_id=challenges[place])).status_code == 200

        others = [await user.answer(user.code, challenge_id=challenge) for challenge in challenges]
        assert outcomes(others) == {"no_active_challenge": 3}
        await user.later(24 * 3600)


async def test_resend_with_challenge_id_keeps_the_challenge(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await user.later(30)

    assert await user.open_challenge(challenge_id=challenge) == challenge

    assert await user.count("challenges") == 1
    assert await user.count("messages") == 2
    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200


async def test_challenge_of_another_identifier_is_not_reused(new_user: NewUser) -> None:
    user, stranger = await new_user(), await new_user()
    theirs = await user.open_challenge()

    assert await stranger.open_challenge(challenge_id=theirs) != theirs

    neighbour = RaceUser(user.apis, user.tenant, user.twilio, user.database)
    assert await neighbour.open_challenge(challenge_id=theirs) != theirs
    assert outcome(await neighbour.answer(neighbour.code, challenge_id=theirs)) == "no_active_challenge"


async def test_answered_challenge_is_not_reused(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await user.answer(user.code)

    assert await user.open_challenge(challenge_id=challenge) != challenge
    assert outcome(await user.answer(user.code, challenge_id=challenge)) == "no_active_challenge"
