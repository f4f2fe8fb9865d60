"""Notices about a change to an account."""

from tests.account.conftest import NewMember
from tests.account.member import Member, new_email
from tests.conftest import Started, new_phone
from tests.outside.twilio import refuse


async def test_old_number_receives_a_notice_of_the_change(member: Member) -> None:
    old, new = member.identifier, new_phone()

    await member.add(new)

    assert await member.notices() == [("phone_changed", old, "queued")]
    await member.flush()
    assert await member.notices() == [("phone_changed", old, "sent")]
    told = member.twilio.sent_to(old)[-1]
    assert told == "The phone number for your MyApp account was changed. If this wasn't you, contact support."
    assert len(member.twilio.sent_to(new)) == 1
    await member.flush()
    assert len(member.twilio.sent_to(old)) == 2, "it is sent once"


async def test_other_channel_receives_notices_of_identifier_changes(member: Member) -> None:
    phone, email = member.identifier, new_email()

    await member.add(email)
    await member.flush()
    assert "An email address was added to your MyApp account." in member.twilio.sent_to(phone)[-1]

    assert (await member.remove("phone")).status_code == 204
    await member.flush()

    mail = member.mail.newest(email)
    assert mail.mail["subject"] == "The phone number was removed from your MyApp account."
    for part in ("plain", "html"):
        assert "The phone number was removed from your MyApp account." in mail.part(part)
        assert "contact support." in mail.part(part)
    assert await member.notices() == [("email_added", phone, "sent"), ("phone_removed", email, "sent")]


async def test_old_address_receives_a_notice_of_the_change(new_member: NewMember) -> None:
    old, new = new_email(), new_email()
    member = await new_member(identifier=old)

    await member.add(new)
    await member.flush()

    assert await member.notices() == [("email_changed", old, "sent")]
    assert "The email address for your MyApp account was changed." in member.mail.newest(old).part("plain")


async def test_notice_is_in_the_tenants_language(member: Member) -> None:
    path = f"/api/admin/tenants/{member.tenant['tenant_id']}"
    await member.door.admin("PATCH", path, {"settings": {"default_locale": "de-AT"}})
    old = member.identifier
    begun = await member.begin(phone := new_phone())
    assert begun.status_code == 200
    code = member.twilio.sent_to(phone)[-1].partition("lautet: ")[2].partition(".")[0]
    assert (await member.prove(phone, code)).status_code == 200

    await member.flush()

    assert member.twilio.sent_to(old)[-1].startswith("Die Telefonnummer Ihres Kontos bei MyApp wurde geändert.")


async def test_failed_notice_is_an_event_and_uses_no_login_budget(member: Member) -> None:
    old = member.identifier
    await member.flush()
    await member.add(new_phone())
    member.twilio.script.append(refuse(21610))

    await member.flush()

    assert await member.notices() == [("phone_changed", old, "failed")]
    [event] = await member.events("message.failed")
    assert '"challenge_id": null' in event["data"]
    await member.log_in(old)


async def test_notice_is_counted_in_the_spending(member: Member) -> None:
    path = f"/api/admin/tenants/{member.tenant['tenant_id']}"
    settings = {"sms_budget_per_day": 1.0, "messages_per_day": 2}  # which the notice goes beyond
    assert (await member.door.admin("PATCH", path, {"settings": settings})).status_code == 200
    await member.add(new_phone())
    counted = "select sum(messages)::int, sum(microdollars)::int from spending where tenant_id = $1"
    budget = "select messages::int, microdollars::int from budgets where tenant_id = $1"
    before = await member.database.fetchrow(counted, member.tenant_id)

    await member.flush()

    notice = await member.database.fetchrow(
        "select price_microdollars, segments, country, state from messages where tenant_id = $1 and notice is not null",
        member.tenant_id,
    )
    assert before is not None
    assert notice is not None
    assert (notice["state"], notice["segments"], notice["country"] is None) == ("sent", 1, False)
    assert notice["price_microdollars"] > 0
    after = await member.database.fetchrow(counted, member.tenant_id)
    assert after is not None
    assert tuple(after) == (before[0] + 1, before[1] + notice["price_microdollars"])
    assert await member.database.fetchrow(budget, member.tenant_id) == after


async def test_notice_is_listed_and_has_the_tenants_sender(member: Member) -> None:
    path = f"/api/admin/tenants/{member.tenant['tenant_id']}"
    settings = {"sms_senders": {"*": {"twilio": "MyApp"}}}
    assert (await member.door.admin("PATCH", path, {"settings": settings})).status_code == 200
    old = member.identifier
    await member.add(new_phone())

    await member.flush()

    [told] = [request.form for request in member.twilio.requests if request.form.get("To") == old][1:]
    assert told["From"] == "MyApp"
    assert int(told["ValidityPeriod"]) == 3600
    listed = await member.door.client.get("/api/tenant/messages", headers={"x-api-key": member.tenant["secret_key"]})
    newest = listed.json()["data"][0]
    assert (newest["notice"], newest["challenge_id"], newest["state"]) == ("phone_changed", None, "sent")


async def test_no_notice_is_queued_for_an_unconfigured_channel(start_app: Started, member: Member) -> None:
    email = new_email()
    await member.add(email)
    member.door = await start_app()  # the same database; no mail server

    assert (await member.remove("phone")).status_code == 204

    assert [notice for notice, _, _ in await member.notices()] == ["email_added"]


async def test_outbox_sends_a_queued_code_that_adds_an_identifier(member: Member) -> None:
    phone = new_phone()
    assert (await member.begin(phone)).status_code == 200
    code = member.code(phone)
    await member.database.execute(
        "update messages set state = 'queued', provider = null where tenant_id = $1 and identifier = $2",
        *(member.tenant_id, phone),
    )

    await member.flush()

    assert len(member.twilio.sent_to(phone)) == 2
    assert member.code(phone) == code


async def test_at_most_five_notices_are_sent_per_day(member: Member) -> None:
    phone = member.identifier
    for _ in range(4):
        await member.add(new_email())
        assert (await member.remove("email")).status_code == 204

    assert [to for _, to, _ in await member.notices()] == [phone] * 5
    assert len(await member.events("identifier.added", "identifier.removed")) == 8

    await member.database.execute(
        "update messages set created_at = created_at - interval '1 day' where tenant_id = $1", member.tenant_id
    )
    await member.add(new_email())
    assert len(await member.notices()) == 6
