"""The outbox sends accepted messages once, and does not send expired codes."""

import asyncio
import itertools
from contextlib import ExitStack

import pytest

from auth1.messaging import dispatcher, outbox
from tests.conftest import Door, Started, new_phone
from tests.messaging.conftest import Sender, spread_phones
from tests.messaging.outbox.conftest import queue
from tests.outside.twilio import Request, TwilioServer, hang_up, refuse, take


async def test_message_above_the_in_flight_limit_is_sent_by_the_outbox(sender: Sender, phone: str) -> None:
    await queue(sender, phone)
    row = await sender.message(phone)
    assert (row["state"], row["trying"], row["claimed_until"]) == ("queued", None, None)
    assert sender.handed_over(phone) == []

    await sender.door.services.outbox.run_once()

    [request] = sender.handed_over(phone)
    assert request.form["Body"].startswith("Your MyApp verification code is: ")
    row = await sender.message(phone)
    assert (row["state"], row["provider"], row["trying"]) == ("sent", "twilio", None)
    assert await sender.log_in(phone) == 200


async def test_sent_message_is_not_sent_again_by_the_outbox(sender: Sender, phone: str) -> None:
    await queue(sender, phone)

    for _ in range(3):
        await sender.door.services.outbox.run_once()

    assert len(sender.handed_over(phone)) == 1


async def test_messages_above_the_in_flight_limit_are_sent_exactly_once(sender: Sender, carrier: TwilioServer) -> None:
    phones = spread_phones(10)
    all_asked = asyncio.Event()

    async def wait_for_all(request: Request, writer: asyncio.StreamWriter) -> None:
        await all_asked.wait()
        await take(request, writer)

    carrier.behaviour = wait_for_all
    with ExitStack() as nearly_full:
        for _ in range(dispatcher.MAX_IN_FLIGHT - 3):
            nearly_full.enter_context(sender.door.services.messenger.reserve_capacity("sms", sandbox=False))
        asking = [asyncio.create_task(sender.ask(phone)) for phone in phones]
        # Those for whom there is no room are answered while the others wait for the carrier.
        early = [await next_one for next_one in itertools.islice(asyncio.as_completed(asking), 7)]
        all_asked.set()
        answers = await asyncio.gather(*asking)

    assert [body["status"] for _, body in early] == ["queued"] * 7
    assert sorted(body["status"] for _, body in answers) == ["queued"] * 7 + ["sent"] * 3
    for _ in range(2):
        await sender.door.services.outbox.run_once()
    assert sorted(request.form["To"] for request in carrier.requests) == phones


async def test_racing_outbox_workers_send_each_message_once(
    sender: Sender, other_door: Door, carrier: TwilioServer
) -> None:
    phones = spread_phones(outbox.BATCH + 5)
    for phone in phones:
        await queue(sender, phone)

    workers = [sender.door.services, other_door.services]
    await asyncio.gather(*(worker.outbox.run_once() for worker in workers * 3))

    assert sorted(request.form["To"] for request in carrier.requests) == phones
    for phone in phones:
        assert (await sender.message(phone))["state"] == "sent"


async def test_outbox_sends_the_code_of_the_request(sender: Sender, phone: str) -> None:
    """Two requests before the first send: two messages with one code."""
    await queue(sender, phone)
    await sender.books.do("update identifiers set resend_at = null where identifier = $1", phone)
    await queue(sender, phone)

    await sender.door.services.outbox.run_once()

    first, second = sender.carrier.sent_to(phone)
    assert first == second
    assert await sender.log_in(phone) == 200


async def test_outbox_uses_the_sender_of_the_tenant(sender: Sender, phone: str) -> None:
    sender.tenant = await sender.door.tenant(sms_senders={"*": {"twilio": "MyApp"}})
    await queue(sender, phone)

    await sender.door.services.outbox.run_once()

    [request] = sender.handed_over(phone)
    assert request.form["From"] == "MyApp"
    assert "MessagingServiceSid" not in request.form


async def test_outbox_text_contains_the_remaining_minutes(sender: Sender, phone: str) -> None:
    await queue(sender, phone)
    sql = "update identifiers set code_expires_at = now() + interval '179.5 s' where identifier = $1"
    await sender.books.do(sql, phone)

    await sender.door.services.outbox.run_once()

    [request] = sender.handed_over(phone)
    assert request.form["Body"].endswith("Expires in 3 minutes.")
    assert 60 < int(request.form["ValidityPeriod"]) <= 180


@pytest.mark.parametrize("ending", ["expired", "answered", "replaced", "another secret"])
async def test_expired_or_used_code_is_not_sent(
    sender: Sender, start_app: Started, own_database_url: str, phone: str, ending: str
) -> None:
    worker = sender.door.services
    await queue(sender, phone)
    if ending == "expired":
        await sender.books.do("update identifiers set code_expires_at = now() where identifier = $1", phone)
    elif ending == "answered":
        # The same code reached its owner by a second message, and was answered.
        await sender.books.do("update identifiers set resend_at = null where identifier = $1", phone)
        await sender.ask(phone)
        assert await sender.log_in(phone) == 200
    elif ending == "replaced":
        sql = "update identifiers set code_expires_at = now(), resend_at = null where identifier = $1"
        await sender.books.do(sql, phone)
        await sender.ask(phone)
    else:
        url = sender.carrier.url
        changed = await start_app(JWT_SECRET="x" * 40, DATABASE_URL=own_database_url, TWILIO_API_URL=url)
        worker = changed.services
    sent_before = len(sender.handed_over(phone))

    await worker.outbox.run_once()

    assert len(sender.handed_over(phone)) == sent_before
    row = (await sender.books.messages(sender.id, phone))[0]
    assert (row["state"], row["error"], row["provider_message_id"]) == ("failed", "code_ended", None)
    [(event, data)] = await sender.books.events(sender.id, row["id"])
    assert event == "message.failed"
    assert "code_ended" in data


async def test_failed_outbox_send_is_recorded_and_not_repeated(
    sender: Sender, carrier: TwilioServer, phone: str
) -> None:
    other = new_phone()
    await queue(sender, phone)
    await queue(sender, other)

    async def fail(request: Request, writer: asyncio.StreamWriter) -> None:
        await (refuse(21211) if request.form["To"] == phone else hang_up)(request, writer)

    carrier.behaviour = fail
    for _ in range(2):
        await sender.door.services.outbox.run_once()

    refused, unknown = await sender.message(phone), await sender.message(other)
    assert (refused["state"], refused["error"]) == ("failed", "impossible:21211")
    assert (unknown["state"], unknown["error"]) == ("unknown", "unknown:connection_lost")
    assert (await sender.sends_counted(phone), await sender.sends_counted(other)) == (0, 1)
    assert len(carrier.requests) == 2


async def test_sandbox_message_is_completed_without_sending(sender: Sender, phone: str) -> None:
    await queue(sender, phone, sender.tenant["test_key"])

    await sender.door.services.outbox.run_once()

    assert sender.carrier.requests == []
    row = await sender.books.message(f"{sender.id}:test", phone)
    assert (row["state"], row["provider"]) == ("delivered", "sandbox")


async def test_outbox_runs_in_the_background(
    sender: Sender, start_app: Started, own_database_url: str, phone: str
) -> None:
    await queue(sender, phone)

    await start_app(background=True, DATABASE_URL=own_database_url, TWILIO_API_URL=sender.carrier.url)

    async with asyncio.timeout(30):
        while (await sender.message(phone))["state"] != "sent":  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.05)
    assert len(sender.handed_over(phone)) == 1
