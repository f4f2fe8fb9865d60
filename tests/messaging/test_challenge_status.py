"""GET /api/auth/challenges/{id}: the status of a challenge and its message, and its access rules."""

import re
from datetime import UTC, datetime

import httpx
import pytest

from auth1.authn.limits import POLLS
from tests.conftest import Started
from tests.messaging.callbacks import UNDELIVERED, Report
from tests.messaging.conftest import MessageDatabase, TenantApp
from tests.support.api_client import ApiClient
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import Behaviour, TwilioServer, hang_up, reject

PATH = "/api/auth/challenges"
RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


async def look(api: ApiClient, challenge_id: str, key: str | None, **headers: str) -> httpx.Response:
    named = headers | ({"x-api-key": key} if key is not None else {})
    return await api.client.get(f"{PATH}/{challenge_id}", headers=named)


async def ask(app: TenantApp, phone: str, key: str = "api_key", **body: str) -> str:
    """Request a code; return the id of the challenge."""
    requested = await app.api.post("/api/auth/request", {"phone": phone, **body}, app.tenant[key])
    assert requested.status_code == 200, requested.text
    return str(requested.json()["challenge_id"])


async def test_challenge_shows_the_state_of_its_message(app: TenantApp, phone: str) -> None:
    challenge_id = await ask(app, phone)
    row = await app.message(phone)

    answer = await look(app.api, challenge_id, app.tenant["api_key"])

    assert answer.status_code == 200
    found = answer.json()
    times = [found["opened_at"], found["expires_at"], found["message"]["created_at"], found["message"]["updated_at"]]
    assert all(RFC_3339.fullmatch(time) for time in times)
    assert found == {
        "challenge_id": challenge_id,
        "channel": "sms",
        "status": "open",
        "opened_at": times[0],
        "expires_at": times[1],
        "message": {
            "message_id": row["id"],
            "state": "sent",
            "provider": "twilio",
            "created_at": times[2],
            "updated_at": times[3],
        },
    }
    opened_at, expires_at = (datetime.fromisoformat(time) for time in times[:2])
    assert (expires_at - opened_at).total_seconds() == 600
    assert opened_at <= datetime.fromisoformat(times[2]) <= datetime.fromisoformat(times[3]) == row["updated_at"]
    assert opened_at.tzinfo == UTC

    url = app.handed_over(phone)[-1].form["StatusCallback"]
    await Report(url, "delivered").send(app.api)
    found = (await look(app.api, challenge_id, app.tenant["api_key"])).json()
    assert (found["status"], found["message"]["state"]) == ("open", "delivered")


async def test_message_error_is_shown_to_secret_keys_only(app: TenantApp, phone: str, url: str) -> None:
    challenge_id = (await app.message(phone))["challenge_id"]
    public, secret = app.tenant["api_key"], app.tenant["secret_key"]
    assert (await look(app.api, challenge_id, secret)).json()["message"]["error"] is None

    await Report(url, "undelivered", more=UNDELIVERED).send(app.api)

    reported = (await look(app.api, challenge_id, secret)).json()["message"]
    assert (reported["state"], reported["error"]) == ("failed", "undelivered:30003")
    public_view = await look(app.api, challenge_id, public)
    assert public_view.json()["message"]["state"] == "failed"
    assert "error" not in public_view.json()["message"]
    assert "30003" not in public_view.text


async def test_challenge_shows_its_final_status(app: TenantApp, message_db: MessageDatabase, phone: str) -> None:
    async def status(challenge_id: str) -> str:
        return str((await look(app.api, challenge_id, app.tenant["api_key"])).json()["status"])

    async def verify(challenge_id: str, code: str) -> None:
        body = {"phone": phone, "code": code, "challenge_id": challenge_id}
        await app.api.post("/api/auth/verify", body, app.tenant["api_key"])

    async def wait_is_over() -> None:
        await end_resend_delay(message_db.connection, phone)

    first = await ask(app, phone)
    code = app.carrier.code_for(phone)
    await wait_is_over()
    second = await ask(app, phone)
    await wait_is_over()
    third = await ask(app, phone)
    for _ in range(5):
        await verify(first, f"{(int(code) + 1) % 1_000_000:06d}")
    assert [await status(challenge_id) for challenge_id in (first, second, third)] == ["exhausted", "open", "open"]

    await verify(second, code)
    statuses = [await status(challenge_id) for challenge_id in (first, second, third)]
    assert statuses == ["exhausted", "answered", "cancelled"]

    fourth = await ask(app, phone)
    await message_db.do("update challenges set expires_at = now() where id = any($1)", [first, second, fourth])
    statuses = [await status(challenge_id) for challenge_id in (first, second, fourth)]
    assert statuses == ["exhausted", "answered", "expired"]


