"""Notices about a change to an account."""

from dataclasses import replace

from tests.account.conftest import NewUser
from tests.account.user import AccountUser, new_email
from tests.conftest import Started, new_phone
from tests.support.providers.twilio import reject


async def test_old_number_receives_a_notice_of_the_change(user: AccountUser) -> None:
    old, new = user.identifier, new_phone()

    await user.add(new)

    assert await user.notices() == [("phone_changed", old, "queued")]
    await user.flush()
    assert await user.notices() == [("phone_changed", old, "sent")]
    reported = user.twilio.sent_to(old)[-1]
    assert reported == "The phone number for your MyApp account was changed. If this wasn't you, contact support."
    assert len(user.twilio.sent_to(new)) == 1
    await user.flush()
    assert len(user.twilio.sent_to(old)) == 2, "it is sent once"


async def test_other_channel_receives_notices_of_identifier_changes(user: AccountUser) -> None:
    phone, email = user.identifier, new_email()

    await user.add(email)
    await user.flush()
    assert "An email address was added to your MyApp account." in user.twilio.sent_to(phone)[-1]

    assert (await user.remove("phone")).status_code == 204
    await user.flush()

    mail = user.mail.newest(email)
    assert mail.mail["subject"] == "The phone number was removed from your MyApp account"
    for part in ("plain", "html"):
        assert "The phone number was removed from your MyApp account." in mail.part(part)
        assert "contact support." in mail.part(part)
    assert await user.notices() == [("email_added", phone, "sent"), ("phone_removed", email, "sent")]


async def test_old_address_receives_a_notice_of_the_change(new_user: NewUser) -> None:
    old, new = new_email(), new_email()
    user = await new_user(identifier=old)

    await user.add(new)
    await user.flush()

    assert await user.notices() == [("email_changed", old, "sent")]
    assert "The email address for your MyApp account was changed." in user.mail.newest(old).part("plain")


async def test_notice_is_in_the_tenants_language(user: AccountUser) -> None:
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    await user.api.admin("PATCH", path, {"settings": {"default_locale": "de-AT"}})
    old = user.identifier
    begun = await user.begin(phone := new_phone())
    assert begun.status_code == 200
    code = user.twilio.sent_to(phone)[-1].removeprefix("Mit dem Code ").partition(" ")[0]
    assert (await user.prove(phone, code)).status_code == 200

    await user.flush()

    assert user.twilio.sent_to(old)[-1].startswith("Die Telefonnummer Ihres Kontos bei MyApp wurde geändert.")


async def test_failed_notice_is_an_event_and_uses_no_login_budget(user: AccountUser) -> None:
    old = user.identifier
    await user.flush()
    await user.add(new_phone())
    user.twilio.script.append(reject(21610))

    await user.flush()

    assert await user.notices() == [("phone_changed", old, "failed")]
    [event] = await user.events("message.failed")
    assert '"challenge_id": null' in event["data"]
    await user.log_in(old)


async def test_notice_is_counted_in_the_spending(user: AccountUser) -> None:
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    settings = {"sms_budget_per_day": 1.0, "messages_per_day": 2}  # which the notice goes beyond
    assert (await user.api.admin("PATCH", path, {"settings": settings})).status_code == 200
    await user.add(new_phone())
    counted = "select sum(messages)::int, sum(microdollars)::int from spending where tenant_id = $1"
    budget = "select messages::int, microdollars::int from budgets where tenant_id = $1"
    before = await user.database.fetchrow(counted, user.tenant_id)

    await user.flush()

    notice = await user.database.fetchrow(
        "select price_microdollars, segments, country, state from messages where tenant_id = $1 and notice is not null",
        user.tenant_id,
    )
    assert before is not None
    assert notice is not None
    assert (notice["state"], notice["segments"], notice["country"] is None) == ("sent", 1, False)
    assert notice["price_microdollars"] > 0
    after = await user.database.fetchrow(counted, user.tenant_id)
    assert after is not None
    assert tuple(after) == (before[0] + 1, before[1] + notice["price_microdollars"])
    assert await user.database.fetchrow(budget, user.tenant_id) == after


async def test_notice_is_listed_and_has_the_tenants_sender(user: AccountUser) -> None:
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    settings = {"sms_senders": {"*": {"twilio": "MyApp"}}}
    assert (await user.api.admin("PATCH", path, {"settings": settings})).status_code == 200
    old = user.identifier
    await user.add(new_phone())

    await user.flush()

    [reported] = [request.form for request in user.twilio.requests if request.form.get("To") == old][1:]
    assert reported["From"] == "MyApp"
    assert int(reported["ValidityPeriod"]) == 3600
    listed = await user.api.client.get("/api/tenant/messages", headers={"x-api-key": user.tenant["secret_key"]})
    newest = listed.json()["data"][0]
    assert (newest["notice"], newest["challenge_id"], newest["state"]) == ("phone_changed", None, "sent")


async def test_no_notice_is_queued_for_an_unconfigured_channel(start_app: Started, user: AccountUser) -> None:
    email = new_email()
    await user.add(email)
    user = replace(user, apis=[await start_app()])  # the same database; no mail server

    assert (await user.remove("phone")).status_code == 204

    assert [notice for notice, _, _ in await user.notices()] == ["email_added"]


async def test_outbox_sends_a_queued_code_that_adds_an_identifier(user: AccountUser) -> None:
    phone = new_phone()
    assert (await user.begin(phone)).status_code == 200
    code = user.code(phone)
    await user.database.execute(
        "update messages set state = 'queued', provider = null, attention_at = now()"
        " where tenant_id = $1 and identifier = $2",
        *(user.tenant_id, phone),
    )

    await user.flush()

    assert len(user.twilio.sent_to(phone)) == 2
    assert user.code(phone) == code


async def test_at_most_five_notices_are_sent_per_day(user: AccountUser) -> None:
    phone = user.identifier
    for _ in range(4):
        await user.add(new_email())
        assert (await user.remove("email")).status_code == 204

    assert [to for _, to, _ in await user.notices()] == [phone] * 5
    assert len(await user.events("identifier.added", "identifier.removed")) == 8

    await user.database.execute(
        "update messages set created_at = created_at - interval '1 day' where tenant_id = $1", user.tenant_id
    )
    await user.add(new_email())
    assert len(await user.notices()) == 6
