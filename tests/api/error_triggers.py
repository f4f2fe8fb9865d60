"""Trigger each error of errors.py through the API: one function per class."""

from collections.abc import Awaitable, Callable

import httpx
import jwt

from auth1 import errors
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer
from auth1.errors import ApiError
from tests.api.scenario import TOLL_FREE, ApiScenario
from tests.support.api_client import REQUEST, TENANTS
from tests.support.providers.twilio import answer, reject
from tests.support.raw_asgi import JSON

Trigger = Callable[[ApiScenario], Awaitable[httpx.Response]]
ERROR_TRIGGERS: dict[type[ApiError], Trigger] = {}


def triggers(kind: type[ApiError]) -> Callable[[Trigger], Trigger]:
    """Register a function for an error class."""

    def enter(trigger: Trigger) -> Trigger:
        assert kind not in ERROR_TRIGGERS
        ERROR_TRIGGERS[kind] = trigger
        return trigger

    return enter


@triggers(errors.AuthorizationPending)
async def trigger_authorization_pending(scenario: ApiScenario) -> httpx.Response:
    key = (await scenario.api.tenant())["test_key"]
    requested = await scenario.api.post(REQUEST, {"email": "ada@example.com", "mode": "link"}, key)
    named = {name: requested.json()[name] for name in ("challenge_id", "challenge_secret")}
    return await scenario.api.post("/api/auth/token", {"grant_type": "challenge", **named}, key)


