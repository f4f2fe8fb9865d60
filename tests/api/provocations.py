"""Trigger each error of errors.py through the API: one function per class."""

from collections.abc import Awaitable, Callable

import httpx
import jwt

from auth1 import errors
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer
from auth1.errors import ApiError
from tests.api.wire import JSON
from tests.api.world import REQUEST, TENANTS, TOLL_FREE, World
from tests.outside.twilio import answer, refuse

Provocation = Callable[[World], Awaitable[httpx.Response]]
PROVOCATIONS: dict[type[ApiError], Provocation] = {}


def provokes(kind: type[ApiError]) -> Callable[[Provocation], Provocation]:
    """Register a function for an error class."""

    def enter(provocation: Provocation) -> Provocation:
        assert kind not in PROVOCATIONS
        PROVOCATIONS[kind] = provocation
        return provocation

    return enter


@provokes(errors.AuthorizationPending)
async def redeem_a_link_that_nobody_has_confirmed(world: World) -> httpx.Response:
    key = (await world.door.tenant())["test_key"]
    asked = await world.door.post(REQUEST, {"email": "somebody@example.com", "mode": "link"}, key)
    named = {name: asked.json()[name] for name in ("challenge_id", "challenge_secret")}
    return await world.door.post("/api/auth/token", {"grant_type": "challenge", **named}, key)


@provokes(errors.BadJson)
async def send_half_a_document(world: World) -> httpx.Response:
    await world.request()
    headers = {"x-api-key": world.key, "content-type": "application/json"}
    return await world.door.client.post(REQUEST, content=b'{"phone": ', headers=headers)


@provokes(errors.BadRequest)
async def send_two_hosts(world: World) -> httpx.Response:
    return await world.wire.answer("GET", "/health", host=[(b"host", b"a.example"), (b"host", b"b.example")])


@provokes(errors.InvalidCode)
async def guess(world: World) -> httpx.Response:
    await world.request()
    return await world.verify(world.wrong_code())


@provokes(errors.NoActiveChallenge)
async def answer_without_being_asked(world: World) -> httpx.Response:
    world.tenant = await world.door.tenant()
    return await world.verify("000000")


@provokes(errors.InvalidApiKey)
async def make_up_a_key(world: World) -> httpx.Response:
    return await world.door.post(REQUEST, {"phone": world.phone}, "auth1_pk_myapp_" + "0" * 38)


@provokes(errors.InvalidToken)
async def guess_the_admin_token(world: World) -> httpx.Response:
    return await world.door.client.get(TENANTS, headers={"authorization": "Bearer a token that somebody made up"})


@provokes(errors.NotAuthenticated)
async def forget_the_key(world: World) -> httpx.Response:
    return await world.door.post(REQUEST, {"phone": world.phone})


@provokes(errors.SessionRevoked)
async def log_out_twice(world: World) -> httpx.Response:
    tokens = await world.tokens()
    assert (await world.log_out(tokens["token"])).status_code == 204
    return await world.log_out(tokens["token"])


