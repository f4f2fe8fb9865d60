"""Undelivered messages are retried by another provider: once, and only if the tenant enables it."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.errors import Unavailable
from auth1.events.log import EventContext
from auth1.messaging import store
from auth1.messaging.store import Delivery
from tests.conftest import Door, Started, new_phone
from tests.messaging.callbacks import UNDELIVERED, Report
from tests.messaging.conftest import APP_URL, Books, Sender
from tests.messaging.sns.conftest import environment
from tests.outside import sns as aws
from tests.outside.sns import SnsServer
from tests.outside.twilio import Request, TwilioServer, hang_up, refuse, take

Start = Callable[..., Awaitable[Door]]
LATER = "update messages set retry_at = retry_at - interval '10 s' where identifier = $1"


@pytest.fixture(scope="module")
async def start(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Start:
    """Start an instance with Twilio and the console as providers."""

    async def with_both(**changes: str) -> Door:
        settings = {"DATABASE_URL": own_database_url, "TWILIO_API_URL": module_carrier.url, "APP_URL": APP_URL}
        return await start_app(**settings | {"SMS_PROVIDERS": "twilio,console"} | changes)

    return with_both


@pytest.fixture(scope="module")
async def module_door(start: Start) -> Door:
    return await start()


@pytest.fixture(scope="module")
async def other_door(start: Start) -> Door:
    """Return another instance."""
    return await start()


@pytest.fixture
async def sender(sender: Sender) -> Sender:
    """Return a tenant with both kinds of retry and a budget."""
    wanted = {"retry_undelivered": True, "retry_unreported_after": 10, "sms_budget_per_day": 1}
    sender.tenant = await sender.door.tenant(**wanted)
    return sender


def report(sender: Sender, phone: str, status: str, **more: str) -> Report:
    return Report(sender.handed_over(phone)[-1].form["StatusCallback"], status, more=more)


async def printed(door: Door, phone: str) -> list[str]:
    """Return the texts that the console printed for a number."""
    return [line for line in (await door.log()).splitlines() if f"message to {phone}: " in line]


async def only(sender: Sender, phone: str) -> asyncpg.Record:
    """Return the message to a number that has no retry."""
    await sender.door.services.outbox.run_once()
    assert await printed(sender.door, phone) == []
    return await sender.message(phone)


async def spent(sender: Sender) -> list[tuple[int, int]]:
    """Return messages and microdollars of the reports and of the tenant's budget."""
    spending = "select sum(messages)::int, sum(microdollars)::int from spending where tenant_id = $1"
    budget = "select messages::int, microdollars::int from budgets where tenant_id = $1"
    rows = [await sender.books.connection.fetchrow(sql, sender.id) for sql in (spending, budget)]
    return [(row[0], row[1]) for row in rows if row is not None]


async def status_of(sender: Sender, challenge_id: str) -> dict[str, object]:
    headers = {"x-api-key": sender.tenant["secret_key"]}
    answer = await sender.door.client.get(f"/api/auth/challenges/{challenge_id}", headers=headers)
    found: dict[str, object] = answer.json()["message"]
    return found


