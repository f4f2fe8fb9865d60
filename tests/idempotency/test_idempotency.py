"""Idempotency-Key: its format, its scope, and when a response is replayed."""

from contextlib import ExitStack
from typing import Any

import asyncpg
import httpx
import msgspec
import pytest

from auth1.authn.guards import public
from auth1.core.http.request import ReplayedResponse, Request, Response
from auth1.core.http.router import Route
from auth1.core.schemas import Out
from auth1.idempotency import run_idempotent
from auth1.messaging import dispatcher
from auth1.routes import ROUTES
from tests.conftest import new_phone
from tests.support.api_client import ADMIN_TOKEN, ApiClient
from tests.support.dump import dump
from tests.support.providers.twilio import TwilioServer

REQUEST, TENANTS = "/api/auth/request", "/api/admin/tenants"


class Made(Out):
    name: str


async def ask(api: ApiClient, key: str, phone: str, idempotency_key: str | bytes, **headers: str) -> httpx.Response:
    value = idempotency_key.encode() if isinstance(idempotency_key, str) else idempotency_key
    named = {b"x-api-key": key.encode(), b"idempotency-key": value}
    named |= {name.encode(): value.encode() for name, value in headers.items()}
    return await api.client.post(REQUEST, json={"phone": phone}, headers=named)


def replayed(answer: httpx.Response) -> bool:
    return answer.headers.get("idempotent-replayed") is not None


@pytest.mark.parametrize(
    "key",
    [
        "8e03978e-40d5-43e8-bc93-6894a57f9324",
        '"8e03978e-40d5-43e8-bc93-6894a57f9324"',
        "!",
        "k" * 255,
        '"' + "k" * 255 + '"',
        r'"with \" and \\ in it"'.replace(" ", "-"),
        "a;b=c,d",
    ],
)
async def test_idempotency_key_is_accepted_with_or_without_quotes(api: ApiClient, key: str) -> None:
    tenant, phone = await api.tenant(), new_phone()

    first, second = [await ask(api, tenant["test_key"], phone, key) for _ in range(2)]

    assert (first.status_code, replayed(first)) == (200, False)
    assert (second.status_code, replayed(second)) == (200, True)
    assert second.content == first.content
    assert second.headers["content-type"] == first.headers["content-type"]


@pytest.mark.parametrize(
    "key",
    ["", '""', "k" * 256, '"' + "k" * 256 + '"', '"half', 'half"'[::-1], '"a" ;b', '"a";b=1', "two words", "\tk\x7f",
     '"a\\b"', "é".encode(), "ключ".encode(), b"\x80"],
)  # fmt: skip
async def test_invalid_idempotency_key_is_rejected_without_a_send(
    api: ApiClient, tenant: dict[str, str], twilio_server: TwilioServer, key: str | bytes
) -> None:
    phone = new_phone()

    answer = await ask(api, tenant["api_key"], phone, key)

    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ["idempotency-key"]
    assert twilio_server.sent_to(phone) == []


async def test_duplicate_idempotency_key_header_is_rejected(api: ApiClient, tenant: dict[str, str]) -> None:
    headers = [("x-api-key", tenant["test_key"]), ("idempotency-key", "a"), ("idempotency-key", "a")]
    answer = await api.client.post(REQUEST, json={"phone": new_phone()}, headers=headers)

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_quoted_and_unquoted_idempotency_keys_are_equal(api: ApiClient, tenant: dict[str, str]) -> None:
    phone = new_phone()
    first = await ask(api, tenant["test_key"], phone, "the-same")

    assert (await ask(api, tenant["test_key"], phone, '"the-same"')).content == first.content


async def test_equivalent_json_bodies_are_equal(api: ApiClient, tenant: dict[str, str]) -> None:
    headers = {"x-api-key": tenant["test_key"], "idempotency-key": "spelled", "content-type": "application/json"}
    bodies = [
        b'{"phone": "+12015550142", "metadata": {"a": 1, "b": 2}}',
        b'{"metadata":{"b":2,"a":1},"phone":"+12015550142"}',
    ]

    answers = [await api.client.post(REQUEST, content=body, headers=headers) for body in bodies]

    assert [(answer.status_code, replayed(answer)) for answer in answers] == [(200, False), (200, True)]


