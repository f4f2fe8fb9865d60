"""The outbox: what was accepted and not sent is sent once; what nobody can know is settled; what has ended is not sent.

The database is this file's own: the outbox takes whatever it finds, also messages of other tests.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import ExitStack

import asyncpg
import pytest

from auth1.challenges import outbox
from auth1.core.migrate import migrate
from auth1.dev.postgres import PostgresServer
from auth1.messaging import send
from tests.conftest import Door, Started, new_phone
from tests.messaging.conftest import Books, Sender, spread_phones
from tests.outside.twilio import Request, TwilioServer, hang_up, refuse, take

BIRTHS = "update messages set claimed_until = now() - interval '1 s' where identifier = $1"  # its claim has run out


@pytest.fixture(scope="module")
async def own_database_url(postgres_server: PostgresServer) -> str:
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute("create database auth1_outbox")
    await connection.close()
    await migrate(postgres_server.url("auth1_outbox"))
    return postgres_server.url("auth1_outbox")


@pytest.fixture(scope="module")
async def books(own_database_url: str) -> AsyncIterator[Books]:
    connection = await asyncpg.connect(own_database_url)
    yield Books(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def module_door(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Door:
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


@pytest.fixture(scope="module")
async def other_door(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Door:
    """Another worker."""
    return await start_app(TWILIO_API_URL=module_carrier.url, DATABASE_URL=own_database_url)


async def queue(sender: Sender, phone: str, api_key: str | None = None) -> None:
    """Ask for a code while as many messages as there is room for are under way."""
    with ExitStack() as full:
        for _ in range(send.MAX_IN_FLIGHT):
            full.enter_context(sender.door.services.messenger.reserve("sms", sandbox=False))
        asked = await sender.door.post("/api/auth/request", {"phone": phone}, api_key or sender.tenant["api_key"])
        assert (asked.status_code, asked.json()["status"]) == (200, "queued"), asked.text


async def test_a_message_for_which_there_was_no_room_is_sent_later(sender: Sender, phone: str) -> None:
    await queue(sender, phone)
    row = await sender.message(phone)
    assert (row["state"], row["trying"], row["claimed_until"]) == ("queued", None, None)
    assert sender.handed_over(phone) == []

    await outbox.finish(sender.door.services)

    [request] = sender.handed_over(phone)
    assert request.form["Body"].startswith("Your MyApp verification code is: ")
    row = await sender.message(phone)
    assert (row["state"], row["provider"], row["trying"]) == ("sent", "twilio", None)
    assert await sender.log_in(phone) == 200


async def test_what_was_sent_is_not_sent_again(sender: Sender, phone: str) -> None:
    await queue(sender, phone)

    for _ in range(3):
        await outbox.finish(sender.door.services)

    assert len(sender.handed_over(phone)) == 1


async def test_with_more_in_flight_than_there_is_room_for_every_message_is_sent_exactly_once(
    sender: Sender, carrier: TwilioServer
) -> None:
    phones = spread_phones(10)
    all_asked = asyncio.Event()

    async def wait_for_all(request: Request, writer: asyncio.StreamWriter) -> None:
        await all_asked.wait()
        await take(request, writer)

    carrier.behaviour = wait_for_all
    with ExitStack() as nearly_full:
        for _ in range(send.MAX_IN_FLIGHT - 3):
            nearly_full.enter_context(sender.door.services.messenger.reserve("sms", sandbox=False))
        asking = [asyncio.create_task(sender.ask(phone)) for phone in phones]
        # Those for whom there is no room are answered while the others wait for the carrier.
        early = [await next_one for next_one in itertools.islice(asyncio.as_completed(asking), 7)]
        all_asked.set()
        answers = await asyncio.gather(*asking)

    assert [body["status"] for _, body in early] == ["queued"] * 7
    assert sorted(body["status"] for _, body in answers) == ["queued"] * 7 + ["sent"] * 3
    for _ in range(2):
        await outbox.finish(sender.door.services)
    assert sorted(request.form["To"] for request in carrier.requests) == phones


async def test_two_workers_that_race_send_each_message_once(
    sender: Sender, other_door: Door, carrier: TwilioServer
) -> None:
    phones = spread_phones(outbox.BATCH + 5)
    for phone in phones:
        await queue(sender, phone)

    workers = [sender.door.services, other_door.services]
    await asyncio.gather(*(outbox.finish(worker) for worker in workers * 3))

    assert sorted(request.form["To"] for request in carrier.requests) == phones
    for phone in phones:
        assert (await sender.message(phone))["state"] == "sent"


async def test_the_code_that_is_sent_late_is_the_one_that_was_asked_for(sender: Sender, phone: str) -> None:
    """Asked for twice before anything was sent: two messages, one code."""
    await queue(sender, phone)
    await sender.books.do("update identifiers set resend_at = null where identifier = $1", phone)
    await queue(sender, phone)

    await outbox.finish(sender.door.services)

    first, second = sender.carrier.sent_to(phone)
    assert first == second
    assert await sender.log_in(phone) == 200


async def test_the_text_tells_the_minutes_that_remain(sender: Sender, phone: str) -> None:
    await queue(sender, phone)
    sql = "update identifiers set code_expires_at = now() + interval '179.5 s' where identifier = $1"
    await sender.books.do(sql, phone)

    await outbox.finish(sender.door.services)

    [request] = sender.handed_over(phone)
    assert request.form["Body"].endswith("Expires in 3 minutes.")
    assert 60 < int(request.form["ValidityPeriod"]) <= 180


@pytest.mark.parametrize("ending", ["expired", "answered", "replaced", "another secret"])
async def test_a_code_that_has_ended_is_not_sent(
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

    await outbox.finish(worker)

    assert len(sender.handed_over(phone)) == sent_before
    row = (await sender.books.messages(sender.id, phone))[0]
    assert (row["state"], row["error"], row["provider_message_id"]) == ("failed", "code_ended", None)
    [(event, data)] = await sender.books.events(sender.id, row["id"])
    assert event == "message.failed"
    assert "code_ended" in data


async def test_what_a_dead_process_was_handing_over_becomes_unknown_and_is_not_sent_again(
    sender: Sender, phone: str
) -> None:
    await hold_in_hand(sender, phone)
    await outbox.finish(sender.door.services)
    assert (await sender.message(phone))["state"] == "queued"  # its process may be alive

    await sender.books.do(BIRTHS, phone)
    await outbox.finish(sender.door.services)

    row = await sender.message(phone)
    assert (row["state"], row["error"], row["provider"]) == ("unknown", "process_lost", "twilio")
    assert (row["trying"], row["claimed_until"]) == (None, None)
    [(event, data)] = await sender.books.events(sender.id, row["id"])
    assert event == "message.unknown"
    assert "process_lost" in data
    assert sender.handed_over(phone) == []

    # Asking again is open at once; the send that may have happened counts.
    assert (await sender.ask(phone))[0] == 200
    assert await sender.sends_counted(phone) == 2
    assert await sender.log_in(phone) == 200


async def test_only_one_of_two_workers_settles_a_lost_message(sender: Sender, other_door: Door) -> None:
    phones = [new_phone() for _ in range(8)]
    for phone in phones:
        await hold_in_hand(sender, phone)
        await sender.books.do(BIRTHS, phone)

    workers = [sender.door.services, other_door.services]
    await asyncio.gather(*(outbox.finish(worker) for worker in workers * 2))

    for phone in phones:
        row = await sender.message(phone)
        assert row["state"] == "unknown"
        assert len(await sender.books.events(sender.id, row["id"])) == 1


async def test_a_late_report_does_not_change_what_was_settled(sender: Sender, phone: str) -> None:
    """The process was not dead but slow: twenty seconds later it comes back with Twilio's answer."""

    async def settle_first(request: Request, writer: asyncio.StreamWriter) -> None:
        await sender.books.do(BIRTHS, phone)
        await outbox.finish(sender.door.services)
        await take(request, writer)

    sender.carrier.script.append(settle_first)

    status, _ = await sender.ask(phone)

    assert status == 200
    row = await sender.message(phone)
    assert (row["state"], row["error"]) == ("unknown", "process_lost")
    assert len(await sender.books.events(sender.id, row["id"])) == 1


