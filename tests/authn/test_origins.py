"""Allowed origins of a key: exact comparison, changes, and no cost for rejected origins."""

from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from tests.conftest import Started
from tests.support.api_client import REQUEST, TENANTS, ApiClient
from tests.support.api_keys import SHOWN, add, code_for, end, listed, patch, rotate
from tests.support.polling import until
from tests.support.providers.twilio import TwilioServer

APP = "https://app.example.com"
ELSEWHERE = "https://evil.example.com"
SPELLINGS = [
    ELSEWHERE,
    "http://app.example.com",
    "HTTPS://APP.EXAMPLE.COM",
    "https://App.example.com",
    f"{APP}/",
    f"{APP}:443",
    f"{APP}:8443",
    f"{APP}.",
    f"{APP}.evil.com",
    f"{APP}@evil.com",
    f"{APP} {APP}",
    f"{APP},{APP}",
    "https://sub.app.example.com",
    "app.example.com",
    "null",
    "",
    "*",
]


@pytest.fixture(scope="module")
async def narrow(start_app: Started) -> ApiClient:
    """Return an application that allows two requests per address."""
    return await start_app(RATE_LIMIT_MAX="2")


async def spent(api: ApiClient) -> tuple[int, int]:
    """Return the number of PostgreSQL and Redis round trips."""
    return api.services.postgres.round_trips, api.services.redis.round_trips


@pytest.mark.parametrize("origin", SPELLINGS)
@pytest.mark.parametrize("kind", ["pk", "sk", "test"])
async def test_allowed_origin_requires_an_exact_match(api: ApiClient, kind: str, origin: str) -> None:
    tenant = await api.tenant()
    key = (await add(api, tenant, kind=kind, allowed_origins=[APP]))["api_key"]

    for _ in range(2):  # unknown to the worker, and known
        assert await code_for(api, key, origin=origin) == "origin_not_allowed"
    assert await code_for(api, key, origin=APP) is None
    assert await code_for(api, key) is None, "a request without a page has no origin"


async def test_key_without_allowed_origins_accepts_any_origin(api: ApiClient) -> None:
    tenant = await api.tenant()

    for name in ("api_key", "secret_key", "test_key"):
        assert await code_for(api, tenant[name], origin=ELSEWHERE) is None