async def test_undelivered_message_is_retried_by_next_provider_with_same_code(
    sender: Sender, phone: str, url: str
) -> None:
    await sender.books.do("update messages set segments = 2, price_microdollars = 15800 where identifier = $1", phone)
    before = await spent(sender)
    assert len(before) == 2

    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    for _ in range(3):
        await sender.door.services.outbox.run_once()

    first, second = await sender.books.messages(sender.id, phone)
    assert (first["state"], first["error"], first["retry_at"]) == ("failed", "undelivered:30003", None)
    assert (second["state"], second["provider"]) == ("sent", "console")
    assert (second["retry_of"], second["avoid"]) == (first["id"], ["twilio"])
    for name in ("challenge_id", "country", "segments", "price_microdollars", "price_source"):
        assert second[name] == first[name]
    assert first["country"] == "US"
    for (messages, microdollars), (of_one, cost_of_one) in zip(await spent(sender), before, strict=True):
        assert (messages, microdollars) == (of_one + 1, cost_of_one + 15800)
    [text] = await printed(sender.door, phone)
    assert f" {sender.carrier.code_for(phone)}. " in text
    events = await sender.books.events(sender.id, first["id"])
    assert [event for event, _ in events] == ["message.failed", "message.retried"]
    assert second["id"] in events[1][1]
    assert await sender.books.events(sender.id, second["id"]) == []
    assert '"type":"message.retried"' in await sender.door.log()

    told = await status_of(sender, first["challenge_id"])
    assert (told["message_id"], told["state"]) == (second["id"], "sent")
    assert await sender.sends_counted(phone) == 1  # the person asked once
    assert await sender.log_in(phone) == 200


