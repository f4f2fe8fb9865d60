"""A code is valid once, in time, and only for its tenant, phone and purpose."""

from tests.races.conftest import NewPerson, Person, outcome


async def test_used_code_is_rejected(person: Person) -> None:
    challenge = await person.asked()
    code = person.code
    assert (await person.answer(code)).status_code == 200

    assert outcome(await person.answer(code)) == "no_active_challenge"
    assert outcome(await person.answer(code, challenge_id=challenge)) == "no_active_challenge"
    # Also while the next one lives.
    await person.asked()
    assert outcome(await person.answer(code)) == "invalid_code"


async def test_code_of_another_tenant_is_rejected(new_person: NewPerson) -> None:
    here, there = await new_person(), await new_person()
    there.phone = here.phone
    challenge_here = await here.asked()
    code_here = here.code

    assert outcome(await there.answer(code_here)) == "no_active_challenge"
    await there.asked()
    assert there.code != code_here
    assert outcome(await there.answer(code_here)) == "invalid_code"
    assert outcome(await there.answer(code_here, challenge_id=challenge_here)) == "no_active_challenge"
    assert (await here.answer(code_here)).status_code == 200


async def test_code_of_another_phone_is_rejected(person: Person) -> None:
    other = Person(person.doors, person.tenant, person.twilio, person.database)
    challenge = await person.asked()
    await other.asked()

    assert person.code != other.code
    assert outcome(await other.answer(person.code)) == "invalid_code"
    assert outcome(await other.answer(person.code, challenge_id=challenge)) == "no_active_challenge"


async def test_code_copied_to_another_row_is_rejected(new_person: NewPerson) -> None:
    here, there = await new_person(), await new_person()
    await here.asked()
    await there.asked()
    row = await here.row()
    await here.database.execute(
        "update identifiers set code_mac = $3, code_box = $4 where tenant_id = $1 and identifier = $2",
        *(there.tenant_id, there.phone, row["code_mac"], row["code_box"]),
    )

    assert outcome(await there.answer(here.code)) == "invalid_code"


async def test_code_of_another_purpose_is_rejected(person: Person) -> None:
    challenge = await person.asked()
    await person.database.execute(
        "update identifiers set code_purpose = 'add_phone' where tenant_id = $1", person.tenant_id
    )

    assert outcome(await person.answer(person.code)) == "no_active_challenge"
    assert outcome(await person.answer(person.code, challenge_id=challenge)) == "no_active_challenge"
    assert await person.count("sessions") == 0
    # And it is not sent again to log in with.
    await person.later(30)
    await person.asked()
    assert len(set(person.codes)) == 2


async def test_expired_code_is_rejected_without_spending_an_attempt(person: Person) -> None:
    challenge = await person.asked()
    await person.later(599)
    assert outcome(await person.answer(person.wrong())) == "invalid_code"
    await person.later(1)

    assert outcome(await person.answer(person.code)) == "no_active_challenge"
    assert outcome(await person.answer(person.code, challenge_id=challenge)) == "no_active_challenge"
    assert await person.events("challenge.attempt_failed") == 1
    assert await person.count("sessions") == 0


async def test_code_expires_after_the_tenant_expiry_setting(new_person: NewPerson) -> None:
    person = await new_person(otp_expiry_minutes=1)
    assert (await person.ask()).json()["expires_in"] == 60
    await person.later(59)
    # A second is left, which a slow machine may need.
    assert outcome(await person.answer(person.wrong())) in ("invalid_code", "no_active_challenge")
    await person.later(1)

    assert outcome(await person.answer(person.code)) == "no_active_challenge"


async def test_code_without_a_challenge_is_rejected(person: Person) -> None:
    assert outcome(await person.answer("000000")) == "no_active_challenge"
    assert await person.count("identifiers") == await person.count("events") - 1 == 0


async def test_challenge_id_is_required_by_the_tenant_setting(new_person: NewPerson) -> None:
    person = await new_person(require_challenge_id=True)
    challenge = await person.asked()

    refused = await person.answer(person.code)

    assert (refused.status_code, outcome(refused)) == (422, "validation_failed")
    assert refused.json()["errors"][0]["field"] == "challenge_id"
    assert (await person.answer(person.code, challenge_id=challenge)).status_code == 200


async def test_code_of_another_length_is_invalid(person: Person) -> None:
    await person.asked()

    for code in (person.code + "0", "0" + person.code, person.code[:-1]):
        assert outcome(await person.answer(code)) == "invalid_code"
    assert (await person.answer(person.code)).status_code == 200
