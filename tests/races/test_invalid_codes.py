"""A code is valid once, in time, and only for its tenant, phone and purpose."""

from tests.races.conftest import NewUser, RaceUser, outcome


async def test_used_code_is_rejected(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    code = user.code
    assert (await user.answer(code)).status_code == 200

    assert outcome(await user.answer(code)) == "no_active_challenge"
    assert outcome(await user.answer(code, challenge_id=challenge)) == "no_active_challenge"
    # Also while the next one lives.
    await user.open_challenge()
    assert outcome(await user.answer(code)) == "invalid_code"


async def test_code_of_another_tenant_is_rejected(new_user: NewUser) -> None:
    here, there = await new_user(), await new_user()
    there.phone = here.phone
    challenge_here = await here.open_challenge()
    code_here = here.code

    assert outcome(await there.answer(code_here)) == "no_active_challenge"
    await there.open_challenge()
    assert there.code != code_here
    assert outcome(await there.answer(code_here)) == "invalid_code"
    assert outcome(await there.answer(code_here, challenge_id=challenge_here)) == "no_active_challenge"
    assert (await here.answer(code_here)).status_code == 200


async def test_code_of_another_phone_is_rejected(user: RaceUser) -> None:
    other = RaceUser(user.apis, user.tenant, user.twilio, user.database)
    challenge = await user.open_challenge()
    await other.open_challenge()

    assert user.code != other.code
    assert outcome(await other.answer(user.code)) == "invalid_code"
    assert outcome(await other.answer(user.code, challenge_id=challenge)) == "no_active_challenge"


async def test_code_copied_to_another_row_is_rejected(new_user: NewUser) -> None:
    here, there = await new_user(), await new_user()
    await here.open_challenge()
    await there.open_challenge()
    row = await here.row()
    await here.database.execute(
        "update identifiers set code_mac = $3, code_box = $4 where tenant_id = $1 and identifier = $2",
        *(there.tenant_id, there.phone, row["code_mac"], row["code_box"]),
    )

    assert outcome(await there.answer(here.code)) == "invalid_code"


async def test_code_of_another_purpose_is_rejected(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await user.database.execute(
        "update identifiers set code_purpose = 'add_phone' where tenant_id = $1", user.tenant_id
    )

    assert outcome(await user.answer(user.code)) == "no_active_challenge"
    assert outcome(await user.answer(user.code, challenge_id=challenge)) == "no_active_challenge"
    assert await user.count("sessions") == 0
    # And it is not sent again to log in with.
    await user.later(30)
    await user.open_challenge()
    assert len(set(user.codes)) == 2


async def test_expired_code_is_rejected_without_spending_an_attempt(user: RaceUser) -> None:
    challenge = await user.open_challenge()
    await user.later(599)
    assert outcome(await user.answer(user.wrong())) == "invalid_code"
    await user.later(1)

    assert outcome(await user.answer(user.code)) == "no_active_challenge"
    assert outcome(await user.answer(user.code, challenge_id=challenge)) == "no_active_challenge"
    assert await user.events("challenge.attempt_failed") == 1
    assert await user.count("sessions") == 0


async def test_code_expires_after_the_tenant_expiry_setting(new_user: NewUser) -> None:
    user = await new_user(otp_expiry_minutes=1)
    assert (await user.ask()).json()["expires_in"] == 60
    await user.later(59)
    # A second is left, which a slow machine may need.
    assert outcome(await user.answer(user.wrong())) in ("invalid_code", "no_active_challenge")
    await user.later(1)

    assert outcome(await user.answer(user.code)) == "no_active_challenge"


async def test_code_without_a_challenge_is_rejected(user: RaceUser) -> None:
    assert outcome(await user.answer("000000")) == "no_active_challenge"
    assert await user.count("identifiers") == await user.count("events") - 1 == 0


async def test_challenge_id_is_required_by_the_tenant_setting(new_user: NewUser) -> None:
    user = await new_user(require_challenge_id=True)
    challenge = await user.open_challenge()

    rejected = await user.answer(user.code)

    assert (rejected.status_code, outcome(rejected)) == (422, "validation_failed")
    assert rejected.json()["errors"][0]["field"] == "challenge_id"
    assert (await user.answer(user.code, challenge_id=challenge)).status_code == 200


async def test_code_of_another_length_is_invalid(user: RaceUser) -> None:
    await user.open_challenge()

    for code in (user.code + "0", "0" + user.code, user.code[:-1]):
        assert outcome(await user.answer(code)) == "invalid_code"
    assert (await user.answer(user.code)).status_code == 200
