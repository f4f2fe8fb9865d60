"""The outbox sends accepted messages once, and does not send expired codes."""

import asyncio
import itertools
from contextlib import ExitStack

import pytest

from auth1.messaging import dispatcher, outbox
from tests.conftest import Started, new_phone
from tests.messaging.conftest import TenantApp, spread_phones
from tests.messaging.outbox.conftest import queue
from tests.support.api_client import ApiClient
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import Request, TwilioServer, hang_up, reject, take


async def test_message_above_the_in_flight_limit_is_sent_by_the_outbox(app: TenantApp, phone: str) -> None:
    await queue(app, phone)
    row = await app.message(phone)
    assert (row["state"], row["trying"], row["claimed_until"]) == ("queued", None, None)
    assert app.handed_over(phone) == []

    await app.api.services.outbox.run_once()

    [request] = app.handed_over(phone)
    assert request.form["Body"].startswith("Your MyApp verification code is: ")
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["trying"]) == ("sent", "twilio", None)
    assert await app.log_in(phone) == 200


async def test_sent_message_is_not_sent_again_by_the_outbox(app: TenantApp, phone: str) -> None:
    await queue(app, phone)

    for _ in range(3):
        await app.api.services.outbox.run_once()

    assert len(app.handed_over(phone)) == 1


async def test_messages_above_the_in_flight_limit_are_sent_exactly_once(app: TenantApp, carrier: TwilioServer) -> None:
    phones = spread_phones(10)
    all_requested = asyncio.Event()

    async def wait_for_all(request: Request, writer: asyncio.StreamWriter) -> None:
        await all_requested.wait()
        await take(request, writer)

    carrier.behaviour = wait_for_all
    with ExitStack() as nearly_full:
        for _ in range(dispatcher.MAX_IN_FLIGHT - 3):
            nearly_full.enter_context(app.api.services.messenger.reserve_capacity())
        asking = [asyncio.create_task(app.ask(phone)) for phone in phones]
        # Requests above the limit are answered while the others wait for the carrier.
        early = [await next_one for next_one in itertools.islice(asyncio.as_completed(asking), 7)]
        all_requested.set()
        answers = await asyncio.gather(*asking)

    assert [body["status"] for _, body in early] == ["queued"] * 7
    assert sorted(body["status"] for _, body in answers) == ["queued"] * 7 + ["sent"] * 3
    for _ in range(2):
        await app.api.services.outbox.run_once()
    assert sorted(request.form["To"] for request in carrier.requests) == phones


async def test_racing_outbox_workers_send_each_message_once(
    app: TenantApp, other_api: ApiClient, carrier: TwilioServer
) -> None:
    phones = spread_phones(outbox.BATCH + 5)
    for phone in phones:
        await queue(app, phone)

    workers = [app.api.services, other_api.services]
    await asyncio.gather(*(worker.outbox.run_once() for worker in workers * 3))

    assert sorted(request.form["To"] for request in carrier.requests) == phones
    for phone in phones:
        assert (await app.message(phone))["state"] == "sent"


async def test_outbox_sends_the_code_of_the_request(app: TenantApp, phone: str) -> None:
    """Two requests before the first send: two messages with one code."""
    await queue(app, phone)
    await end_resend_delay(app.message_db.connection, phone)
    await queue(app, phone)

    await app.api.services.outbox.run_once()

    first, second = app.carrier.sent_to(phone)
    assert first == second
    assert await app.log_in(phone) == 200


async def test_outbox_uses_the_sender_of_the_tenant(app: TenantApp, phone: str) -> None:
    app.tenant = await app.api.tenant(sms_senders={"*": {"twilio": "MyApp"}})
    await queue(app, phone)

    await app.api.services.outbox.run_once()

    [request] = app.handed_over(phone)
    assert request.form["From"] == "MyApp"
    assert "MessagingServiceSid" not in request.form


async def test_outbox_text_contains_the_remaining_minutes(app: TenantApp, phone: str) -> None:
    await queue(app, phone)
    sql = "update identifiers set code_expires_at = now() + interval '179.5 s' where identifier = $1"
    await app.message_db.do(sql, phone)

    await app.api.services.outbox.run_once()

    [request] = app.handed_over(phone)
    assert request.form["Body"].endswith("Expires in 3 minutes.")
    assert 60 < int(request.form["ValidityPeriod"]) <= 180


@pytest.mark.parametrize("ending", ["expired", "answered", "replaced", "another secret"])
async def test_expired_or_used_code_is_not_sent(
    app: TenantApp, start_app: Started, own_database_url: str, phone: str, ending: str
) -> None:
    worker = app.api.services
    await queue(app, phone)
    if ending == "expired":
        await app.message_db.do("update identifiers set code_expires_at = now() where identifier = $1", phone)
    elif ending == "answered":
        # The same code reached its owner by a second message, and was answered.
        await end_resend_delay(app.message_db.connection, phone)
        await app.ask(phone)
        assert await app.log_in(phone) == 200
    elif ending == "replaced":
        await app.message_db.do("update identifiers set code_expires_at = now() where identifier = $1", phone)
        await end_resend_delay(app.message_db.connection, phone)
        await app.ask(phone)
    else:
        url = app.carrier.url
        changed = await start_app(JWT_SECRET="x" * 40, DATABASE_URL=own_database_url, TWILIO_API_URL=url)
        worker = changed.services
    sent_before = len(app.handed_over(phone))

    await worker.outbox.run_once()

    assert len(app.handed_over(phone)) == sent_before
    row = (await app.message_db.messages(app.id, phone))[0]
    assert (row["state"], row["error"], row["provider_message_id"]) == ("failed", "code_ended", None)
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.failed"
    assert "code_ended" in data


async def test_failed_outbox_send_is_recorded_and_not_repeated(
    app: TenantApp, carrier: TwilioServer, phone: str
) -> None:
    other = new_phone()
    await queue(app, phone)
    await queue(app, other)

    async def fail(request: Request, writer: asyncio.StreamWriter) -> None:
        await (reject(21211) if request.form["To"] == phone else hang_up)(request, writer)

    carrier.behaviour = fail
    for _ in range(2):
        await app.api.services.outbox.run_once()

    rejected, unknown = await app.message(phone), await app.message(other)
    assert (rejected["state"], rejected["error"]) == ("failed", "impossible:21211")
    assert (unknown["state"], unknown["error"]) == ("unknown", "unknown:connection_lost")
    assert (await app.sends_counted(phone), await app.sends_counted(other)) == (0, 1)
    assert len(carrier.requests) == 2


async def test_sandbox_message_is_completed_without_sending(app: TenantApp, phone: str) -> None:
    await queue(app, phone, app.tenant["test_key"])

    await app.api.services.outbox.run_once()

    assert app.carrier.requests == []
    row = await app.message_db.message(f"{app.id}:test", phone)
    assert (row["state"], row["provider"]) == ("delivered", "sandbox")


async def test_outbox_runs_in_the_background(
    app: TenantApp, start_app: Started, own_database_url: str, phone: str
) -> None:
    await queue(app, phone)

    await start_app(background=True, DATABASE_URL=own_database_url, TWILIO_API_URL=app.carrier.url)

    async with asyncio.timeout(300):
        while (await app.message(phone))["state"] != "sent":  # noqa: ASYNC110  # the database sends no notification
            await asyncio.sleep(0.05)
    assert len(app.handed_over(phone)) == 1
