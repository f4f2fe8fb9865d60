"""A message without a delivery report at code expiry is unknown; a later report still counts.

The database is separate, because the outbox processes all messages.
"""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from prometheus_client import REGISTRY

from auth1.dev.postgres import PostgresServer
from auth1.messaging import outbox
from tests.conftest import Started
from tests.messaging.callbacks import UNDELIVERED, Report
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp, spread_phones
from tests.support.api_client import ApiClient
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import Request, TwilioServer, hang_up, take

CODE_ENDS = (
    "update messages set receipt_due_at = now() - interval '1 s', attention_at = now()"
    " where tenant_id = $1 and receipt_due_at > now()"
)


@pytest.fixture(scope="module")
async def own_database_url(postgres_server: PostgresServer) -> str:
    return await new_database(postgres_server, "auth1_unreported")


@pytest.fixture(scope="module")
async def message_db(own_database_url: str) -> AsyncIterator[MessageDatabase]:
    connection = await asyncpg.connect(own_database_url)
    yield MessageDatabase(connection)
    await connection.close()


@pytest.fixture(scope="module")
async def module_api(start_app: Started, module_carrier: TwilioServer, own_database_url: str) -> ApiClient:
    return await start_app(TWILIO_API_URL=module_carrier.url, APP_URL=APP_URL, DATABASE_URL=own_database_url)


def counted() -> float:
    labels = {"provider": "twilio", "state": "unknown"}
    return REGISTRY.get_sample_value("auth1_deliveries_total", labels) or 0.0


async def test_message_without_delivery_report_becomes_unknown_at_code_expiry(
    app: TenantApp, phone: str, url: str
) -> None:
    before = counted()
    sent = await app.message(phone)
    assert sent["receipt_due_at"] >= (await app.message_db.identifier(app.id, phone))["code_expires_at"]
    await app.api.services.outbox.run_once()
    assert await app.message(phone) == sent

    await app.message_db.do(CODE_ENDS, app.id)
    for _ in range(2):
        await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("unknown", "twilio", "no_receipt")
    assert row["provider_message_id"] == sent["provider_message_id"]
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.unknown"
    assert "no_receipt" in data
    assert row["challenge_id"] in data
    assert counted() == before + 1
    assert '"error":"no_receipt"' in await app.api.log()


async def test_delivery_report_is_due_at_code_expiry(app: TenantApp, phone: str) -> None:
    app.tenant = await app.api.tenant(otp_expiry_minutes=3)
    await app.ask(phone)

    row = await app.message(phone)
    assert (row["receipt_due_at"] - row["updated_at"]).total_seconds() == 180


@pytest.mark.parametrize(
    ("status", "more", "state", "error"),
    [
        ("delivered", {}, "delivered", None),
        ("undelivered", UNDELIVERED, "failed", "undelivered:30003"),
        ("sent", {}, "unknown", "no_receipt"),
    ],
)
async def test_delivery_report_after_expiry_still_counts(
    app: TenantApp, phone: str, url: str, status: str, more: dict[str, str], state: str, error: str | None
) -> None:
    await app.message_db.do(CODE_ENDS, app.id)
    await app.api.services.outbox.run_once()

    await Report(url, status, more=more).send(app.api)
    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["error"]) == (state, error)
    events = [event for event, _ in await app.message_db.events(app.id, row["id"])]
    assert events == ["message.unknown", *([f"message.{state}"] if state != "unknown" else [])]


@pytest.mark.parametrize(
    ("status", "state"), [("delivered", "delivered"), ("undelivered", "failed"), ("sent", "unknown")]
)
async def test_reported_message_is_unchanged_at_expiry(
    app: TenantApp, phone: str, url: str, status: str, state: str
) -> None:
    await Report(url, status).send(app.api)

    await app.message_db.do(CODE_ENDS, app.id)
    await app.api.services.outbox.run_once()

    assert (await app.message(phone))["state"] == state


@pytest.mark.parametrize("changes", [{"APP_URL": ""}, {"APP_URL": APP_URL, "SMS_PROVIDERS": "console"}])
async def test_message_without_expected_report_stays_sent(
    start_app: Started,
    own_database_url: str,
    carrier: TwilioServer,
    message_db: MessageDatabase,
    phone: str,
    changes: dict[str, str],
) -> None:
    api = await start_app(TWILIO_API_URL=carrier.url, DATABASE_URL=own_database_url, **changes)
    app = TenantApp(api, carrier, message_db, await api.tenant())
    assert (await api.post("/api/auth/request", {"phone": phone}, app.tenant["api_key"])).status_code == 200

    await message_db.do("update messages set updated_at = now() - interval '1 day' where identifier = $1", phone)
    await api.services.outbox.run_once()

    row = await message_db.message(app.id, phone)
    assert (row["state"], row["receipt_due_at"]) == ("sent", None)
    assert all("StatusCallback" not in request.form for request in carrier.requests)


