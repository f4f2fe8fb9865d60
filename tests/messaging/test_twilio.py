"""Our request compared with that of Twilio's own client, and the outcome of each Twilio response."""

import logging
from typing import Any

import pytest
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from auth1.messaging.providers.protocol import Failure
from tests.conftest import Started
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import ACCOUNT_SID, AUTH_TOKEN, SERVICE_SID, Behaviour, TwilioServer, answer, reject

# Twilio's error codes with the status they come with, and what we make of them ("Error and Warning Dictionary").
REJECTIONS = {
    Failure.IMPOSSIBLE: {21211: 400, 21217: 400, 21614: 400, 30005: 400, 30006: 400},
    Failure.OPTED_OUT: {21610: 400},
    Failure.THROTTLED: {20429: 429, 21611: 400, 30001: 400},
    Failure.TRANSIENT: {21408: 400, 21612: 400, 30003: 400, 30008: 400, 30450: 400},
    Failure.CONFIGURATION: {
        **{20003: 401, 20005: 403, 30002: 400, 21608: 400, 21606: 400, 21212: 400, 30032: 400, 30034: 400},
        **{21701: 400, 21702: 404, 21703: 400, 21704: 400, 21705: 400},
        # What the table does not name: blocked, filtered, too expensive, too short-lived, and what is yet to come.
        **{30004: 400, 30007: 400, 30010: 400, 30012: 400, 99999: 400},
    },
}
ANSWERS = {
    Failure.IMPOSSIBLE: (422, "invalid_phone"),
    Failure.OPTED_OUT: (422, "recipient_opted_out"),
}
CASES = [(failure, code, status) for failure, codes in REJECTIONS.items() for code, status in codes.items()]


def rfc_9457(code: int, status: int) -> Behaviour:
    body = {"type": f"https://www.twilio.com/docs/errors/{code}", "title": "No", "status": status, "code": code}
    return answer(status, body)


class Capture(HttpClient):  # type: ignore[misc]  # Twilio's client is untyped
    """Records the requests of Twilio's own client instead of sending them."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger(__name__), False)
        self.sent: dict[str, Any] = {}

    def request(self, method: str, url: str, *_: object, **named: Any) -> Response:
        self.sent = {"method": method, "url": url, **named}
        return Response(201, '{"sid": "SM0", "status": "accepted"}')


def official(**message: object) -> dict[str, Any]:
    """Return the request that Twilio's own client sends for a message."""
    wire = Capture()
    ours = {} if "from_" in message else {"messaging_service_sid": SERVICE_SID}
    Client(ACCOUNT_SID, AUTH_TOKEN, http_client=wire).messages.create(**ours | message)
    return wire.sent


@pytest.mark.parametrize("app_url", ["", APP_URL])
async def test_request_equals_that_of_the_twilio_client(
    start_app: Started, carrier: TwilioServer, message_db: MessageDatabase, phone: str, app_url: str
) -> None:
    api = await start_app(TWILIO_API_URL=carrier.url, APP_URL=app_url)
    tenant = await api.tenant(sms_branding="Zoë & Söhne + 100 %=?#")

    assert (await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])).status_code == 200

    [ours] = carrier.requests
    text = f"Your Zoë & Söhne + 100 %=?# verification code is: {carrier.code_for(phone)}. Expires in 10 minutes."
    message_id = (await message_db.message(tenant["tenant_id"], phone))["id"]
    ids = f"tenant_id={tenant['tenant_id']}&message_id={message_id}"
    callback = {"status_callback": f"{APP_URL}/api/callbacks/twilio/status?{ids}"} if app_url else {}
    theirs = official(to=phone, body=text, validity_period=600, **callback)
    assert ours.method == theirs["method"]
    assert "https://api.twilio.com" + ours.path == theirs["url"]
    assert ours.form == {name: str(value) for name, value in theirs["data"].items()}
    assert ours.credentials == ":".join(theirs["auth"])
    assert ours.headers["content-type"] == theirs["headers"]["Content-Type"]
    assert ("StatusCallback" in ours.form) is bool(app_url)


async def test_validity_period_equals_the_remaining_code_lifetime(
    app: TenantApp, message_db: MessageDatabase, phone: str
) -> None:
    await app.ask(phone)
    await end_resend_delay(message_db.connection, phone)
    sql = "update identifiers set code_expires_at = now() + interval '301 s' where identifier = $1"
    await message_db.do(sql, phone)

    status, requested = await app.ask(phone)

    assert status == 200
    first, again = (request.form for request in app.handed_over(phone))
    assert first["ValidityPeriod"] == "600"
    assert again["ValidityPeriod"] == str(requested["expires_in"])
    assert 60 < requested["expires_in"] <= 301
    assert app.carrier.code_for(phone) in first["Body"]