async def test_rejected_origin_uses_no_rate_limit(
    narrow: ApiClient, database: asyncpg.Connection, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await narrow.tenant()
    key = (await add(narrow, tenant, allowed_origins=[APP]))["api_key"]
    visitor = {"x_forwarded_for": "203.0.113.41"}
    assert (await narrow.post(REQUEST, {"phone": phone}, key, origin=APP, **visitor)).status_code == 200
    before = await spent(narrow)

    rejected = [await narrow.post(REQUEST, {"phone": phone}, key, origin=ELSEWHERE, **visitor) for _ in range(20)]

    assert await spent(narrow) == before
    assert {(answer.status_code, answer.json()["code"]) for answer in rejected} == {(403, "origin_not_allowed")}
    assert all("ratelimit" not in answer.headers for answer in rejected)
    assert len(twilio_server.sent_to(phone)) == 1
    # The visitor's second slot is there still, and no third one.
    later = [(await narrow.post(REQUEST, {"phone": phone}, key, origin=APP, **visitor)).json()["code"] for _ in "12"]
    assert later == ["resend_too_soon", "rate_limited"]


async def test_rate_limit_is_released_after_an_uncached_origin_rejection(narrow: ApiClient, phone: str) -> None:
    tenant = await narrow.tenant()
    visitor = {"x_forwarded_for": "203.0.113.42"}
    for _ in range(3):
        key = (await add(narrow, tenant, allowed_origins=[APP]))["api_key"]
        assert await code_for(narrow, key, origin=ELSEWHERE, **visitor) == "origin_not_allowed"
        await narrow.services.limiter.flush_releases()  # as a task does every second

    assert [await code_for(narrow, key, origin=APP, **visitor) for _ in "123"] == [None, None, "rate_limited"]


async def test_only_allowed_origins_may_read_responses(api: ApiClient) -> None:
    tenant = await api.tenant()
    key = (await add(api, tenant, allowed_origins=[APP, "http://localhost:5173"]))["api_key"]

    for origin in (APP, "http://localhost:5173"):
        answer = await api.post(REQUEST, {}, key, origin=origin)
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "origin"
    for origin in (ELSEWHERE, "null"):
        rejected = await api.post(REQUEST, {}, key, origin=origin)
        assert "access-control-allow-origin" not in rejected.headers
        assert rejected.headers["vary"] == "origin"
    # A preflight has no key: it is answered by CORS_ORIGINS, which are all here.
    preflight = await api.client.options(REQUEST, headers={"origin": ELSEWHERE})
    assert preflight.headers["access-control-allow-origin"] == "*"


async def test_cors_origins_apply_in_addition_to_key_origins(start_app: Started) -> None:
    api = await start_app(CORS_ORIGINS=f"{APP},https://second.example.com")
    tenant = await api.tenant()
    key = (await add(api, tenant, allowed_origins=[APP, "https://third.example.com"]))["api_key"]
    assert await code_for(api, key, origin=APP) is None
    before = await spent(api)

    for origin in ("https://second.example.com", "https://third.example.com"):
        answer = await api.post(REQUEST, {}, key, origin=origin)
        assert answer.json()["code"] == "origin_not_allowed"
        assert answer.headers.get("access-control-allow-origin") is None

    assert await spent(api) == before


@pytest.mark.parametrize(
    "origin",
    [
        *(f"{APP}/", f"{APP}:443", f"{APP}:0", f"{APP}:123456", f"{APP}\n", "http://localhost:80", "null", "*"),
        *(
            "https://App.example.com",
            "https://*.example.com",
            "https://a@b.co",
            "https://a b",
            "https://[30c8]",
            "http://[3.e]:80",
            "capacitor://[78.]",
            "https://-",
        ),
        *(
            "https://",
            "ftp://a.co",
            "javascript://a",
            "capacitor://",
            "Capacitor://localhost",
            "capacitor://localhost/x",
        ),
    ],
)
async def test_invalid_allowed_origin_is_rejected(api: ApiClient, origin: str) -> None:
    tenant = await api.tenant()
    path = f"{TENANTS}/{tenant['tenant_id']}/keys"
    key_id = (await listed(api, tenant))[0]["key_id"]

    for answer in (
        await api.admin("POST", path, {"kind": "pk", "allowed_origins": [origin]}),
        await api.admin("PATCH", f"{path}/{key_id}", {"allowed_origins": [origin]}),
    ):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "allowed_origins[0]")


async def test_valid_allowed_origins_are_accepted(api: ApiClient) -> None:
    tenant = await api.tenant()
    origins = [APP, f"{APP}:8443", "http://localhost:3000", "http://127.0.0.1:8044", "https://[::1]:3000"]
    origins += ["https://xn--bcher-kva.example", "http://a_b.example:443", "https://a.example:80"]
    origins += ["capacitor://localhost", "ionic://localhost", "app.example.mobile://callback"]

    key = await add(api, tenant, allowed_origins=origins)

    assert key["allowed_origins"] == origins
    for origin in origins:
        assert await code_for(api, key["api_key"], origin=origin) is None