async def test_idempotency_keys_are_separate_per_tenant(api: ApiClient, tenant: dict[str, str]) -> None:
    phone, other = new_phone(), await api.tenant()

    for key in (tenant["test_key"], other["test_key"], tenant["secret_key"]):
        answer = await ask(api, key, phone, "shared")
        assert (answer.status_code, replayed(answer)) == (200, False)


async def test_publishable_key_replays_for_the_same_address_only(api: ApiClient) -> None:
    tenant, phone = await api.tenant(), new_phone()
    first = await ask(api, tenant["api_key"], phone, "guessed", **{"x-forwarded-for": "203.0.113.1"})
    assert first.status_code == 200

    stranger = await ask(api, tenant["api_key"], phone, "guessed", **{"x-forwarded-for": "203.0.113.2"})
    again = await ask(api, tenant["api_key"], phone, "guessed", **{"x-forwarded-for": "203.0.113.1"})

    assert (stranger.status_code, stranger.json()["code"]) == (429, "resend_too_soon")
    assert (again.content, replayed(again)) == (first.content, True)


async def test_early_rejection_releases_the_idempotency_key(
    api: ApiClient, tenant: dict[str, str], twilio_server: TwilioServer
) -> None:
    taken, wrong = new_phone(), "5551234567"
    assert (await api.post(REQUEST, {"phone": taken}, tenant["api_key"])).status_code == 200
    for phone, code in ((wrong, "invalid_phone"), (taken, "resend_too_soon")):
        rejected = await ask(api, tenant["api_key"], phone, "freed")
        assert rejected.json()["code"] == code

    answer = await ask(api, tenant["api_key"], phone := new_phone(), "freed")

    assert (answer.status_code, replayed(answer)) == (200, False)
    assert len(twilio_server.sent_to(phone)) == 1


async def test_queued_response_is_replayed(api: ApiClient) -> None:
    tenant, phone = await api.tenant(), new_phone()
    with ExitStack() as full:
        for _ in range(dispatcher.MAX_IN_FLIGHT):
            full.enter_context(api.services.messenger.reserve_capacity())
        first = await ask(api, tenant["test_key"], phone, "queued")

    again = await ask(api, tenant["test_key"], phone, "queued")

    assert first.json()["status"] == "queued"
    assert (again.content, replayed(again)) == (first.content, True)


