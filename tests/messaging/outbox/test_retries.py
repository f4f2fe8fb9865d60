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
from tests.conftest import Started, new_phone
from tests.messaging.callbacks import UNDELIVERED, Report
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp
from tests.messaging.sns.conftest import environment
from tests.support.api_client import ApiClient
from tests.support.elapsed import end_resend_delay
from tests.support.providers import sns as aws
from tests.support.providers.sns import SnsServer
from tests.support.providers.twilio import Request, TwilioServer, hang_up, reject, take

Start = Callable[..., Awaitable[ApiClient]]
LATER = """
update messages set retry_at = retry_at - interval '10 s', attention_at = attention_at - interval '10 s'
where identifier = $1
"""


@pytest.fixture(scope="module")
async def start(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> Start:
    """Start an instance with Twilio and the console as providers."""

    async def with_both(**changes: str) -> ApiClient:
        settings = {"DATABASE_URL": own_database_url, "TWILIO_API_URL": module_carrier.url, "APP_URL": APP_URL}
        return await start_app(**settings | {"SMS_PROVIDERS": "twilio,console"} | changes)

    return with_both


@pytest.fixture(scope="module")
async def module_api(start: Start) -> ApiClient:
    return await start()


@pytest.fixture(scope="module")
async def other_api(start: Start) -> ApiClient:
    """Return another instance."""
    return await start()


@pytest.fixture
async def app(app: TenantApp) -> TenantApp:
    """Return a tenant with both kinds of retry and a budget."""
    wanted = {"retry_undelivered": True, "retry_unreported_after": 10, "sms_budget_per_day": 1}
    app.tenant = await app.api.tenant(**wanted)
    return app


def report(app: TenantApp, phone: str, status: str, **more: str) -> Report:
    return Report(app.handed_over(phone)[-1].form["StatusCallback"], status, more=more)


async def printed(api: ApiClient, phone: str) -> list[str]:
    """Return the texts that the console printed for a number."""
    return [line for line in (await api.log()).splitlines() if f"message to {phone}: " in line]


async def only(app: TenantApp, phone: str) -> asyncpg.Record:
    """Return the message to a number that has no retry."""
    await app.api.services.outbox.run_once()
    assert await printed(app.api, phone) == []
    return await app.message(phone)


async def spent(app: TenantApp) -> list[tuple[int, int]]:
    """Return messages and microdollars of the reports and of the tenant's budget."""
    spending = "select sum(messages)::int, sum(microdollars)::int from spending where tenant_id = $1"
    budget = "select messages::int, microdollars::int from budgets where tenant_id = $1"
    rows = [await app.message_db.connection.fetchrow(sql, app.id) for sql in (spending, budget)]
    return [(row[0], row[1]) for row in rows if row is not None]


async def status_of(app: TenantApp, challenge_id: str) -> dict[str, object]:
    headers = {"x-api-key": app.tenant["secret_key"]}
    answer = await app.api.client.get(f"/api/auth/challenges/{challenge_id}", headers=headers)
    found: dict[str, object] = answer.json()["message"]
    return found


async def test_undelivered_message_is_retried_by_next_provider_with_same_code(
    app: TenantApp, phone: str, url: str
) -> None:
    await app.message_db.do("update messages set segments = 2, price_microdollars = 15800 where identifier = $1", phone)
    before = await spent(app)
    assert len(before) == 2

    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    for _ in range(3):
        await app.api.services.outbox.run_once()

    first, second = await app.message_db.messages(app.id, phone)
    assert (first["state"], first["error"], first["retry_at"]) == ("failed", "undelivered:30003", None)
    assert (second["state"], second["provider"]) == ("sent", "console")
    assert (second["retry_of"], second["avoid"]) == (first["id"], ["twilio"])
    for name in ("challenge_id", "country", "segments", "price_microdollars", "price_source"):
        assert second[name] == first[name]
    assert first["country"] == "US"
    for (messages, microdollars), (of_one, cost_of_one) in zip(await spent(app), before, strict=True):
        assert (messages, microdollars) == (of_one + 1, cost_of_one + 15800)
    [text] = await printed(app.api, phone)
    assert f" {app.carrier.code_for(phone)}. " in text
    events = await app.message_db.events(app.id, first["id"])
    assert [event for event, _ in events] == ["message.failed", "message.retried"]
    assert second["id"] in events[1][1]
    assert await app.message_db.events(app.id, second["id"]) == []
    assert '"type":"message.retried"' in await app.api.log()

    reported = await status_of(app, first["challenge_id"])
    assert (reported["message_id"], reported["state"]) == (second["id"], "sent")
    assert await app.sends_counted(phone) == 1  # for one request of a code
    assert await app.log_in(phone) == 200


async def test_message_that_twilio_did_not_deliver_is_retried_by_sns(
    start: Start, carrier: TwilioServer, message_db: MessageDatabase, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SnsServer() as sns:
        environment(monkeypatch, sns)
        sns.behaviour = aws.take
        api = await start(SMS_PROVIDERS="twilio,sns", AWS_ENDPOINT_URL_SNS=sns.url)
        app = TenantApp(api, carrier, message_db, await api.tenant(retry_undelivered=True))
        carrier.behaviour = reject(20429, 429)
        # aioboto3 is loaded by the first message that needs it.
        while (await app.ask(new_phone()))[0] != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        carrier.behaviour = take
        await app.ask(phone)

        await report(app, phone, "failed", ErrorCode="30008").send(api)
        await api.services.outbox.run_once()

        [text] = sns.sent_to(phone)
        assert text == app.handed_over(phone)[-1].form["Body"]
        assert [row["provider"] for row in await message_db.messages(app.id, phone)] == ["twilio", "sns"]


async def test_message_is_not_retried_without_the_retry_undelivered_setting(app: TenantApp, phone: str) -> None:
    app.tenant = await app.api.tenant()
    assert app.tenant["settings"]["retry_undelivered"] is False
    assert app.tenant["settings"]["retry_unreported_after"] is None
    await app.ask(phone)
    assert (await only(app, phone))["retry_at"] is None

    await report(app, phone, "undelivered", **UNDELIVERED).send(app.api)

    assert (await only(app, phone))["state"] == "failed"


@pytest.mark.parametrize("code", [21211, 21217, 21614, 30005, 30006, 21610, 30004, 30007, 30450, None])
async def test_permanent_delivery_error_is_not_retried(app: TenantApp, phone: str, url: str, code: int | None) -> None:
    """An invalid number, an opted-out recipient, a filtered text, a cancelled message."""
    status, more = ("undelivered", {"ErrorCode": str(code)}) if code is not None else ("canceled", {})

    await Report(url, status, more=more).send(app.api)
    await app.message_db.do(LATER, phone)  # it was reported: silence is no reason either

    assert (await only(app, phone))["state"] == "failed"


@pytest.mark.parametrize("meanwhile", ["answered", "ended", "nearly ended", "requested again", "suspended", "unwanted"])
async def test_unneeded_code_is_not_retried(app: TenantApp, phone: str, url: str, meanwhile: str) -> None:
    match meanwhile:
        case "answered":
            assert await app.log_in(phone) == 200
        case "ended":
            await app.message_db.do("update identifiers set code_expires_at = now() where identifier = $1", phone)
        case "nearly ended":
            sql = "update identifiers set code_expires_at = now() + interval '29 s' where identifier = $1"
            await app.message_db.do(sql, phone)
        case "requested again":
            await end_resend_delay(app.message_db.connection, phone)
            assert (await app.ask(phone))[0] == 200
        case "suspended":
            await app.api.admin("POST", f"/api/admin/tenants/{app.id}/suspend")
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    if meanwhile == "unwanted":
        settings = {"settings": {"retry_undelivered": None}}
        await app.api.admin("PATCH", f"/api/admin/tenants/{app.id}", settings)

    await app.api.services.outbox.run_once()

    assert await printed(app.api, phone) == []
    assert all(row["retry_of"] is None for row in await app.message_db.messages(app.id, phone))


async def test_code_verified_before_the_retry_is_sent_cancels_the_retry(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    await store.retry_messages(app.api.services.postgres, ["twilio", "console"], 100)
    assert await app.log_in(phone) == 200

    await app.api.services.outbox.run_once()

    _, second = await app.message_db.messages(app.id, phone)
    assert (second["state"], second["error"]) == ("failed", "code_ended")
    assert await printed(app.api, phone) == []


async def test_missing_delivery_report_triggers_a_retry(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "sent").send(app.api)  # which is not the last word
    sent = await only(app, phone)
    assert (sent["retry_at"] - sent["updated_at"]).total_seconds() == 10

    await app.message_db.do(LATER, phone)
    for _ in range(3):
        await app.api.services.outbox.run_once()

    first, second = await app.message_db.messages(app.id, phone)
    assert (first["state"], second["state"], second["provider"]) == ("sent", "sent", "console")
    [(event, data)] = await app.message_db.events(app.id, first["id"])
    assert event == "message.retried"
    assert '"reason": "no_receipt"' in data
    # The first message is reported undelivered, then delivered: no third one is sent, and the better report is shown.
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    await app.api.services.outbox.run_once()
    assert len(await app.message_db.messages(app.id, phone)) == 2
    assert (await status_of(app, first["challenge_id"]))["message_id"] == second["id"]
    await Report(url, "delivered").send(app.api)
    reported = await status_of(app, first["challenge_id"])
    assert (reported["message_id"], reported["state"]) == (first["id"], "delivered")


async def test_delivered_message_is_not_retried(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "delivered").send(app.api)
    await app.message_db.do(LATER, phone)

    row = await only(app, phone)

    assert (row["state"], row["retry_at"]) == ("delivered", None)
    assert row["delivered_at"] >= row["created_at"]


async def test_delivery_before_the_retry_is_sent_cancels_the_retry(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    await store.retry_messages(app.api.services.postgres, ["twilio", "console"], 100)
    await Report(url, "delivered").send(app.api)

    await app.api.services.outbox.run_once()

    first, second = await app.message_db.messages(app.id, phone)
    assert (second["state"], second["provider"], second["error"]) == ("failed", "none", "first_arrived")
    assert await printed(app.api, phone) == []
    assert (await status_of(app, first["challenge_id"]))["message_id"] == first["id"]


async def test_retried_message_is_not_retried_again(app: TenantApp, phone: str, url: str) -> None:
    await app.message_db.do("update messages set retry_of = 'msg_0' where identifier = $1", phone)

    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)

    assert (await only(app, phone))["state"] == "failed"


async def test_message_is_not_retried_without_another_provider(start: Start, app: TenantApp, phone: str) -> None:
    app.api = await start(SMS_PROVIDERS="twilio")
    await app.ask(phone)

    await report(app, phone, "undelivered", **UNDELIVERED).send(app.api)

    assert (await only(app, phone))["state"] == "failed"


async def test_provider_that_may_have_sent_the_code_is_excluded_from_retry(
    app: TenantApp, phone: str, url: str
) -> None:
    """The console was first and did not respond; then Twilio accepted it."""
    await app.message_db.do("update messages set avoid = '{console}' where identifier = $1", phone)

    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)

    assert (await only(app, phone))["state"] == "failed"


async def test_no_retry_while_failover_is_in_progress(app: TenantApp, phone: str) -> None:
    """Twilio reports a failure and hangs up: the next provider sends the message immediately and once."""

    async def report_and_hang_up(request: Request, writer: asyncio.StreamWriter) -> None:
        await report(app, phone, "failed", ErrorCode="30008").send(app.api)
        await app.api.services.outbox.run_once()
        await hang_up(request, writer)

    app.carrier.script.append(report_and_hang_up)

    assert (await app.ask(phone))[0] == 200
    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["provider"], row["avoid"], row["retry_at"]) == ("sent", "console", ["twilio"], None)
    assert len(await printed(app.api, phone)) == 1


async def test_failure_reported_before_the_send_is_recorded_is_retried_after_it(app: TenantApp, phone: str) -> None:
    async def report_and_take(request: Request, writer: asyncio.StreamWriter) -> None:
        await report(app, phone, "failed", ErrorCode="30008").send(app.api)
        await app.api.services.outbox.run_once()
        assert len(await app.message_db.messages(app.id, phone)) == 1
        await take(request, writer)

    app.carrier.script.append(report_and_take)
    assert (await app.ask(phone))[0] == 200

    await app.api.services.outbox.run_once()

    assert len(await printed(app.api, phone)) == 1


async def test_failed_retry_allows_resend_and_refunds_nothing(app: TenantApp, phone: str, url: str) -> None:
    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)
    postgres = app.api.services.postgres
    await store.retry_messages(postgres, ["twilio", "console"], 100)
    [claimed] = await store.claim_messages(postgres, ["twilio", "console"], "sms", False, 20)
    second = (await app.message_db.messages(app.id, phone))[1]
    assert (claimed.message_id, claimed.exclude_providers, second["trying"]) == (second["id"], ["twilio"], "console")

    before = await spent(app)
    assert len(before) == 2
    error, avoid = "transient:unavailable", ("twilio",)
    delivery = Delivery(
        app.id,
        EventContext("auth1"),
        second["id"],
        "failed",
        "console",
        None,
        error,
        False,
        new_id("evt"),
        None,
        exclude_providers=avoid,
    )
    await store.record_delivery(postgres, delivery)

    assert await spent(app) == before
    assert (await app.message_db.messages(app.id, phone))[1]["price_microdollars"] == 0
    identifier = await app.message_db.identifier(app.id, phone)
    assert identifier["resend_at"] is None
    assert (len(identifier["sent_at"]), identifier["sends"]) == (1, 1)
    assert await app.log_in(phone) == 200  # the first may have arrived, whatever was reported


