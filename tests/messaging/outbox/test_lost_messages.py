"""The outbox settles messages of crashed processes and deliveries that could not be recorded."""

import asyncio

import asyncpg

from tests.conftest import new_phone
from tests.messaging.conftest import TenantApp
from tests.messaging.outbox.conftest import queue
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Request, take

CLAIM_HAS_RUN_OUT = """
update messages set claimed_until = now() - interval '1 s', attention_at = now() where identifier = $1
"""


async def hold_in_hand(app: TenantApp, phone: str) -> None:
    """Leave a message as a process does that dies between the commit and the provider's response."""
    await queue(app, phone)
    sql = "update messages set trying = 'twilio', claimed_until = now() + interval '15 s' where identifier = $1"
    await app.message_db.do(sql, phone)
    await app.message_db.do("update identifiers set resend_at = now() + interval '30 s' where identifier = $1", phone)


async def test_message_of_a_crashed_process_becomes_unknown_and_is_not_resent(app: TenantApp, phone: str) -> None:
    await hold_in_hand(app, phone)
    await app.api.services.outbox.run_once()
    assert (await app.message(phone))["state"] == "queued"  # its process may be alive

    await app.message_db.do(CLAIM_HAS_RUN_OUT, phone)
    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["error"], row["provider"]) == ("unknown", "process_lost", "twilio")
    assert (row["trying"], row["claimed_until"]) == (None, None)
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.unknown"
    assert "process_lost" in data
    assert app.handed_over(phone) == []

    # A new request is allowed immediately; the send that may have happened counts.
    assert (await app.ask(phone))[0] == 200
    assert await app.sends_counted(phone) == 2
    assert await app.log_in(phone) == 200


async def test_two_workers_mark_a_lost_message_unknown_once(app: TenantApp, other_api: ApiClient) -> None:
    phones = [new_phone() for _ in range(8)]
    for phone in phones:
        await hold_in_hand(app, phone)
        await app.message_db.do(CLAIM_HAS_RUN_OUT, phone)

    workers = [app.api.services, other_api.services]
    await asyncio.gather(*(worker.outbox.run_once() for worker in workers * 2))

    for phone in phones:
        row = await app.message(phone)
        assert row["state"] == "unknown"
        assert len(await app.message_db.events(app.id, row["id"])) == 1


async def test_late_provider_response_does_not_change_a_settled_message(app: TenantApp, phone: str) -> None:
    """The process is slow: Twilio's response arrives twenty seconds later."""

    async def settle_first(request: Request, writer: asyncio.StreamWriter) -> None:
        await app.message_db.do(CLAIM_HAS_RUN_OUT, phone)
        await app.api.services.outbox.run_once()
        await take(request, writer)

    app.carrier.script.append(settle_first)

    status, _ = await app.ask(phone)

    assert status == 200
    row = await app.message(phone)
    assert (row["state"], row["error"]) == ("unknown", "process_lost")
    assert len(await app.message_db.events(app.id, row["id"])) == 1


async def test_delivery_is_recorded_later_when_the_row_is_locked(
    app: TenantApp, own_database_url: str, phone: str
) -> None:
    """The row is locked for longer than the statement timeout when Twilio accepts the message."""
    locker = await asyncpg.connect(own_database_url)
    lock = locker.transaction()

    async def lock_and_take(request: Request, writer: asyncio.StreamWriter) -> None:
        await lock.start()
        await locker.execute("select from messages where identifier = $1 for update", phone)
        await take(request, writer)

    app.carrier.script.append(lock_and_take)

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    assert (await app.message(phone))["state"] == "queued"
    await lock.rollback()
    await locker.close()

    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["provider"]) == ("sent", "twilio")
    assert row["provider_message_id"].startswith("SM")
    assert len(app.handed_over(phone)) == 1
