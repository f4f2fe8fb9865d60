"""Delivery reports that are late, duplicate, out of order, early or missing end in the same row."""

import asyncio
import random
import secrets
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, combinations, permutations

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.errors import Unavailable
from auth1.events.log import EventContext
from auth1.messaging import store
from auth1.messaging.store import Delivery, DeliveryReport
from tests.messaging.callbacks import FAILED, SID, UNDELIVERED, Report
from tests.messaging.conftest import MessageDatabase, TenantApp, spread_phones
from tests.support.effort import effort
from tests.support.providers.twilio import Request, TwilioServer, answer

STATUSES = {"sent": {}, "delivered": {}, "undelivered": UNDELIVERED}
Order = tuple[str, ...]


def subsets(items: Iterable[str]) -> Iterator[Order]:
    pool = tuple(items)
    return chain.from_iterable(combinations(pool, size) for size in range(len(pool) + 1))


def some(orders: Iterable[Order], number: int) -> list[Order]:
    """Return a number of orders, the same ones each time."""
    everything = sorted(set(orders))
    return random.Random(0).sample(everything, min(number, len(everything)))


@pytest.fixture(params=["no second try", "a second try"])
async def app(request: pytest.FixtureRequest, app: TenantApp) -> TenantApp:
    """Return a tenant with and without retries, which must not change the first message."""
    if request.param == "a second try":
        app.tenant = await app.api.tenant(retry_undelivered=True, retry_unreported_after=10)
    return app


@dataclass
class Plan:
    """The reports that Twilio sends before its response, and the message SID."""

    early: Order
    sid: str


class Postman:
    """A carrier that accepts every message and sends the planned reports."""

    def __init__(self, app: TenantApp) -> None:
        self._sender = app
        self.plans: dict[str, Plan] = {}

    async def take(self, request: Request, writer: asyncio.StreamWriter) -> None:
        """Accept a message after the early reports."""
        plan = self.plans[request.form["To"]]
        await self.report(request, plan.early)
        await answer(201, {"sid": plan.sid, "status": "accepted"})(request, writer)

    async def report(self, request: Request, statuses: Order) -> None:
        plan = self.plans[request.form["To"]]
        for status in statuses:
            report = Report(request.form["StatusCallback"], status, plan.sid, STATUSES[status])
            assert (await report.send(self._sender.api)).status_code == 204


def orders(statuses: Order) -> Iterator[tuple[Order, Order]]:
    """Yield every order of reports, split into early and late ones; up to two are sent twice."""
    for order in sorted(set(permutations(statuses * 2 if len(statuses) <= 2 else statuses))):
        for cut in range(len(order) + 1):
            yield order[:cut], order[cut:]


@pytest.mark.parametrize("statuses", list(subsets(STATUSES)), ids="+".join)
async def test_any_order_of_delivery_reports_gives_the_same_row(
    app: TenantApp, carrier: TwilioServer, statuses: Order
) -> None:
    postman = Postman(app)
    carrier.behaviour = postman.take
    rows = set()
    for phone, (early, late) in zip(spread_phones(100), orders(statuses), strict=False):
        plan = postman.plans[phone] = Plan(early, "SM" + secrets.token_hex(16))
        status, requested = await app.ask(phone)
        assert (status, requested["status"]) == (200, "sent")
        await postman.report(carrier.requests[-1], late)
        row = await app.message(phone)
        rows.add((row["provider_message_id"] == plan.sid, *outcome(row)))

    state, error = final(statuses, ("sent", None))
    assert rows == {(True, state, "twilio", error, None, None, True)}


def outcome(row: asyncpg.Record) -> tuple[object, ...]:
    """Return the columns of a row that show the outcome of a message."""
    return (
        *(row[name] for name in ("state", "provider", "error", "trying", "claimed_until")),
        row["receipt_due_at"] is not None,
    )


def final(statuses: Order, otherwise: tuple[str, str | None]) -> tuple[str, str | None]:
    """Return the expected final state and error."""
    if "delivered" in statuses:
        return "delivered", None
    errors = [f"{status}:{FAILURES[status]}" for status in statuses if status in FAILURES]
    return ("failed", max(errors)) if errors else otherwise