async def operate(api: ApiClient, path: str, body: object, key: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {ADMIN_TOKEN}", "idempotency-key": key}
    return await api.client.post(path, json=body, headers=headers)


async def test_tenant_is_created_once_and_its_secrets_are_replayed(
    api: ApiClient, database: asyncpg.Connection
) -> None:
    body = {"name": "My App", "slug": f"once-{new_phone()[1:]}"}
    first = await operate(api, TENANTS, body, key := f"tenant-{body['slug']}")

    again = await operate(api, TENANTS, body, key)
    other = await operate(api, TENANTS, body | {"name": "Another"}, key)

    assert (first.status_code, again.status_code, replayed(again)) == (201, 201, True)
    assert again.content == first.content
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    kept = await dump(database)
    for name in ("api_key", "secret_key", "test_key", "jwt_secret"):
        assert first.json()[name] not in kept
        assert first.json()[name].encode().hex() not in kept
    assert key not in kept
    assert (await api.post(REQUEST, {"phone": new_phone()}, again.json()["api_key"])).status_code == 200


async def test_api_key_is_created_and_rotated_once(api: ApiClient) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    path = f"{TENANTS}/{tenant['tenant_id']}/keys"
    made, again = [await operate(api, path, {"kind": "sk"}, tenant["slug"]) for _ in range(2)]
    assert (made.status_code, again.content, replayed(again)) == (201, made.content, True)
    elsewhere = await operate(api, f"{TENANTS}/{other['tenant_id']}/keys", {"kind": "sk"}, tenant["slug"])
    assert (elsewhere.status_code, replayed(elsewhere)) == (201, False), "an idempotency key belongs to a tenant"

    rotate = f"{path}/{made.json()['key_id']}/rotate"
    rotated, again = [await operate(api, rotate, {}, tenant["slug"]) for _ in range(2)]

    assert (rotated.status_code, again.content, replayed(again)) == (201, rotated.content, True)
    listed = (await api.admin("GET", path)).json()["data"]
    assert len(listed) == 3 + 2


async def test_tenant_routes_replay_without_a_second_effect(api: ApiClient) -> None:
    tenant = await api.tenant()
    headers = {"x-api-key": tenant["secret_key"], "idempotency-key": "one"}
    for path, body in (("/api/tenant/keys", {"kind": "pk"}), ("/api/tenant/jwt-secret/rotate", None)):
        first, again = [await api.client.post(path, json=body, headers=headers) for _ in range(2)]
        assert first.status_code in (200, 201), first.text
        assert (again.status_code, again.content, replayed(again)) == (first.status_code, first.content, True)


async def test_rejected_creation_releases_its_idempotency_key(api: ApiClient) -> None:
    tenant = await api.tenant()
    taken = {"name": "Another", "slug": tenant["slug"]}
    for _ in range(2):
        rejected = await operate(api, TENANTS, taken, f"freed-{tenant['slug']}")
        assert (rejected.status_code, rejected.json()["code"]) == (409, "conflict")
        assert not replayed(rejected)

    made = await operate(api, TENANTS, taken | {"slug": f"{tenant['slug']}-2"}, f"freed-{tenant['slug']}")

    assert made.status_code == 201


async def test_cors_allows_the_idempotency_key_and_exposes_the_replay_header(api: ApiClient) -> None:
    origin = {"origin": "https://app.example.com"}
    preflight = await api.client.options(REQUEST, headers=origin)
    answer = await api.client.get("/health", headers=origin)

    assert "idempotency-key" in preflight.headers["access-control-allow-headers"]
    assert "idempotent-replayed" in answer.headers["access-control-expose-headers"]


def test_every_creating_route_supports_idempotency_keys() -> None:
    # A pushed authorization request (RFC 9126) has a form of its own; a second one does no harm.
    creating = {route.path for route in ROUTES if route.method == "POST" and route.status == 201 and not route.oauth}
    creating |= {route.path for route in ROUTES if route.path.endswith(("/rotate", "/rotate-secret"))}
    creating |= {
        route.path for route in ROUTES if route.path.endswith("/webhooks/{webhook_id}/test")
    }  # it makes a call
    honouring = {route.path for route in ROUTES if route.idempotent != "no"}

    assert creating | {REQUEST, "/api/auth/me/identifiers"} == honouring


async def test_response_sealed_with_an_unknown_secret_is_a_conflict(
    api: ApiClient, database: asyncpg.Connection
) -> None:
    tenant, phone = await api.tenant(), new_phone()
    await ask(api, tenant["test_key"], phone, "sealed")
    other_secret = "update idempotency set answer_box = '\\x00000000' || substr(answer_box, 5) where tenant_id = $1"
    await database.execute(other_secret, f"{tenant['tenant_id']}:test")

    answer = await ask(api, tenant["test_key"], phone, "sealed")

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_response_that_another_release_stored_in_another_form_is_a_conflict(
    api: ApiClient, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant, phone = await api.tenant(), new_phone()
    encode = msgspec.msgpack.encode
    with monkeypatch.context() as another:
        another.setattr(msgspec.msgpack, "encode", lambda stored: encode((*stored, "one field more")))
        assert (await ask(api, tenant["test_key"], phone, "other-form")).status_code == 200

    answer = await ask(api, tenant["test_key"], phone, "other-form")

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, (204, b"")),
        (Response(b"made", 202, b"text/plain"), (202, b"made")),
        (Made("one"), (201, b'{"name":"one"}')),
    ],
)
async def test_any_handler_result_is_replayed(api: ApiClient, result: object, expected: tuple[int, bytes]) -> None:
    runs = 0

    async def make(app: object, call: object) -> object:
        nonlocal runs
        runs += 1
        return result

    route = Route("POST", f"/made/{new_phone()}", make, public, status=201)
    headers = [(b"idempotency-key", b"one")]
    call: Request[Any] = Request({"method": "POST", "query_string": b"", "headers": headers})
    call.caller = None

    assert await run_idempotent.run_idempotent(api.services, route, call, []) == result
    with pytest.raises(ReplayedResponse) as again:
        await run_idempotent.run_idempotent(api.services, route, call, [])

    assert (again.value.answer.status, again.value.answer.body) == expected
    assert (runs, call.headers) == (1, [(b"idempotent-replayed", b"true")])