@triggers(errors.BadJson)
async def trigger_bad_json(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    headers = {"x-api-key": scenario.key, "content-type": "application/json"}
    return await scenario.api.client.post(REQUEST, content=b'{"phone": ', headers=headers)


@triggers(errors.BadRequest)
async def trigger_bad_request(scenario: ApiScenario) -> httpx.Response:
    return await scenario.raw_asgi.answer("GET", "/health", host=[(b"host", b"a.example"), (b"host", b"b.example")])


@triggers(errors.InvalidCode)
async def trigger_invalid_code(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.verify(scenario.wrong_code())


@triggers(errors.NoActiveChallenge)
async def trigger_no_active_challenge(scenario: ApiScenario) -> httpx.Response:
    scenario.tenant = await scenario.api.tenant()
    return await scenario.verify("000000")


@triggers(errors.InvalidApiKey)
async def trigger_invalid_api_key(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.post(REQUEST, {"phone": scenario.phone}, "auth1_pk_myapp_" + "0" * 38)


@triggers(errors.InvalidToken)
async def trigger_invalid_token(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.client.get(TENANTS, headers={"authorization": "Bearer a made-up token"})


@triggers(errors.NotAuthenticated)
async def trigger_not_authenticated(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.post(REQUEST, {"phone": scenario.phone})


@triggers(errors.SessionRevoked)
async def trigger_session_revoked(scenario: ApiScenario) -> httpx.Response:
    tokens = await scenario.tokens()
    assert (await scenario.log_out(tokens["token"])).status_code == 204
    return await scenario.log_out(tokens["token"])


@triggers(errors.TokenExpired)
async def trigger_token_expired(scenario: ApiScenario) -> httpx.Response:
    token = (await scenario.tokens())["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["exp"] = claims["iat"] - 86_400
    headers = jwt.get_unverified_header(token)
    return await scenario.log_out(jwt.encode(claims, scenario.tenant["jwt_secret"], algorithm="HS256", headers=headers))


@triggers(errors.TokenReused)
async def trigger_token_reused(scenario: ApiScenario) -> httpx.Response:
    tokens = await scenario.tokens()
    assert (await scenario.refresh(tokens["refresh_token"])).status_code == 200
    past = "update sessions set refreshed_at = now() - interval '31 s' where id = $1"
    await scenario.database.execute(past, tokens["session_id"])
    return await scenario.refresh(tokens["refresh_token"])


@triggers(errors.AdminDisabled)
async def trigger_admin_disabled(scenario: ApiScenario) -> httpx.Response:
    api = await scenario.start_app(ADMIN_TOKEN="")
    return await api.admin("GET", TENANTS)


@triggers(errors.CountryNotAllowed)
async def trigger_country_not_allowed(scenario: ApiScenario) -> httpx.Response:
    return await scenario.request("+447700900123", allowed_countries=["DE"])


@triggers(errors.Forbidden)
async def trigger_forbidden(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.client.post("/api/callbacks/twilio/status", data={"MessageStatus": "delivered"})


@triggers(errors.OriginNotAllowed)
async def trigger_origin_not_allowed(scenario: ApiScenario) -> httpx.Response:
    tenant = await scenario.api.tenant()
    wanted = {"kind": "pk", "allowed_origins": ["https://app.example.com"]}
    made = await scenario.api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys", wanted)
    key = made.json()["api_key"]
    return await scenario.api.post(REQUEST, {"phone": scenario.phone}, key, origin="https://evil.example.com")


@triggers(errors.HookDenied)
async def trigger_hook_denied(scenario: ApiScenario) -> httpx.Response:
    tenant = await scenario.api.tenant()
    return await scenario.api.post(REQUEST, {"phone": "+15005550008"}, tenant["test_key"])


@triggers(errors.ProofRequired)
async def trigger_proof_required(scenario: ApiScenario) -> httpx.Response:
    tenant = await scenario.api.tenant()
    return await scenario.api.post(REQUEST, {"phone": "+15005550006"}, tenant["test_key"])


@triggers(errors.ReauthenticationRequired)
async def trigger_reauthentication_required(scenario: ApiScenario) -> httpx.Response:
    token = (await scenario.tokens())["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["auth_time"] -= 301
    headers = jwt.get_unverified_header(token)
    token = jwt.encode(claims, scenario.tenant["jwt_secret"], algorithm="HS256", headers=headers)
    new = {"email": "ada@example.com"}
    return await scenario.api.post("/api/auth/me/identifiers", new, scenario.key, authorization=f"Bearer {token}")


@triggers(errors.RequestBlocked)
async def trigger_request_blocked(scenario: ApiScenario) -> httpx.Response:
    return await scenario.request(TOLL_FREE)


@triggers(errors.TenantSuspended)
async def trigger_tenant_suspended(scenario: ApiScenario) -> httpx.Response:
    tenant = scenario.tenant = await scenario.api.tenant()
    await scenario.api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/suspend")
    return await scenario.request()


@triggers(errors.TenantMoved)
async def trigger_tenant_moved(scenario: ApiScenario) -> httpx.Response:
    tenant = scenario.tenant = await scenario.api.tenant()
    moved = "insert into tenant_moves (tenant_id, move_id, state) values ($1, 'mv_1', 'moved')"
    await scenario.database.execute(moved, tenant["tenant_id"])
    return await scenario.request()


@triggers(errors.UserBanned)
async def trigger_user_banned(scenario: ApiScenario) -> httpx.Response:
    user_id = await scenario.login()
    await scenario.api.ban(scenario.tenant, user_id)
    assert (await scenario.request()).status_code == 200  # the ban is reported after a correct code only
    assert (await scenario.verify(scenario.wrong_code())).json()["code"] == "invalid_code"
    return await scenario.verify(scenario.twilio.code_for(scenario.phone))


@triggers(errors.NotFound)
async def trigger_not_found(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.client.get("/api/auth/nothing")


@triggers(errors.MethodNotAllowed)
async def trigger_method_not_allowed(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.client.get(REQUEST)


@triggers(errors.RequestTimeout)
async def trigger_request_timeout(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    headers = [(b"x-api-key", scenario.key.encode()), JSON]
    return await scenario.raw_asgi.answer("POST", REQUEST, headers, b'{"phone"', then="stall")


@triggers(errors.Conflict)
async def trigger_conflict(scenario: ApiScenario) -> httpx.Response:
    tenant = await scenario.api.tenant()
    return await scenario.api.admin("POST", TENANTS, {"name": "Another", "slug": tenant["slug"]})


@triggers(errors.PayloadTooLarge)
async def trigger_payload_too_large(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.api.post(REQUEST, {"phone": "+" + "1" * 17_000}, scenario.key)


@triggers(errors.UriTooLong)
async def trigger_uri_too_long(scenario: ApiScenario) -> httpx.Response:
    return await scenario.api.client.get("/api/admin/tenants?cursor=" + "a" * 2048)


@triggers(errors.UnsupportedMediaType)
async def trigger_unsupported_media_type(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.api.client.post(REQUEST, data={"phone": scenario.phone}, headers={"x-api-key": scenario.key})


@triggers(errors.ValidationFailed)
async def trigger_validation_failed(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.api.post(REQUEST, {"phone": scenario.phone, "colour": "blue"}, scenario.key)


@triggers(errors.InvalidPhone)
async def trigger_invalid_phone(scenario: ApiScenario) -> httpx.Response:
    assert (await scenario.request("5551234567")).json()["code"] == "invalid_phone"
    with scenario.providers(reject(21211)):
        return await scenario.request()


@triggers(errors.InvalidEmail)
async def trigger_invalid_email(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.api.post(REQUEST, {"email": "missing"}, scenario.key)


@triggers(errors.RecipientOptedOut)
async def trigger_recipient_opted_out(scenario: ApiScenario) -> httpx.Response:
    with scenario.providers(reject(21610)):
        return await scenario.request()


@triggers(errors.IdempotencyKeyReused)
async def trigger_idempotency_key_reused(scenario: ApiScenario) -> httpx.Response:
    scenario.tenant = await scenario.api.tenant()
    first, second = [
        await scenario.api.post(REQUEST, {"phone": phone}, scenario.key, idempotency_key="one")
        for phone in (scenario.phone, "+447700900123")
    ]
    assert first.status_code == 200
    return second


@triggers(errors.BudgetExceeded)
async def trigger_budget_exceeded(scenario: ApiScenario) -> httpx.Response:
    assert (await scenario.request(messages_per_day=1)).status_code == 200
    return await scenario.request("+447700900123")


@triggers(errors.RateLimited)
async def trigger_rate_limited(scenario: ApiScenario) -> httpx.Response:
    assert (await scenario.request(requests_per_minute=1)).status_code == 200
    rejected = await scenario.request()
    # Redis counts as unavailable when a busy machine makes it slow; then the process counts from zero.
    return rejected if rejected.json()["code"] == "rate_limited" else await scenario.request()


@triggers(errors.ResendTooSoon)
async def trigger_resend_too_soon(scenario: ApiScenario) -> httpx.Response:
    assert (await scenario.request()).status_code == 200
    return await scenario.request()


@triggers(errors.TooManyAttempts)
async def trigger_too_many_attempts(scenario: ApiScenario) -> httpx.Response:
    await scenario.request(max_otp_attempts=1)
    assert (await scenario.verify(scenario.wrong_code())).json()["code"] == "invalid_code"
    return await scenario.verify(scenario.twilio.code_for(scenario.phone))


@triggers(errors.InternalError)
async def trigger_internal_error(scenario: ApiScenario) -> httpx.Response:
    async with scenario.own_database("auth1_broken") as (api, connection):
        assert (await scenario.request(api=api)).status_code == 200
        await connection.execute("alter table identifiers rename column code_box to code_crate")
        return await scenario.request(api=api)


@triggers(errors.DeliveryFailed)
async def trigger_delivery_failed(scenario: ApiScenario) -> httpx.Response:
    with scenario.providers(answer(500, {"message": "no"})):
        return await scenario.request()


@triggers(errors.ChannelUnavailable)
async def trigger_channel_unavailable(scenario: ApiScenario) -> httpx.Response:
    await scenario.request()
    return await scenario.api.post(REQUEST, {"email": "ada@example.com"}, scenario.key)


@triggers(errors.Unavailable)
async def trigger_unavailable(scenario: ApiScenario) -> httpx.Response:
    with PostgresServer(scenario.directory, durable=False) as server:
        await migrate(server.url())
        api = await scenario.start_app(DATABASE_URL=server.url())
        assert (await scenario.request(api=api)).status_code == 200
    sent = len(scenario.twilio.requests)
    unavailable = await scenario.request(api=api)
    assert len(scenario.twilio.requests) == sent
    return unavailable