FAILURES = {"undelivered": UNDELIVERED["ErrorCode"], "failed": FAILED["ErrorCode"]}
# Our own state of a message, which remains unless a delivery report knows better.
OURS = {
    "we sent it": ("sent", "twilio", None),
    "the state is unknown": ("unknown", "twilio", "unknown:timeout"),
    "another provider sent it": ("sent", "console", None),
    "the process was killed": ("unknown", "twilio", "process_lost"),
    "no report arrived": ("unknown", "twilio", "no_receipt"),
}


class Message:
    """A message in transit to Twilio; the test decides when its facts arrive."""

    def __init__(self, app: TenantApp) -> None:
        self._postgres, self._books, self._tenant_id = app.api.services.postgres, app.message_db, app.id
        self._id = new_id("msg")

    async def hand_over(self) -> "Message":
        """Create the message as it is just before Twilio receives it."""
        sql = (
            "insert into messages (tenant_id, id, challenge_id, identifier, channel, trying, claimed_until)"
            " values ($1, $2, $3, '+15551234567', 'sms', 'twilio', now() + interval '1 day')"
        )
        await self._books.do(sql, self._tenant_id, self._id, new_id("ch"))
        return self

    async def learn(self, fact: str) -> None:
        """Process a delivery report or our own send result."""
        match fact:
            case "we sent it":
                await self.record("sent", "twilio", SID, None)
            case "the state is unknown":
                await self.record("unknown", "twilio", None, "unknown:timeout")
            case "another provider sent it":
                await self.record("sent", "console", None, None)
            case "the process was killed":
                await self._pass("claimed_until")
                await store.mark_lost_unknown(self._postgres, 100)
            case "no report arrived":
                await self._pass("receipt_due_at")
                await store.expire_unreported(self._postgres, 100)
            case status:
                state = {"sent": "sent", "delivered": "delivered"}.get(status, "failed")
                error = f"{status}:{FAILURES[status]}" if state == "failed" else None
                receipt = DeliveryReport(self._tenant_id, self._id, "twilio", SID, state, error)
                await store.record_delivery_report(self._postgres, receipt, EventContext("twilio"), is_retryable=True)

    async def record(self, state: str, provider: str, sid: str | None, error: str | None) -> None:
        """Record our own send result."""
        report_in = 600 if (state, provider) == ("sent", "twilio") else None
        event_id = new_id("evt")
        delivery = Delivery(
            self._tenant_id,
            EventContext("key"),
            self._id,
            state,
            provider,
            sid,
            error,
            False,
            event_id,
            report_in,
            retry_in=report_in,
        )
        await store.record_delivery(self._postgres, delivery)

    async def row(self) -> asyncpg.Record:
        row = await self._books.connection.fetchrow("select * from messages where id = $1", self._id)
        assert row is not None
        return row

    async def _pass(self, deadline: str) -> None:
        await self._books.do(
            f"update messages set {deadline} = now() - interval '1 s', attention_at = now() where id = $1", self._id
        )


@pytest.mark.parametrize("ours", OURS)
async def test_any_order_of_send_result_and_delivery_reports_gives_the_same_row(app: TenantApp, ours: str) -> None:
    receipts = ("sent", "delivered", "undelivered", "failed")
    for statuses in subsets(receipts):
        rows, tries = set(), set()
        for order in some(permutations((*statuses, ours)), effort(12, 1000)):
            message = await Message(app).hand_over()
            if ours == "no report arrived":
                await message.learn("we sent it")
            for fact in order:
                await message.learn(fact)
            row = await message.row()
            rows.add((row["provider_message_id"], *outcome(row)))
            tries.add(row["retry_at"] is not None)

        state, provider, error = OURS[ours]
        heard = tuple(status for status in statuses if provider == "twilio" or status == "delivered")
        state, error = final(heard, (state, error))
        by_twilio = bool(heard) or provider == "twilio"
        sid = SID if heard or ours in ("we sent it", "no report arrived") else None
        due = ours in ("we sent it", "no report arrived")
        assert rows == {(sid, state, "twilio" if by_twilio else provider, error, None, None, due)}, statuses
        if state in ("delivered", "failed"):  # else it is yet to be seen whether anything will be heard
            wanted = app.tenant["settings"]["retry_undelivered"]
            assert tries == {wanted and state == "failed" and ours != "the process was killed"}, statuses


