"""Wrong credentials are limited per address before the database is queried."""

import secrets

import pytest

from tests.conftest import Started
from tests.support.api_client import ADMIN_TOKEN, TENANTS, ApiClient

LIMIT = 3


@pytest.fixture
async def limited(start_app: Started) -> ApiClient:
    return await start_app(RATE_LIMIT_MAX=str(LIMIT), TRUSTED_PROXIES="127.0.0.1/32")


def from_address(address: str) -> dict[str, str]:
    return {"x-forwarded-for": address}


@pytest.mark.parametrize("kind", ["sk", "test"])
async def test_invented_keys_reach_the_database_only_up_to_the_limit(limited: ApiClient, kind: str) -> None:
    statuses = []
    before = limited.services.postgres.round_trips
    for _ in range(20):
        key = f"auth1_{kind}_x_{secrets.token_hex(19)}"
        headers = {"x-api-key": key, **from_address({"sk": "198.51.100.20", "test": "198.51.100.24"}[kind])}
        statuses.append((await limited.client.get("/api/tenant/settings", headers=headers)).status_code)

    assert statuses[:LIMIT] == [401] * LIMIT
    assert set(statuses[LIMIT:]) == {429}
    assert limited.services.postgres.round_trips - before <= LIMIT + 3  # a full limit is looked at again each second


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
