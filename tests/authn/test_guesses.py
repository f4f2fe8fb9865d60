"""Wrong credentials are limited per address before the database is queried."""

import asyncio
import secrets
import time

import httpx
import pytest

from tests.conftest import Started
from tests.support.api_client import ADMIN_TOKEN, TENANTS, VERIFY, ApiClient
from tests.support.api_keys import made_up

LIMIT = 3


@pytest.fixture
async def limited(start_app: Started) -> ApiClient:
    return await start_app(RATE_LIMIT_MAX=str(LIMIT), TRUSTED_PROXIES="127.0.0.1/32")


class Statements:
    """The statements since it was made. A full limit is looked at again each second."""

    def __init__(self, api: ApiClient) -> None:
        self._postgres = api.services.postgres
        self._before, self._started = self._postgres.round_trips, time.monotonic()

    def are_at_most(self, number: int) -> bool:
        """Return whether they are at most `number`, and one a second."""
        return self._postgres.round_trips - self._before <= number + (time.monotonic() - self._started)


def from_address(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


@pytest.mark.parametrize("kind", ["sk", "test"])
async def test_invented_keys_reach_the_database_only_up_to_the_limit(limited: ApiClient, kind: str) -> None:
    statuses = []
    statements = Statements(limited)
    for _ in range(20):
        headers = {"x-api-key": made_up(kind), **from_address({"sk": "198.51.100.20", "test": "198.51.100.24"}[kind])}
        statuses.append((await limited.client.get("/api/tenant/settings", headers=headers)).status_code)

    assert statuses[:LIMIT] == [401] * LIMIT
    assert set(statuses[LIMIT:]) == {429}
    assert statements.are_at_most(LIMIT + 1)


async def test_admin_token_guesses_are_limited_per_address(limited: ApiClient) -> None:
    async def attempt(token: str, address: str) -> int:
        headers = {"authorization": f"Bearer {token}", **from_address(address)}
        return (await limited.client.get(TENANTS, headers=headers)).status_code

    assert [await attempt("guess", "198.51.100.21") for _ in range(LIMIT)] == [401] * LIMIT
    assert await attempt("guess", "198.51.100.21") == 429
    assert await attempt(ADMIN_TOKEN, "198.51.100.21") == 429  # else guessing would go on
    assert await attempt(ADMIN_TOKEN, "198.51.100.22") == 200


async def test_valid_keys_are_not_counted_as_guesses(limited: ApiClient) -> None:
    tenant = await limited.tenant()
    headers = {"x-api-key": tenant["secret_key"], **from_address("198.51.100.23")}

    for _ in range(3 * LIMIT):
        assert (await limited.client.get("/api/tenant/settings", headers=headers)).status_code == 200


@pytest.mark.parametrize("route", ["/jwks", "/userinfo", "/test/jwks", "/.well-known/openid-configuration"])
async def test_unknown_slugs_reach_the_database_only_up_to_the_limit(limited: ApiClient, route: str) -> None:
    tenant, headers = await limited.tenant(), from_address(f"2001:db8:{len(route):x}::1")

    async def get(slug: str) -> int:
        return (await limited.client.get(f"/t/{slug}{route}", headers=headers)).status_code

    known = await get(tenant["slug"])
    statements = Statements(limited)
    statuses = [await get(f"none-{secrets.token_hex(4)}") for _ in range(50)]

    assert statuses == [404] * LIMIT + [429] * (50 - LIMIT)
    assert statements.are_at_most(LIMIT + 1)
    assert await get(tenant["slug"]) == known != 429


async def test_unknown_slugs_at_once_reach_the_database_once(limited: ApiClient) -> None:
    async def guess() -> int:
        path = f"/t/none-{secrets.token_hex(4)}/jwks"
        return (await limited.client.get(path, headers=from_address("198.51.100.26"))).status_code

    await asyncio.gather(*(guess() for _ in range(50)))
    statements = Statements(limited)
    statuses = await asyncio.gather(*(guess() for _ in range(50)))

    assert set(statuses) == {429}
    assert statements.are_at_most(1)


async def test_unknown_publishable_keys_are_limited_on_routes_without_a_limit(limited: ApiClient) -> None:
    tenant, headers = await limited.tenant(), from_address("198.51.100.27")

    async def get(key: str) -> httpx.Response:
        return await limited.client.get("/api/auth/me", headers={"x-api-key": key, **headers})

    statements = Statements(limited)
    answers = [await get(made_up("pk")) for _ in range(20)]

    assert [answer.status_code for answer in answers] == [401] * LIMIT + [429] * (20 - LIMIT)
    assert statements.are_at_most(LIMIT + 1)
    assert "ratelimit-policy" in answers[0].headers
    verified = await limited.client.post(VERIFY, json={}, headers={"x-api-key": tenant["api_key"], **headers})
    assert verified.status_code == 422, "these guesses have a limit of their own"


async def test_valid_publishable_key_uses_no_limit_on_routes_without_one(limited: ApiClient) -> None:
    tenant = await limited.tenant()
    headers = {"x-api-key": tenant["api_key"], **from_address("198.51.100.28")}

    answers = []
    for _ in range(3 * LIMIT):
        await limited.services.tenants.publish_invalidation(tenant["tenant_id"])  # the worker does not know the key
        answers.append(await limited.client.get("/api/auth/me", headers=headers))
    verified = await limited.client.post(VERIFY, json={}, headers=headers)

    assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(401, "not_authenticated")}
    assert all("ratelimit" not in answer.headers for answer in answers)
    assert verified.headers["ratelimit"].startswith(f'"ip";r={LIMIT - 1};')


async def test_link_page_is_limited_per_address(start_app: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auth1.authn.limits.POLLS", LIMIT)
    api = await start_app()

    statuses = []
    for _ in range(LIMIT + 1):
        path = f"/api/auth/link/{secrets.token_urlsafe(32)}"
        statuses.append((await api.client.get(path, headers=from_address("198.51.100.25"))).status_code)

    assert statuses == [400] * LIMIT + [429]


@pytest.mark.parametrize("path", ["/health", "/health/ready"])
async def test_health_checks_share_one_query_a_second(limited: ApiClient, path: str) -> None:
    before = limited.services.postgres.round_trips
    for _ in range(20):
        assert (await limited.client.get(path)).status_code == 200
    assert limited.services.postgres.round_trips == before