async def test_failed_over_message_does_not_wait_for_the_twilio_report(
    start_app: Started, own_database_url: str, carrier: TwilioServer, message_db: MessageDatabase, phone: str
) -> None:
    api = await start_app(
        TWILIO_API_URL=carrier.url, DATABASE_URL=own_database_url, APP_URL=APP_URL, SMS_PROVIDERS="twilio,console"
    )
    app = TenantApp(api, carrier, message_db, await api.tenant())
    carrier.script.append(hang_up)

    assert (await app.ask(phone))[0] == 200

    row = await app.message(phone)
    assert (row["state"], row["provider"], row["receipt_due_at"]) == ("sent", "console", None)
    # Twilio did have it, and fails: the console's message is not touched by that. Or brings it: good.
    url = carrier.requests[-1].form["StatusCallback"]
    await Report(url, "undelivered").send(api)
    assert await app.message(phone) == row
    await Report(url, "delivered").send(api)
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("delivered", "twilio", None)


async def test_message_sent_by_the_outbox_waits_for_its_delivery_report(
    app: TenantApp, carrier: TwilioServer, phone: str
) -> None:
    """It is due after the remaining lifetime of the code."""

    async def die(request: Request, writer: asyncio.StreamWriter) -> None:
        await app.message_db.do(
            "update messages set trying = null, claimed_until = null, attention_at = now() where identifier = $1", phone
        )
        await take(request, writer)

    carrier.script.append(die)
    await app.ask(phone)
    assert (await app.message(phone))["state"] == "queued"

    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert row["state"] == "sent"
    assert row["receipt_due_at"] >= (await app.message_db.identifier(app.id, phone))["code_expires_at"]
    await Report(carrier.requests[-1].form["StatusCallback"], "delivered").send(app.api)
    assert (await app.message(phone))["state"] == "delivered"


@pytest.mark.parametrize("rounds", [1, 6])
async def test_concurrent_outbox_runs_expire_each_unreported_message_once(
    app: TenantApp, start_app: Started, own_database_url: str, rounds: int
) -> None:
    other = await start_app(TWILIO_API_URL=app.carrier.url, APP_URL=APP_URL, DATABASE_URL=own_database_url)
    count = 2 * outbox.SETTLE_BATCH + 50
    sql = (
        "insert into messages (tenant_id, id, challenge_id, identifier, channel, state, provider, receipt_due_at)"
        " select $1, 'msg_' || lpad(n::text, 26, '0'), 'ch_' || n, '+15551234567', 'sms', 'sent', 'twilio', now()"
        " from generate_series(1, $2::int) as n"
    )
    await app.message_db.do(sql, app.id, count)

    apis = [app.api, other] * 3
    await asyncio.gather(*(api.services.outbox.run_once() for api in apis[:rounds]))

    rows = await app.message_db.messages(app.id, "+15551234567")
    assert [row["state"] for row in rows] == ["unknown"] * count
    events = await app.message_db.connection.fetch(
        "select subject from events where tenant_id = $1 and type = 'message.unknown'", app.id
    )
    assert sorted(event["subject"] for event in events) == sorted(row["id"] for row in rows)


async def test_delivery_report_racing_the_expiry_is_not_lost(app: TenantApp) -> None:
    phones = spread_phones(20)
    for phone in phones:
        assert (await app.ask(phone))[0] == 200
    await app.message_db.do(CODE_ENDS, app.id)

    reports = [Report(request.form["StatusCallback"], "delivered") for request in app.carrier.requests]
    settling = [app.api.services.outbox.run_once() for _ in range(3)]
    await asyncio.gather(*settling, *(report.send(app.api) for report in reports))

    for phone in phones:
        assert (await app.message(phone))["state"] == "delivered"


async def test_delivery_report_settles_a_message_of_a_crashed_process(app: TenantApp, phone: str, url: str) -> None:
    """The process died before it recorded the response; the report arrives."""
    died = (
        "update messages set state = 'queued', trying = 'twilio', provider = null, provider_message_id = null,"
        " receipt_due_at = null, claimed_until = now() - interval '1 s', attention_at = now() where identifier = $1"
    )
    await app.message_db.do(died, phone)

    await Report(url, "delivered").send(app.api)
    await app.api.services.outbox.run_once()

    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("delivered", "twilio", None)
    assert (row["trying"], row["claimed_until"]) == (None, None)
    assert [event for event, _ in await app.message_db.events(app.id, row["id"])] == ["message.delivered"]
