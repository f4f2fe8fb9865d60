"""Ambiguous Twilio responses are unknown, counted and not retried; a new request is allowed immediately."""

import asyncio
from typing import Any

import pytest

from tests.conftest import Started
from tests.messaging.conftest import MessageDatabase, TenantApp, spread_phones
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import Behaviour, Request, TwilioServer, answer, hang, hang_up, take

SID = "SM" + "0" * 32


async def hang_after_headers(request: Request, writer: asyncio.StreamWriter) -> None:
    """Announce a body and send none."""
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    await hang(request, writer)


async def hang_up_in_body(request: Request, writer: asyncio.StreamWriter) -> None:
    """Close the connection half-way through the body."""
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
    await writer.drain()
    writer.close()


async def trickle(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send one byte at intervals that are shorter than a read timeout."""
    writer.write(b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def speak_nonsense(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer with something that is not HTTP."""
    writer.write(b"SMTP ready\r\n\r\n")
    await writer.drain()


MAYBE_SENT: list[tuple[Behaviour, str]] = [
    (hang_up, "connection_lost"),
    (hang_up_in_body, "connection_lost"),
    (speak_nonsense, "connection_lost"),
    (answer(201, b"no JSON at all"), "garbage"),
    (answer(201, b""), "garbage"),
    (answer(201, {"status": "accepted"}), "garbage"),
    (answer(201, {"sid": "MG" + "0" * 32, "status": "accepted"}), "garbage"),
    (answer(201, {"sid": SID, "status": "failed", "error_code": 30007}), "garbage"),
    (answer(201, b" " * 10_000_000), "answer_too_long"),
    (answer(500, b""), "http_500"),
    (answer(503, {"code": 20503, "message": "no", "status": 503}), "20503"),
    (answer(503, {"code": 21211, "message": "no", "status": 503}), "21211"),
]


@pytest.mark.parametrize(("behaviour", "error"), MAYBE_SENT)
async def test_ambiguous_twilio_response_is_unknown_and_counted(
    app: TenantApp, phone: str, behaviour: Behaviour, error: str
) -> None:
    app.carrier.script.append(behaviour)

    await check_unknown(app, phone, error, await app.ask(phone))


async def test_late_twilio_responses_are_unknown_and_counted(app: TenantApp, carrier: TwilioServer) -> None:
    """They are late at once, because each takes the whole deadline."""
    behaviours = dict(zip(spread_phones(3), (hang, hang_after_headers, trickle), strict=True))
    phones = list(behaviours)

    async def behave_once(request: Request, writer: asyncio.StreamWriter) -> None:
        await behaviours.pop(request.form["To"], take)(request, writer)

    carrier.behaviour = behave_once
    answers = await asyncio.gather(*map(app.ask, phones))

    for phone, answered in zip(phones, answers, strict=True):
        await check_unknown(app, phone, "timeout", answered)


async def check_unknown(app: TenantApp, phone: str, error: str, answered: tuple[int, dict[str, Any]]) -> None:
    """Check the response and the row of a message that may have been sent; then log in with its code."""
    status, problem = answered
    assert (status, problem["code"]) == (502, "delivery_failed")
    assert problem["retry_after"] > 0
    assert len(app.handed_over(phone)) == 1
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("unknown", "twilio", f"unknown:{error}")
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.unknown"
    assert error in data
    assert await app.sends_counted(phone) == 1

    # If it did arrive, it works.
    assert await app.log_in(phone) == 200


async def test_unknown_send_allows_immediate_resend_within_the_rate_limit(
    app: TenantApp, carrier: TwilioServer, phone: str
) -> None:
    carrier.behaviour = hang_up
    for _ in range(4):
        assert (await app.ask(phone))[0] == 502
    carrier.behaviour = take

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    assert len({request.form["Body"] for request in app.handed_over(phone)}) == 1
    await end_resend_delay(app.message_db.connection, phone)
    status, problem = await app.ask(phone)
    assert (status, problem["code"]) == (429, "rate_limited")
    assert len(app.handed_over(phone)) == 5


async def test_refused_connection_is_transient_failure(
    start_app: Started, message_db: MessageDatabase, phone: str, unused_tcp_port: int
) -> None:
    api = await start_app(TWILIO_API_URL=f"http://127.0.0.1:{unused_tcp_port}")
    tenant = await api.tenant()

    answered = await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert (answered.status_code, answered.json()["code"]) == (502, "delivery_failed")
    row = await message_db.message(tenant["tenant_id"], phone)
    assert (row["state"], row["error"]) == ("failed", "transient:no_connection")
    assert (await message_db.identifier(tenant["tenant_id"], phone))["sent_at"] == []


async def test_endless_response_is_aborted(app: TenantApp, phone: str) -> None:
    hung_up = asyncio.Event()

    async def go_on_for_ever(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 201 Created\r\ntransfer-encoding: chunked\r\n\r\n")
        try:
            while True:
                writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
                await writer.drain()
        except ConnectionError:
            hung_up.set()

    app.carrier.script.append(go_on_for_ever)

    assert (await app.ask(phone))[0] == 502
    assert (await app.message(phone))["error"] == "unknown:answer_too_long"
    async with asyncio.timeout(300):
        await hung_up.wait()


async def test_closed_keep_alive_connection_is_not_reused(app: TenantApp, phone: str) -> None:
    closed = asyncio.Event()

    async def take_and_close(request: Request, writer: asyncio.StreamWriter) -> None:
        await take(request, writer)
        writer.close()
        await writer.wait_closed()
        closed.set()

    app.carrier.script.append(take_and_close)
    await app.ask(phone)
    await closed.wait()
    await end_resend_delay(app.message_db.connection, phone)

    assert (await app.ask(phone))[0] == 200


async def test_concurrent_responses_are_matched_to_their_requests(app: TenantApp, carrier: TwilioServer) -> None:
    """Rejected and accepted numbers are mixed; each caller gets its own result."""

    async def reject_odd(request: Request, writer: asyncio.StreamWriter) -> None:
        odd = int(request.form["To"]) % 2 == 1
        await (answer(400, {"code": 21211, "status": 400}) if odd else take)(request, writer)

    carrier.behaviour = reject_odd
    phones = [f"+120155501{n:02d}" for n in range(16)]

    statuses = [status for status, _ in await asyncio.gather(*(app.ask(phone) for phone in phones))]

    assert statuses == [422 if int(phone) % 2 else 200 for phone in phones]