@provokes(errors.TokenExpired)
async def call_with_a_token_of_yesterday(world: World) -> httpx.Response:
    token = (await world.tokens())["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["exp"] = claims["iat"] - 86_400
    headers = jwt.get_unverified_header(token)
    return await world.log_out(jwt.encode(claims, world.tenant["jwt_secret"], algorithm="HS256", headers=headers))


@provokes(errors.TokenReused)
async def refresh_with_an_old_token(world: World) -> httpx.Response:
    tokens = await world.tokens()
    assert (await world.refresh(tokens["refresh_token"])).status_code == 200
    past = "update sessions set refreshed_at = now() - interval '31 s' where id = $1"
    await world.database.execute(past, tokens["session_id"])
    return await world.refresh(tokens["refresh_token"])


@provokes(errors.AdminDisabled)
async def call_as_operator_where_there_is_none(world: World) -> httpx.Response:
    door = await world.start_app(ADMIN_TOKEN="")
    return await door.admin("GET", TENANTS)


@provokes(errors.CountryNotAllowed)
async def send_to_another_country(world: World) -> httpx.Response:
    return await world.request("+447700900123", allowed_countries=["DE"])


@provokes(errors.Forbidden)
async def report_a_delivery_without_being_twilio(world: World) -> httpx.Response:
    return await world.door.client.post("/api/callbacks/twilio/status", data={"MessageStatus": "delivered"})


@provokes(errors.OriginNotAllowed)
async def call_from_a_stranger_s_page(world: World) -> httpx.Response:
    tenant = await world.door.tenant()
    wanted = {"kind": "pk", "allowed_origins": ["https://app.example.com"]}
    made = await world.door.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys", wanted)
    key = made.json()["api_key"]
    return await world.door.post(REQUEST, {"phone": world.phone}, key, origin="https://evil.example.com")


@provokes(errors.ReauthenticationRequired)
async def change_a_number_long_after_the_login(world: World) -> httpx.Response:
    token = (await world.tokens())["token"]
    claims = jwt.decode(token, options={"verify_signature": False})
    claims["auth_time"] -= 301
    headers = jwt.get_unverified_header(token)
    token = jwt.encode(claims, world.tenant["jwt_secret"], algorithm="HS256", headers=headers)
    new = {"email": "somebody@example.com"}
    return await world.door.post("/api/auth/me/identifiers", new, world.key, authorization=f"Bearer {token}")


@provokes(errors.RequestBlocked)
async def ask_for_a_toll_free_number(world: World) -> httpx.Response:
    return await world.request(TOLL_FREE)


@provokes(errors.TenantSuspended)
async def call_for_a_suspended_tenant(world: World) -> httpx.Response:
    tenant = world.tenant = await world.door.tenant()
    await world.door.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/suspend")
    return await world.request()


@provokes(errors.UserBanned)
async def log_in_although_banned(world: World) -> httpx.Response:
    user_id = await world.login()
    await world.database.execute("update users set banned_until = 'infinity' where id = $1", user_id)
    assert (await world.request()).status_code == 200  # as usual: only a right code is told of the ban
    assert (await world.verify(world.wrong_code())).json()["code"] == "invalid_code"
    return await world.verify(world.twilio.code_for(world.phone))


@provokes(errors.NotFound)
async def look_for_nothing(world: World) -> httpx.Response:
    return await world.door.client.get("/api/auth/nothing")


@provokes(errors.MethodNotAllowed)
async def get_what_is_only_posted(world: World) -> httpx.Response:
    return await world.door.client.get(REQUEST)


@provokes(errors.RequestTimeout)
async def never_finish_the_body(world: World) -> httpx.Response:
    await world.request()
    headers = [(b"x-api-key", world.key.encode()), JSON]
    return await world.wire.answer("POST", REQUEST, headers, b'{"phone"', then="stall")


@provokes(errors.Conflict)
async def take_a_slug_twice(world: World) -> httpx.Response:
    tenant = await world.door.tenant()
    return await world.door.admin("POST", TENANTS, {"name": "Another", "slug": tenant["slug"]})


@provokes(errors.PayloadTooLarge)
async def send_a_novel(world: World) -> httpx.Response:
    await world.request()
    return await world.door.post(REQUEST, {"phone": "+" + "1" * 17_000}, world.key)


@provokes(errors.UriTooLong)
async def ask_at_length(world: World) -> httpx.Response:
    return await world.door.client.get("/api/admin/tenants?cursor=" + "a" * 2048)


@provokes(errors.UnsupportedMediaType)
async def send_a_form(world: World) -> httpx.Response:
    await world.request()
    return await world.door.client.post(REQUEST, data={"phone": world.phone}, headers={"x-api-key": world.key})


@provokes(errors.ValidationFailed)
async def send_an_unknown_field(world: World) -> httpx.Response:
    await world.request()
    return await world.door.post(REQUEST, {"phone": world.phone, "colour": "blue"}, world.key)


@provokes(errors.InvalidPhone)
async def send_to_what_the_provider_knows_to_be_impossible(world: World) -> httpx.Response:
    assert (await world.request("5551234567")).json()["code"] == "invalid_phone"
    with world.providers(refuse(21211)):
        return await world.request()


@provokes(errors.InvalidEmail)
async def write_no_address(world: World) -> httpx.Response:
    await world.request()
    return await world.door.post(REQUEST, {"email": "nobody"}, world.key)


@provokes(errors.RecipientOptedOut)
async def send_to_somebody_who_said_stop(world: World) -> httpx.Response:
    with world.providers(refuse(21610)):
        return await world.request()


@provokes(errors.IdempotencyKeyReused)
async def ask_for_two_people_with_one_key(world: World) -> httpx.Response:
    world.tenant = await world.door.tenant()
    first, second = [
        await world.door.post(REQUEST, {"phone": phone}, world.key, idempotency_key="one")
        for phone in (world.phone, "+447700900123")
    ]
    assert first.status_code == 200
    return second


@provokes(errors.BudgetExceeded)
async def send_more_than_the_tenant_may(world: World) -> httpx.Response:
    assert (await world.request(messages_per_day=1)).status_code == 200
    return await world.request("+447700900123")


@provokes(errors.RateLimited)
async def ask_more_often_than_the_tenant_may(world: World) -> httpx.Response:
    assert (await world.request(requests_per_minute=1)).status_code == 200
    refused = await world.request()
    # Redis counts as away when a busy machine makes it slow; then the process counts, from nought.
    return refused if refused.json()["code"] == "rate_limited" else await world.request()


@provokes(errors.ResendTooSoon)
async def ask_twice(world: World) -> httpx.Response:
    assert (await world.request()).status_code == 200
    return await world.request()


@provokes(errors.TooManyAttempts)
async def guess_once_too_often(world: World) -> httpx.Response:
    await world.request(max_otp_attempts=1)
    assert (await world.verify(world.wrong_code())).json()["code"] == "invalid_code"
    return await world.verify(world.twilio.code_for(world.phone))


@provokes(errors.InternalError)
async def call_over_a_schema_that_somebody_changed(world: World) -> httpx.Response:
    async with world.own_database("auth1_broken") as (door, connection):
        assert (await world.request(door=door)).status_code == 200
        await connection.execute("alter table identifiers rename column code_box to code_crate")
        return await world.request(door=door)


@provokes(errors.DeliveryFailed)
async def send_through_a_broken_provider(world: World) -> httpx.Response:
    with world.providers(answer(500, {"message": "no"})):
        return await world.request()


@provokes(errors.ChannelUnavailable)
async def write_where_nobody_delivers(world: World) -> httpx.Response:
    await world.request()
    return await world.door.post(REQUEST, {"email": "somebody@example.com"}, world.key)


@provokes(errors.Unavailable)
async def call_while_the_database_is_away(world: World) -> httpx.Response:
    with PostgresServer(world.directory, durable=False) as server:
        await migrate(server.url())
        door = await world.start_app(DATABASE_URL=server.url())
        assert (await world.request(door=door)).status_code == 200
    sent = len(world.twilio.requests)
    unavailable = await world.request(door=door)
    assert len(world.twilio.requests) == sent
    return unavailable