async def test_an_outbox_send_that_fails_is_recorded_and_not_repeated(
    sender: Sender, carrier: TwilioServer, phone: str
) -> None:
    other = new_phone()
    await queue(sender, phone)
    await queue(sender, other)

    async def fail(request: Request, writer: asyncio.StreamWriter) -> None:
        await (refuse(21211) if request.form["To"] == phone else hang_up)(request, writer)

    carrier.behaviour = fail
    for _ in range(2):
        await outbox.finish(sender.door.services)

    refused, unknown = await sender.message(phone), await sender.message(other)
    assert (refused["state"], refused["error"]) == ("failed", "impossible:21211")
    assert (unknown["state"], unknown["error"]) == ("unknown", "unknown:connection_lost")
    assert (await sender.sends_counted(phone), await sender.sends_counted(other)) == (0, 1)
    assert len(carrier.requests) == 2


async def test_a_sandbox_message_is_finished_without_sending(sender: Sender, phone: str) -> None:
    await queue(sender, phone, sender.tenant["test_key"])

    await outbox.finish(sender.door.services)

    assert sender.carrier.requests == []
    row = await sender.books.message(f"{sender.id}:test", phone)
    assert (row["state"], row["provider"]) == ("sent", "sandbox")


async def test_a_delivery_that_could_not_be_recorded_is_recorded_later(
    sender: Sender, own_database_url: str, phone: str
) -> None:
    """The row is locked for longer than a statement may take, just when Twilio has taken the message."""
    locker = await asyncpg.connect(own_database_url)
    lock = locker.transaction()

    async def lock_and_take(request: Request, writer: asyncio.StreamWriter) -> None:
        await lock.start()
        await locker.execute("select from messages where identifier = $1 for update", phone)
        await take(request, writer)

    sender.carrier.script.append(lock_and_take)

    status, asked = await sender.ask(phone)

    assert (status, asked["status"]) == (200, "sent")
    assert (await sender.message(phone))["state"] == "queued"
    await lock.rollback()
    await locker.close()

    await outbox.finish(sender.door.services)

    row = await sender.message(phone)
    assert (row["state"], row["provider"]) == ("sent", "twilio")
    assert row["provider_message_id"].startswith("SM")
    assert len(sender.handed_over(phone)) == 1


async def test_the_outbox_runs_by_itself(sender: Sender, start_app: Started, own_database_url: str, phone: str) -> None:
    await queue(sender, phone)

    await start_app(background=True, DATABASE_URL=own_database_url, TWILIO_API_URL=sender.carrier.url)

    async with asyncio.timeout(30):
        while (await sender.message(phone))["state"] != "sent":  # noqa: ASYNC110  # the database tells nobody
            await asyncio.sleep(0.05)
    assert len(sender.handed_over(phone)) == 1


async def hold_in_hand(sender: Sender, phone: str) -> None:
    """Leave behind what a process leaves that dies between the commit and the provider's answer."""
    await queue(sender, phone)
    sql = "update messages set trying = 'twilio', claimed_until = now() + interval '15 s' where identifier = $1"
    await sender.books.do(sql, phone)
    await sender.books.do("update identifiers set resend_at = now() + interval '30 s' where identifier = $1", phone)