@pytest.mark.parametrize("reason", ["undelivered", "silence"])
async def test_concurrent_reports_and_outbox_runs_create_one_retry(
    app: TenantApp, other_api: ApiClient, reason: str
) -> None:
    apis = [app.api, other_api]
    for _ in range(5):
        phone = new_phone()
        assert (await app.ask(phone))[0] == 200
        failed = report(app, phone, "undelivered", **UNDELIVERED)
        if reason == "silence":
            await app.message_db.do(LATER, phone)
        barrier = asyncio.Barrier(26)

        async def report_failure(api: ApiClient, failed: Report = failed, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            assert (await failed.send(api)).status_code in (204, 503)

        async def work(api: ApiClient, barrier: asyncio.Barrier = barrier) -> None:
            await barrier.wait()
            with suppress(Unavailable):  # the machine is slow; the next round is as good
                await api.services.outbox.run_once()

        await asyncio.gather(*(report_failure(api) for api in apis * 10), *(work(api) for api in apis * 3))
        for api in apis * 2:
            await api.services.outbox.run_once()

        first, second = await app.message_db.messages(app.id, phone)
        assert (first["state"], second["retry_of"], second["state"]) == ("failed", first["id"], "sent")
        assert sum([len(await printed(api, phone)) for api in apis]) == 1
        events = [event for event, _ in await app.message_db.events(app.id, first["id"])]
        assert sorted(events) == ["message.failed", "message.retried"]