async def test_key_origins_and_expiry_are_updated(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    key = await add(api, tenant, allowed_origins=[APP])
    assert await code_for(api, key["api_key"], origin=ELSEWHERE) == "origin_not_allowed"

    changed = await patch(api, tenant, key["key_id"], allowed_origins=[ELSEWHERE])

    assert set(changed) == SHOWN
    assert changed == {name: key[name] for name in SHOWN} | {"allowed_origins": [ELSEWHERE]}
    assert await code_for(api, key["api_key"], origin=ELSEWHERE) is None
    assert await code_for(api, key["api_key"], origin=APP) == "origin_not_allowed"
    assert (await patch(api, tenant, key["key_id"], allowed_origins=[]))["allowed_origins"] == []
    assert await code_for(api, key["api_key"], origin=APP) is None

    ends = await patch(api, tenant, key["key_id"], expires_at="2031-01-01T02:00:00+02:00", allowed_origins=[APP])
    assert (ends["expires_at"], ends["allowed_origins"]) == ("2031-01-01T00:00:00Z", [APP])
    assert (await patch(api, tenant, key["key_id"], expires_at=None))["expires_at"] is None
    unchanged = await patch(api, tenant, key["key_id"])
    assert (unchanged["expires_at"], unchanged["allowed_origins"]) == (None, [APP])

    rows = await database.fetch(
        "select type, actor, data ->> 'changed' as changed from events where tenant_id = $1 and subject = $2"
        " order by created_at",
        *(tenant["tenant_id"], key["key_id"]),
    )
    assert [tuple(row) for row in rows] == [
        ("key.created", "operator", None),
        ("key.updated", "operator", '["allowed_origins"]'),
        ("key.updated", "operator", '["allowed_origins"]'),
        ("key.updated", "operator", '["allowed_origins", "expires_at"]'),
        ("key.updated", "operator", '["expires_at"]'),
    ], "and none for what changed nothing"


async def test_new_expiry_applies_to_a_cached_key(api: ApiClient) -> None:
    tenant = await api.tenant()
    key = await add(api, tenant)
    assert await code_for(api, key["api_key"]) is None

    ends = datetime.now(UTC) + timedelta(seconds=2)
    await patch(api, tenant, key["key_id"], expires_at=ends.isoformat())

    async def has_ended() -> bool:
        return await code_for(api, key["api_key"]) == "invalid_api_key"

    assert await until(has_ended)
    assert datetime.now(UTC) >= ends
    again = await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}/keys/{key['key_id']}", {"expires_at": None})
    assert (again.status_code, again.json()["code"]) == (409, "conflict"), "what has ended does not come back"


async def test_rotated_key_can_be_updated_during_its_grace_period(api: ApiClient) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant)
    await rotate(api, tenant, old["key_id"], grace_in=3600)

    assert (await patch(api, tenant, old["key_id"], allowed_origins=[APP]))["revoked_at"] is not None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"expires_at": "2001-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"allowed_origins": None}, "allowed_origins"),
        ({"allowed_origins": [APP] * 101}, "allowed_origins"),
        ({"kind": "sk"}, "kind"),
        ({"revoked_at": None}, "revoked_at"),
    ],
)
async def test_invalid_key_update_is_rejected(api: ApiClient, body: dict[str, Any], field: str) -> None:
    tenant = await api.tenant()
    before = await listed(api, tenant)

    answer = await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}/keys/{before[0]['key_id']}", body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert await listed(api, tenant) == before


async def test_only_own_active_keys_can_be_updated(api: ApiClient) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    key, gone = await add(api, other), await add(api, tenant)
    await end(api, tenant, gone["key_id"])

    for key_id, status in ((key["key_id"], 404), ("key_none", 404), (gone["key_id"], 409)):
        path = f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}"
        assert (await api.admin("PATCH", path, {"allowed_origins": [APP]})).status_code == status
    own = await api.client.patch(
        f"/api/tenant/keys/{key['key_id']}", json={"allowed_origins": [APP]}, headers={"x-api-key": other["secret_key"]}
    )
    assert (own.status_code, own.json()["allowed_origins"]) == (200, [APP])
    stranger = await api.client.patch(
        f"/api/tenant/keys/{key['key_id']}", json={"allowed_origins": []}, headers={"x-api-key": tenant["secret_key"]}
    )
    assert stranger.status_code == 404
    public = await api.client.patch(
        f"/api/tenant/keys/{key['key_id']}", json={"allowed_origins": []}, headers={"x-api-key": key["api_key"]}
    )
    assert public.status_code == 403