@pytest.mark.parametrize("status", ["delivered", "undelivered"])
async def test_delivery_report_settles_a_send_with_a_lost_response(app: TenantApp, phone: str, status: str) -> None:
    """Our own unknown result arrives later and creates no event."""
    postman = Postman(app)
    postman.plans[phone] = Plan((status,), SID)

    async def report_and_hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
        await postman.report(request, postman.plans[phone].early)
        writer.close()

    app.carrier.script.append(report_and_hang_up)

    assert (await app.ask(phone))[0] == 502

    row = await app.message(phone)
    assert (row["state"], row["provider_message_id"]) == (final((status,), ("", None))[0], SID)
    assert [event for event, _ in await app.message_db.events(app.id, row["id"])] == [f"message.{row['state']}"]
    assert f'"type":"message.unknown","tenant_id":"{app.id}"' not in await app.api.log()
    # The caller got an error and may request again immediately.
    assert (await app.message_db.identifier(app.id, phone))["resend_at"] is None


async def test_any_order_of_duplicate_delivery_reports_gives_the_same_row(app: TenantApp) -> None:
    rows = set()
    for order in some(permutations((*STATUSES, *STATUSES, "we sent it")), effort(80, 1000)):
        message = await Message(app).hand_over()
        for fact in order:
            await message.learn(fact)
        row = await message.row()
        rows.add((row["provider_message_id"], *outcome(row)))

    assert rows == {(SID, "delivered", "twilio", None, None, None, True)}


async def test_delivery_report_racing_the_send_result_is_not_lost(app: TenantApp, carrier: TwilioServer) -> None:
    postman, phones = Postman(app), spread_phones(50)

    async def report_and_take_at_once(request: Request, writer: asyncio.StreamWriter) -> None:
        reporting = asyncio.create_task(postman.report(request, ("delivered",)))
        await answer(201, {"sid": postman.plans[request.form["To"]].sid, "status": "accepted"})(request, writer)
        await reporting

    carrier.behaviour = report_and_take_at_once
    for phone in phones:
        postman.plans[phone] = Plan((), "SM" + secrets.token_hex(16))
        assert (await app.ask(phone))[0] == 200

    for phone in phones:
        async with asyncio.timeout(300):
            # The carrier may still be reporting when we have our answer, and the database sends no notification.
            while (row := await app.message(phone))["state"] != "delivered":  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert outcome(row) == ("delivered", "twilio", None, None, None, True)
        assert row["provider_message_id"] == postman.plans[phone].sid
        assert [event for event, _ in await app.message_db.events(app.id, row["id"])] == ["message.delivered"]


@pytest.mark.parametrize("ours", ["we sent it", "the state is unknown", "another provider sent it"])
async def test_concurrent_updates_of_a_message_are_serialized(app: TenantApp, database_url: str, ours: str) -> None:
    """All wait for one lock, so each has a snapshot older than the previous write."""
    facts = [ours, "delivered", "sent", "undelivered", "delivered"]
    locker = await asyncpg.connect(database_url)
    for _ in range(20):
        message = await Message(app).hand_over()
        async with locker.transaction():
            await locker.execute("select from messages where tenant_id = $1 for update", app.id)
            learning = [asyncio.create_task(message.learn(fact)) for fact in facts]
            await lined_up(app.message_db, len(facts))
        learned = await asyncio.gather(*learning, return_exceptions=True)
        for fact, error in zip(facts, learned, strict=True):
            if isinstance(error, Unavailable):  # the machine is slow, and the deadline of a statement short
                await message.learn(fact)

        row = await message.row()
        assert outcome(row)[:5] == ("delivered", "twilio", None, None, None)
        assert row["provider_message_id"] == SID
        events = [event for event, _ in await app.message_db.events(app.id, row["id"])]
        assert events.count("message.delivered") == 1
        assert events.count("message.failed") <= 1
    await locker.close()


async def lined_up(message_db: MessageDatabase, count: int) -> None:
    """Wait until a number of statements wait for a lock, with a shorter timeout than theirs."""
    sql = "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    with suppress(TimeoutError):
        async with asyncio.timeout(0.3):
            while await message_db.connection.fetchval(sql) < count:  # noqa: ASYNC110  # the database sends no notification
                await asyncio.sleep(0.001)
