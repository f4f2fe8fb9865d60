"""API keys: format, storage and scope (contract: sections 2 and 6)."""

import re
from typing import Any

import asyncpg
import pytest

from tests.support.api_client import REQUEST, TENANTS, ApiClient
from tests.support.api_keys import SHOWN, add, checksum, code_for, listed, made_up, rotate
from tests.support.dump import dump

APP = "https://app.example.com"
KINDS = {"pk": "api_key", "sk": "secret_key", "test": "test_key"}


@pytest.mark.parametrize("kind", KINDS)
async def test_key_contains_its_kind_tenant_and_checksum(api: ApiClient, kind: str) -> None:
    tenant = await api.tenant()
    for key in (tenant[KINDS[kind]], (await add(api, tenant, kind=kind))["api_key"]):
        assert re.fullmatch(rf"auth1_{kind}_{tenant['slug']}_[0-9A-Za-z]{{38}}", key)
        assert key[-6:] == checksum(key[:-6])
        assert await code_for(api, key) is None


@pytest.mark.parametrize("place", [0, 8, 12, -40, -20, -7, -6, -1])
async def test_mistyped_key_is_rejected_without_a_database_query(api: ApiClient, place: int) -> None:
    tenant = await api.tenant()
    for key in (tenant["api_key"], tenant["secret_key"], tenant["test_key"]):
        typed = list(key)
        typed[place] = "x" if typed[place] != "x" else "y"
        before = api.services.postgres.round_trips

        assert await code_for(api, "".join(typed)) == "invalid_api_key"

        assert api.services.postgres.round_trips == before


@pytest.mark.parametrize("change", [str.upper, str.lower, lambda key: key + "\t.", lambda key: key[:-1], lambda _: "x"])
async def test_altered_key_is_rejected(api: ApiClient, tenant: dict[str, str], change: Any) -> None:
    before = api.services.postgres.round_trips

    assert await code_for(api, change(tenant["api_key"])) == "invalid_api_key"

    assert api.services.postgres.round_trips == before


async def test_unknown_well_formed_key_is_looked_up_and_rejected(api: ApiClient) -> None:
    before = api.services.postgres.round_trips

    assert await code_for(api, made_up("pk")) == "invalid_api_key"

    assert api.services.postgres.round_trips == before + 1


async def test_database_contains_no_plain_key(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    key = await add(api, tenant)
    rotated = await rotate(api, tenant, key["key_id"])
    texts = [*(tenant[field] for field in KINDS.values()), key["api_key"], rotated["api_key"]]

    everything = await dump(database)

    assert tenant["tenant_id"] in everything
    for secret in [*texts, tenant["jwt_secret"]]:
        for piece in (secret, secret[-38:], secret[-38:-6]):
            assert piece not in everything
            assert piece.encode().hex() not in everything


async def test_key_text_is_shown_only_at_creation(api: ApiClient) -> None:
    tenant = await api.tenant()
    key = await add(api, tenant, kind="sk", allowed_origins=[APP], expires_at="2031-01-01T02:00:00+02:00")

    assert set(key) == SHOWN | {"api_key"}
    assert re.fullmatch(r"key_[0-9a-z]{26}", key["key_id"])
    assert key["hint"] == f"auth1_sk_{tenant['slug']}_…{key['api_key'][-4:]}"
    assert key["allowed_origins"] == [APP]
    assert (key["expires_at"], key["revoked_at"]) == ("2031-01-01T00:00:00Z", None)

    shown = await listed(api, tenant)

    assert [set(other) for other in shown] == [SHOWN] * 4
    assert {other["kind"] for other in shown} == {"pk", "sk", "test"}
    assert {name: value for name, value in key.items() if name != "api_key"} in shown


async def test_keys_of_one_tenant_are_listed_with_pagination(api: ApiClient) -> None:
    tenant = await api.tenant()
    await api.tenant()
    path = f"{TENANTS}/{tenant['tenant_id']}/keys"

    first = (await api.admin("GET", f"{path}?limit=2")).json()
    second = (await api.admin("GET", f"{path}?limit=2&cursor={first['next_cursor']}")).json()

    assert (len(first["data"]), len(second["data"]), second["next_cursor"]) == (2, 1, None)
    assert first["data"] + second["data"] == await listed(api, tenant)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "kind"),
        ({"kind": "admin"}, "kind"),
        ({"kind": "pk", "expires_at": "tomorrow"}, "expires_at"),
        ({"kind": "pk", "expires_at": "2031-01-01T00:00:00"}, "expires_at"),
        ({"kind": "pk", "expires_at": "0001-01-01T00:00:00+23:59"}, "expires_at"),
        ({"kind": "pk", "expires_at": "9999-12-31T23:59:59-23:59"}, "expires_at"),
        ({"kind": "pk", "allowed_origins": ["app.example.com"]}, "allowed_origins[0]"),
        ({"kind": "pk", "allowed_origins": [APP + "/"]}, "allowed_origins[0]"),
        ({"kind": "pk", "allowed_origins": [APP + "\n"]}, "allowed_origins[0]"),
        ({"kind": "pk", "allowed_origins": ["*"]}, "allowed_origins[0]"),
        ({"kind": "pk", "allowed_origins": [APP] * 101}, "allowed_origins"),
        ({"kind": "pk", "name": "mine"}, "name"),
    ],
)
async def test_invalid_key_creation_is_rejected(
    api: ApiClient, tenant: dict[str, str], body: dict[str, object], field: str
) -> None:
    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys", body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_key_with_allowed_origins_rejects_other_origins(api: ApiClient, phone: str) -> None:
    tenant = await api.tenant()
    bound = (await add(api, tenant, allowed_origins=[APP, "http://localhost:5173"]))["api_key"]

    for origin in (APP, "http://localhost:5173"):
        assert await code_for(api, bound, origin=origin) is None
    for origin in ("https://evil.example.com", APP + ":8443", "null", APP.upper(), APP + "."):
        assert await code_for(api, bound, origin=origin) == "origin_not_allowed"
    assert await code_for(api, bound) is None  # no page: an app, or a server
    assert await code_for(api, tenant["api_key"], origin="https://anything.example.com") is None
    rejected = await api.post(REQUEST, {"phone": phone}, bound, origin="https://evil.example.com")
    assert rejected.json()["code"] == "origin_not_allowed"


async def test_key_is_rotated_without_a_body(api: ApiClient) -> None:
    tenant = await api.tenant()
    path = f"/api/tenant/keys/{(await listed(api, tenant))[0]['key_id']}/rotate"

    answer = await api.client.post(path, headers={"x-api-key": tenant["secret_key"]})

    assert answer.status_code == 201, answer.text
    assert len(await listed(api, tenant)) == 4


async def test_key_of_another_tenant_is_not_found(api: ApiClient) -> None:
    tenant, other = await api.tenant(), await api.tenant()
    key_id = (await listed(api, other))[0]["key_id"]
    path = f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}"

    assert (await api.admin("POST", f"{path}/rotate", {})).status_code == 404
    assert (await api.admin("DELETE", path)).status_code == 404
    assert [key["revoked_at"] for key in await listed(api, other)] == [None] * 3