async def test_resend_with_challenge_id_shows_the_newest_message(
    app: TenantApp, message_db: MessageDatabase, phone: str
) -> None:
    challenge_id = await ask(app, phone)
    await end_resend_delay(message_db.connection, phone)
    assert await ask(app, phone, challenge_id=challenge_id) == challenge_id
    await end_resend_delay(message_db.connection, phone)
    other = await ask(app, phone)

    first, again, of_other = await message_db.messages(app.id, phone)
    for challenge, message in ((challenge_id, again), (other, of_other)):
        found = (await look(app.api, challenge, app.tenant["api_key"])).json()
        assert found["message"]["message_id"] == message["id"]
    assert first["id"] != again["id"]


@pytest.mark.parametrize(("behaviour", "state"), [(reject(30003), "failed"), (hang_up, "unknown")])
async def test_challenge_shows_a_failed_send(
    app: TenantApp, carrier: TwilioServer, phone: str, behaviour: Behaviour, state: str
) -> None:
    carrier.script.append(behaviour)
    assert (await app.ask(phone))[0] == 502
    row = await app.message(phone)

    found = (await look(app.api, row["challenge_id"], app.tenant["secret_key"])).json()

    assert found["status"] == ("cancelled" if state == "failed" else "open")
    assert (found["message"]["state"], found["message"]["error"]) == (state, row["error"])


async def test_deleted_message_is_null(app: TenantApp, message_db: MessageDatabase, phone: str) -> None:
    challenge_id = await ask(app, phone)
    await message_db.do("delete from messages where identifier = $1", phone)

    found = await look(app.api, challenge_id, app.tenant["secret_key"])

    assert (found.status_code, found.json()["message"]) == (200, None)


async def test_challenge_of_another_tenant_is_not_found(app: TenantApp, phone: str) -> None:
    live = await ask(app, phone)
    sandboxed = await ask(app, phone, "test_key")
    other = await app.api.tenant()

    keys = {kind: app.tenant[kind] for kind in ("api_key", "secret_key", "test_key")}
    for kind, key in keys.items():
        seen = [(await look(app.api, challenge_id, key)).status_code for challenge_id in (live, sandboxed)]
        assert seen == ([404, 200] if kind == "test_key" else [200, 404])
        rejected = await look(app.api, live, other[kind])
        assert (rejected.status_code, rejected.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize("challenge_id", ["ch_" + "0" * 26, "nothing", "ch_%00", "a" * 65, "..", "%2e%2e", "'--", ""])
async def test_invalid_challenge_id_is_not_found(app: TenantApp, challenge_id: str) -> None:
    answer = await look(app.api, challenge_id, app.tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_challenge_requires_a_tenant_key(app: TenantApp, phone: str) -> None:
    challenge_id = await ask(app, phone)

    for key, code in ((None, "not_authenticated"), ("auth1_pk_myapp_made-up", "invalid_api_key")):
        rejected = await look(app.api, challenge_id, key)
        assert (rejected.status_code, rejected.json()["code"]) == (401, code)


async def test_polling_a_challenge_does_not_use_the_login_rate_limit(
    start_app: Started, carrier: TwilioServer, message_db: MessageDatabase, phone: str
) -> None:
    """Apps poll every few seconds; RATE_LIMIT_MAX applies to requests and verifications."""
    api = await start_app(TWILIO_API_URL=carrier.url, RATE_LIMIT_MAX="1")
    app = TenantApp(api, carrier, message_db, await api.tenant())
    challenge_id = await ask(app, phone, "secret_key")
    person = {"x-forwarded-for": "198.51.100.78"}

    for _ in range(4):
        looked = await look(api, challenge_id, app.tenant["api_key"], **person)
        assert looked.status_code == 200
        assert looked.headers["ratelimit-policy"] == f'"poll";q={POLLS};w=60'
    body = {"phone": phone, "code": carrier.code_for(phone)}
    verified = await api.post("/api/auth/verify", body, app.tenant["api_key"], **person)
    assert verified.status_code == 200