async def test_proxy_from_the_environment_is_ignored(
    monkeypatch: pytest.MonkeyPatch, start_app: Started, carrier: TwilioServer, phone: str, unused_tcp_port: int
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{unused_tcp_port}")
        monkeypatch.setenv(name.lower(), f"http://127.0.0.1:{unused_tcp_port}")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    api = await start_app(TWILIO_API_URL=carrier.url)
    tenant = await api.tenant()

    assert (await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])).status_code == 200
    assert carrier.sent_to(phone)


@pytest.mark.parametrize("error_code", ["30007", 30007, 1.5, {"code": 1}, [], True])
async def test_created_message_with_an_odd_error_code_is_sent(app: TenantApp, phone: str, error_code: object) -> None:
    sid = "SM" + "0123456789abcdefABCDEF0123456789"
    app.carrier.script.append(answer(201, {"sid": sid, "status": "accepted", "error_code": error_code, "code": []}))

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    assert (await app.message(phone))["provider_message_id"] == sid


async def test_accepted_message_is_recorded_with_its_sid(app: TenantApp, phone: str) -> None:
    sid = "SM" + "0123456789abcdefABCDEF0123456789"
    app.carrier.script.append(answer(201, {"sid": sid, "status": "accepted", "error_code": None, "price": None}))

    status, requested = await app.ask(phone)

    assert (status, requested["status"]) == (200, "sent")
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["provider_message_id"]) == ("sent", "twilio", sid)
    assert (row["error"], row["trying"], row["claimed_until"]) == (None, None, None)
    assert await app.sends_counted(phone) == 1


@pytest.mark.parametrize("shape", [reject, rfc_9457])
@pytest.mark.parametrize(("failure", "code", "status"), CASES)
async def test_definite_failure_is_reported_and_refunded(
    app: TenantApp, phone: str, failure: Failure, code: int, status: int, shape: Any
) -> None:
    app.carrier.script.append(shape(code, status))

    got_status, problem = await app.ask(phone)

    assert (got_status, problem["code"]) == ANSWERS.get(failure, (502, "delivery_failed"))
    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("failed", "twilio", f"{failure}:{code}")
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.failed"
    assert str(code) in data
    identifier = await app.message_db.identifier(app.id, phone)
    assert (identifier["sent_at"], identifier["resend_at"], identifier["challenge_ids"]) == ([], None, [])

    # Nothing stands in the way of another try.
    status, requested = await app.ask(phone)
    assert (status, requested["status"]) == (200, "sent")
    assert requested["resend_after"] == 30
    assert await app.log_in(phone) == 200


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (429, b"slow down", "throttled:http_429"),
        (401, b"", "configuration:http_401"),
        (404, b"<html>", "configuration:http_404"),
        (400, b'{"code": "21211"}', "impossible:21211"),
        (400, b'{"code": {}}', "configuration:http_400"),
        (400, b"\xff\xfe", "configuration:http_400"),
        (400, b"[" * 60_000, "configuration:http_400"),
    ],
)
async def test_error_without_a_code_is_classified_by_its_status(
    app: TenantApp, phone: str, status: int, body: bytes, error: str
) -> None:
    app.carrier.script.append(answer(status, body))

    await app.ask(phone)

    row = await app.message(phone)
    assert (row["state"], row["error"]) == ("failed", error)
    assert await app.sends_counted(phone) == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(app: TenantApp, phone: str, status: int) -> None:
    async with TwilioServer() as elsewhere:
        app.carrier.script.append(answer(status, b"", {"location": f"{elsewhere.url}/"}))

        got_status, problem = await app.ask(phone)

        assert elsewhere.requests == []
    assert (got_status, problem["code"]) == (502, "delivery_failed")
    assert (await app.message(phone))["error"] == f"configuration:http_{status}"


async def test_twilio_credentials_are_not_exposed(app: TenantApp, phone: str) -> None:
    app.carrier.script.append(reject(20003, 401))

    _, problem = await app.ask(phone)

    log = await app.api.log()
    for secret in (AUTH_TOKEN, ACCOUNT_SID, "20003"):
        assert secret not in str(problem)
    for secret in (AUTH_TOKEN, phone, app.carrier.code_for(phone)):
        assert secret not in log
