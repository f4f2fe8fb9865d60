"""Concurrent requests with one Idempotency-Key: one is executed, and the others get its response."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from functools import partial

import asyncpg
import httpx
import pytest

from tests.conftest import Started
from tests.races.conftest import SETTINGS, NewUser, RaceUser, at_once, outcome, outcomes
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import Behaviour, Request, TwilioServer, hang_up, reject, take

REQUEST = "/api/auth/request"
HALF_A_MINUTE = "update idempotency set claimed_at = claimed_at - interval '31 s' where tenant_id = $1"


@pytest.fixture(scope="module")
async def carrier() -> AsyncIterator[TwilioServer]:
    """Return a carrier of the test, which may reject messages."""
    async with TwilioServer() as server:
        yield server


@pytest.fixture(scope="module")
async def own_api(start_app: Started, races_url: str, carrier: TwilioServer) -> ApiClient:
    return await start_app(DATABASE_URL=races_url, TWILIO_API_URL=carrier.url, **SETTINGS)


@pytest.fixture
async def user(own_api: ApiClient, carrier: TwilioServer, database: asyncpg.Connection) -> AsyncIterator[RaceUser]:
    """Return a user on an instance of the test, because circuit breakers keep state."""
    yield RaceUser([own_api], await own_api.tenant(), carrier, database)
    carrier.behaviour = take


async def ask(user: RaceUser, key: str, **more: object) -> httpx.Response:
    """Request once with an Idempotency-Key, at either instance."""
    body = {"phone": user.phone, **more}
    return await user.api.post(REQUEST, body, user.tenant["api_key"], idempotency_key=key)


def replayed(answer: httpx.Response) -> bool:
    return "idempotent-replayed" in answer.headers


def held(behaviour: Behaviour) -> tuple[Behaviour, asyncio.Event, asyncio.Event]:
    """Return a behaviour that waits, the event of its arrival, and the event that releases it."""
    arrived, decided = asyncio.Event(), asyncio.Event()

    async def behave(request: Request, writer: asyncio.StreamWriter) -> None:
        arrived.set()
        await decided.wait()
        await behaviour(request, writer)

    return behave, arrived, decided


async def test_fifty_requests_with_one_idempotency_key_send_one_message(
    apis: list[ApiClient], new_user: NewUser
) -> None:
    # In the sandbox nothing else keeps a second message back: no wait, no budget, no limit on a number.
    user, key = await new_user(apis), secrets.token_hex(16)
    user.tenant |= {"api_key": user.tenant["test_key"], "tenant_id": f"{user.tenant_id}:test"}

    answers = await at_once(*[partial(ask, user, key)] * 50)

    assert_one_answer(answers, [await ask(user, key) for _ in range(3)])
    assert await user.count("challenges") == await user.count("messages") == 1
    assert (await user.answer("000000")).status_code == 200


async def test_nineteen_requests_with_one_idempotency_key_send_one_sms(
    apis: list[ApiClient], new_user: NewUser
) -> None:
    user, key = await new_user(apis), secrets.token_hex(16)

    answers = await at_once(*[partial(ask, user, key)] * 19)

    assert_one_answer(answers, [await ask(user, key)])
    assert len(user.codes) == await user.count("challenges") == await user.count("messages") == 1
    assert (await user.answer(user.code)).status_code == 200


def assert_one_answer(answers: list[httpx.Response], later: list[httpx.Response]) -> None:
    """Check that one request was executed, concurrent ones conflicted, and later ones were replayed."""
    first = [answer for answer in answers if answer.status_code == 200 and not replayed(answer)]
    assert len(first) == 1
    assert set(outcomes(answers)) <= {"200", "conflict"}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if outcome(answer) == "conflict")
    assert {answer.status_code for answer in later} == {200}
    assert all(replayed(answer) for answer in later)
    assert len({answer.content for answer in [*answers, *later] if answer.status_code == 200}) == 1


async def test_requests_with_different_idempotency_keys_are_independent(new_user: NewUser) -> None:
    user = await new_user()

    answers = await at_once(*(partial(ask, user, secrets.token_hex(16)) for _ in range(20)))

    assert outcomes(answers) == {"200": 1, "resend_too_soon": 19}
    assert await user.count("messages") == 1
    # A rejection frees its key.
    assert await user.count("idempotency") == 1


async def test_second_request_with_the_same_key_is_a_conflict_while_in_progress(
    user: RaceUser, carrier: TwilioServer
) -> None:
    carrier.behaviour, arrived, decided = held(take)
    first = asyncio.create_task(ask(user, "one"))
    await arrived.wait()

    second, other_body = await ask(user, "one"), await ask(user, "one", locale="de")
    decided.set()

    assert (outcome(second), second.status_code, second.headers["retry-after"]) == ("conflict", 409, "1")
    assert (outcome(other_body), other_body.status_code) == ("idempotency_key_reused", 422)
    assert (await first).content == (await ask(user, "one")).content


async def test_rejected_send_is_repeated_with_the_same_idempotency_key(user: RaceUser, carrier: TwilioServer) -> None:
    carrier.behaviour = reject(20429, status=429)
    assert outcome(await ask(user, "one")) == "delivery_failed"
    carrier.behaviour = take

    answer = await ask(user, "one")

    assert answer.status_code == 200
    assert not replayed(answer)
    assert len(user.codes) == 2


async def test_unknown_send_is_replayed_with_the_same_idempotency_key(user: RaceUser, carrier: TwilioServer) -> None:
    carrier.behaviour = hang_up
    first = await ask(user, "one")
    carrier.behaviour = take

    second = await ask(user, "one")

    assert outcome(first) == "delivery_failed"
    assert (second.status_code, second.content) == (502, first.content)
    assert second.headers["content-type"] == "application/problem+json"
    assert (replayed(second), second.headers["retry-after"]) == (True, first.headers["retry-after"])
    assert len(user.codes) == 1
    assert outcome(await ask(user, "two")) == "200"


async def test_idempotency_claim_of_a_crashed_process_expires_after_30_seconds(
    user: RaceUser, carrier: TwilioServer
) -> None:
    carrier.behaviour, arrived, _ = held(take)
    dying = asyncio.create_task(ask(user, "one"))
    await arrived.wait()
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    carrier.behaviour = take
    assert outcome(await ask(user, "one")) == "conflict"

    await user.later(31)
    await user.database.execute(HALF_A_MINUTE, user.tenant_id)
    assert outcome(await ask(user, "one", locale="de")) == "idempotency_key_reused"
    answers = await at_once(*[partial(ask, user, "one")] * 10)

    assert {outcome(answer) for answer in answers} <= {"200", "conflict"}
    assert sum(answer.status_code == 200 and not replayed(answer) for answer in answers) == 1
    assert await user.count("messages") == 2


async def test_idempotency_key_expires_after_a_day(user: RaceUser) -> None:
    assert (await ask(user, "one")).status_code == 200
    await user.later(24 * 3600)
    day = "update idempotency set claimed_at = claimed_at - interval '24 hours 1 s' where tenant_id = $1"
    await user.database.execute(day, user.tenant_id)

    answer = await ask(user, "one", locale="de")

    assert answer.status_code == 200
    assert not replayed(answer)
    assert replayed(await ask(user, "one", locale="de"))


async def test_fifty_creations_of_an_api_key_with_one_idempotency_key_create_one(
    first: ApiClient, database: asyncpg.Connection
) -> None:
    tenant = await first.tenant()
    path = f"/api/admin/tenants/{tenant['tenant_id']}/keys"
    headers = {"authorization": f"Bearer {first.settings.admin_token}", "idempotency-key": secrets.token_hex(16)}

    async def make() -> httpx.Response:
        return await first.client.post(path, json={"kind": "pk"}, headers=headers)

    answers = await at_once(*[make] * 50)

    made = [answer for answer in answers if answer.status_code == 201]
    assert {answer.status_code for answer in answers} <= {201, 409}
    assert sum(not replayed(answer) for answer in made) == 1
    assert len({answer.content for answer in [*made, await make()]}) == 1
    number = await database.fetchval("select count(*) from keys where tenant_id = $1", tenant["tenant_id"])
    assert number == 3 + 1