async def test_message_that_twilio_did_not_deliver_is_retried_by_sns(
    start: Start, carrier: TwilioServer, books: Books, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SnsServer() as sns:
        environment(monkeypatch, sns)
        sns.behaviour = aws.take
        door = await start(SMS_PROVIDERS="twilio,sns", AWS_ENDPOINT_URL_SNS=sns.url)
        sender = Sender(door, carrier, books, await door.tenant(retry_undelivered=True))
        carrier.behaviour = refuse(20429, 429)
        # aioboto3 is loaded by the first message that needs it.
        while (await sender.ask(new_phone()))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        carrier.behaviour = take
        await sender.ask(phone)

        await report(sender, phone, "failed", ErrorCode="30008").send(door)
        await door.services.outbox.run_once()

        [text] = sns.sent_to(phone)
        assert text == sender.handed_over(phone)[-1].form["Body"]
        assert [row["provider"] for row in await books.messages(sender.id, phone)] == ["twilio", "sns"]


async def test_no_retry_without_the_retry_undelivered_setting(sender: Sender, phone: str) -> None:
    sender.tenant = await sender.door.tenant()
    assert sender.tenant["settings"]["retry_undelivered"] is False
    assert sender.tenant["settings"]["retry_unreported_after"] is None
    await sender.ask(phone)
    assert (await only(sender, phone))["retry_at"] is None

    await report(sender, phone, "undelivered", **UNDELIVERED).send(sender.door)

    assert (await only(sender, phone))["state"] == "failed"


@pytest.mark.parametrize("code", [21211, 21217, 21614, 30005, 30006, 21610, 30004, 30007, 30450, None])
async def test_permanent_delivery_error_is_not_retried(sender: Sender, phone: str, url: str, code: int | None) -> None:
    """An invalid number, an opted-out recipient, a filtered text, a cancelled message."""
    status, more = ("undelivered", {"ErrorCode": str(code)}) if code is not None else ("canceled", {})

    await Report(url, status, more=more).send(sender.door)
    await sender.books.do(LATER, phone)  # it was reported: silence is no reason either

    assert (await only(sender, phone))["state"] == "failed"


@pytest.mark.parametrize("meanwhile", ["answered", "ended", "nearly ended", "asked again", "suspended", "unwanted"])
async def test_unneeded_code_is_not_retried(sender: Sender, phone: str, url: str, meanwhile: str) -> None:
    match meanwhile:
        case "answered":
            assert await sender.log_in(phone) == 200
        case "ended":
            await sender.books.do("update identifiers set code_expires_at = now() where identifier = $1", phone)
        case "nearly ended":
            sql = "update identifiers set code_expires_at = now() + interval '29 s' where identifier = $1"
            await sender.books.do(sql, phone)
        case "asked again":
            await sender.books.do("update identifiers set resend_at = null where identifier = $1", phone)
            assert (await sender.ask(phone))[0] == 200
        case "suspended":
            await sender.door.admin("POST", f"/api/admin/tenants/{sender.id}/suspend")
    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    if meanwhile == "unwanted":
        settings = {"settings": {"retry_undelivered": None}}
        await sender.door.admin("PATCH", f"/api/admin/tenants/{sender.id}", settings)

    await sender.door.services.outbox.run_once()

    assert await printed(sender.door, phone) == []
    assert all(row["retry_of"] is None for row in await sender.books.messages(sender.id, phone))


async def test_code_verified_before_the_retry_is_sent_cancels_the_retry(sender: Sender, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    await store.retry_messages(sender.door.services.postgres, ["twilio", "console"], 100)
    assert await sender.log_in(phone) == 200

    await sender.door.services.outbox.run_once()

    _, second = await sender.books.messages(sender.id, phone)
    assert (second["state"], second["error"]) == ("failed", "code_ended")
    assert await printed(sender.door, phone) == []


async def test_missing_delivery_report_triggers_a_retry(sender: Sender, phone: str, url: str) -> None:
    await Report(url, "sent").send(sender.door)  # which is not the last word
    sent = await only(sender, phone)
    assert (sent["retry_at"] - sent["updated_at"]).total_seconds() == 10

    await sender.books.do(LATER, phone)
    for _ in range(3):
        await sender.door.services.outbox.run_once()

    first, second = await sender.books.messages(sender.id, phone)
    assert (first["state"], second["state"], second["provider"]) == ("sent", "sent", "console")
    [(event, data)] = await sender.books.events(sender.id, first["id"])
    assert event == "message.retried"
    assert '"reason": "no_receipt"' in data
    # The first does not arrive, or does after all: there is no third, and the challenge tells the better news.
    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    await sender.door.services.outbox.run_once()
    assert len(await sender.books.messages(sender.id, phone)) == 2
    assert (await status_of(sender, first["challenge_id"]))["message_id"] == second["id"]
    await Report(url, "delivered").send(sender.door)
    told = await status_of(sender, first["challenge_id"])
    assert (told["message_id"], told["state"]) == (first["id"], "delivered")


async def test_delivered_message_is_not_retried(sender: Sender, phone: str, url: str) -> None:
    await Report(url, "delivered").send(sender.door)
    await sender.books.do(LATER, phone)

    row = await only(sender, phone)

    assert (row["state"], row["retry_at"]) == ("delivered", None)
    assert row["delivered_at"] >= row["created_at"]


async def test_delivery_before_the_retry_is_sent_cancels_the_retry(sender: Sender, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    await store.retry_messages(sender.door.services.postgres, ["twilio", "console"], 100)
    await Report(url, "delivered").send(sender.door)

    await sender.door.services.outbox.run_once()

    first, second = await sender.books.messages(sender.id, phone)
    assert (second["state"], second["provider"], second["error"]) == ("failed", "none", "first_arrived")
    assert await printed(sender.door, phone) == []
    assert (await status_of(sender, first["challenge_id"]))["message_id"] == first["id"]


async def test_retried_message_is_not_retried_again(sender: Sender, phone: str, url: str) -> None:
    await sender.books.do("update messages set retry_of = 'msg_0' where identifier = $1", phone)

    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)

    assert (await only(sender, phone))["state"] == "failed"


async def test_no_retry_without_another_provider(start: Start, sender: Sender, phone: str) -> None:
    sender.door = await start(SMS_PROVIDERS="twilio")
    await sender.ask(phone)

    await report(sender, phone, "undelivered", **UNDELIVERED).send(sender.door)

    assert (await only(sender, phone))["state"] == "failed"


async def test_provider_that_may_have_sent_the_code_is_excluded_from_retry(
    sender: Sender, phone: str, url: str
) -> None:
    """The console was first and did not respond; then Twilio accepted it."""
    await sender.books.do("update messages set avoid = '{console}' where identifier = $1", phone)

    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)

    assert (await only(sender, phone))["state"] == "failed"


async def test_no_retry_while_failover_is_in_progress(sender: Sender, phone: str) -> None:
    """Twilio reports a failure and hangs up: the next provider sends the message immediately and once."""

    async def report_and_hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
        await report(sender, phone, "failed", ErrorCode="30008").send(sender.door)
        await sender.door.services.outbox.run_once()
        await hang_up(request, writer)

    sender.carrier.script.append(report_and_hang_up)

    assert (await sender.ask(phone))[0] == 200
    await sender.door.services.outbox.run_once()

    row = await sender.message(phone)
    assert (row["state"], row["provider"], row["avoid"], row["retry_at"]) == ("sent", "console", ["twilio"], None)
    assert len(await printed(sender.door, phone)) == 1


async def test_failure_reported_before_the_send_is_recorded_is_retried_after_it(sender: Sender, phone: str) -> None:
    async def report_and_take(request: Request, writer: asyncio.StreamWriter) -> None:
        await report(sender, phone, "failed", ErrorCode="30008").send(sender.door)
        await sender.door.services.outbox.run_once()
        assert len(await sender.books.messages(sender.id, phone)) == 1
        await take(request, writer)

    sender.carrier.script.append(report_and_take)
    assert (await sender.ask(phone))[0] == 200

    await sender.door.services.outbox.run_once()

    assert len(await printed(sender.door, phone)) == 1


async def test_failed_retry_allows_resend_and_refunds_nothing(sender: Sender, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(sender.door)
    postgres = sender.door.services.postgres
    await store.retry_messages(postgres, ["twilio", "console"], 100)
    [claimed] = await store.claim_messages(postgres, ["twilio", "console"], "sms", False, 20)
    second = (await sender.books.messages(sender.id, phone))[1]
    assert (claimed.message_id, claimed.avoid, second["trying"]) == (second["id"], ["twilio"], "console")

    before = await spent(sender)
    assert len(before) == 2
    error, avoid = "transient:away", ("twilio",)
    delivery = Delivery(
        sender.id,
        EventContext("auth1"),
        second["id"],
        "failed",
        "console",
        None,
        error,
        False,
        new_id("evt"),
        None,
        avoid=avoid,
    )
    await store.record_delivery(postgres, delivery)

    assert await spent(sender) == before
    assert (await sender.books.messages(sender.id, phone))[1]["price_microdollars"] == 0
    identifier = await sender.books.identifier(sender.id, phone)
    assert identifier["resend_at"] is None
    assert (len(identifier["sent_at"]), identifier["sends"]) == (1, 1)
    assert await sender.log_in(phone) == 200  # the first may have arrived, whatever was reported


@pytest.mark.parametrize("reason", ["undelivered", "silence"])
async def test_concurrent_reports_and_outbox_runs_create_one_retry(
    sender: Sender, other_door: Door, reason: str
) -> None:
    doors = [sender.door, other_door]
    for _ in range(5):
        phone = new_phone()
        assert (await sender.ask(phone))[0] == 200
        failed = report(sender, phone, "undelivered", **UNDELIVERED)
        if reason == "silence":
            await sender.books.do(LATER, phone)
        barrier = asyncio.Barrier(26)

        async def tell(door: Door, failed: Report = failed, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            assert (await failed.send(door)).status_code in (204, 503)

        async def work(door: Door, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            with suppress(Unavailable):  # the machine is slow; the next round is as good
                await door.services.outbox.run_once()

        await asyncio.gather(*(tell(door) for door in doors * 10), *(work(door) for door in doors * 3))
        for door in doors * 2:
            await door.services.outbox.run_once()

        first, second = await sender.books.messages(sender.id, phone)
        assert (first["state"], second["retry_of"], second["state"]) == ("failed", first["id"], "sent")
        assert sum([len(await printed(door, phone)) for door in doors]) == 1
        events = [event for event, _ in await sender.books.events(sender.id, first["id"])]
        assert sorted(events) == ["message.failed", "message.retried"]
