"""Revocation, rotation and expiry of API keys (contract: section 2)."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.support.api_client import TENANTS, ApiClient
from tests.support.api_keys import SHOWN, add, code_for, end, listed, rotate
from tests.support.polling import until

APP = "https://app.example.com"


async def test_revoked_key_is_rejected_and_others_stay_valid(api: ApiClient) -> None:
    tenant = await api.tenant()
    key = await add(api, tenant)
    assert await code_for(api, key["api_key"]) is None

    await end(api, tenant, key["key_id"])
    await end(api, tenant, key["key_id"])

    assert await code_for(api, key["api_key"]) == "invalid_api_key"
    assert await code_for(api, tenant["api_key"]) is None
    shown = {other["key_id"]: other for other in await listed(api, tenant)}
    assert shown[key["key_id"]]["revoked_at"] is not None


async def test_rotated_key_is_valid_during_its_grace_period(api: ApiClient) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant, allowed_origins=[APP])

    new = await rotate(api, tenant, old["key_id"], grace_in=2)

    assert set(new) == SHOWN | {"api_key"}
    assert new["key_id"] != old["key_id"]
    assert (new["kind"], new["allowed_origins"], new["expires_at"]) == ("pk", [APP], None)
    assert await code_for(api, new["api_key"]) is None
    revoked_at = {key["key_id"]: key["revoked_at"] for key in await listed(api, tenant)}[old["key_id"]]
    grace_s = (datetime.fromisoformat(revoked_at) - datetime.fromisoformat(new["created_at"])).total_seconds()
    assert grace_s == 2
    if datetime.now(UTC) < datetime.fromisoformat(revoked_at) - timedelta(seconds=1):
        assert await code_for(api, old["api_key"]) is None  # and is cached from here on

    async def has_ended() -> bool:
        return await code_for(api, old["api_key"]) == "invalid_api_key"

    assert await until(has_ended)
    assert datetime.now(UTC) >= datetime.fromisoformat(revoked_at)
    assert await code_for(api, new["api_key"]) is None


async def test_zero_grace_period_revokes_the_old_key(api: ApiClient) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant)
    assert await code_for(api, old["api_key"]) is None

    new = await rotate(api, tenant, old["key_id"], grace_in=0)

    assert await code_for(api, old["api_key"]) == "invalid_api_key"
    assert await code_for(api, new["api_key"]) is None
    again = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{old['key_id']}/rotate", {})
    assert again.json()["code"] == "conflict"


async def test_default_grace_period_is_a_day(api: ApiClient) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant)

    new = await rotate(api, tenant, old["key_id"])

    revoked_at = {key["key_id"]: key["revoked_at"] for key in await listed(api, tenant)}[old["key_id"]]
    assert datetime.fromisoformat(revoked_at) - datetime.fromisoformat(new["created_at"]) == timedelta(days=1)


async def test_second_rotation_does_not_extend_the_grace_period(api: ApiClient) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant)
    await rotate(api, tenant, old["key_id"], grace_in=60)
    ends = {key["key_id"]: key["revoked_at"] for key in await listed(api, tenant)}[old["key_id"]]

    await rotate(api, tenant, old["key_id"], grace_in=3600)

    assert {key["key_id"]: key["revoked_at"] for key in await listed(api, tenant)}[old["key_id"]] == ends


@pytest.mark.parametrize("grace_in", [-1, 30 * 24 * 3600 + 1, 1.5, "60", None])
async def test_invalid_grace_period_is_rejected(api: ApiClient, grace_in: object) -> None:
    tenant = await api.tenant()
    key_id = (await listed(api, tenant))[0]["key_id"]

    answer = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}/rotate", {"grace_in": grace_in})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "grace_in")


async def test_key_is_rejected_after_expires_at(api: ApiClient) -> None:
    tenant = await api.tenant()
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    key = await add(api, tenant, expires_at=expires_at.isoformat())
    held = await code_for(api, key["api_key"]) is None
    assert held or datetime.now(UTC) > expires_at

    async def has_ended() -> bool:
        return await code_for(api, key["api_key"]) == "invalid_api_key"

    assert await until(has_ended)
    assert datetime.now(UTC) >= expires_at
    again = await api.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{key['key_id']}/rotate", {})
    assert again.json()["code"] == "conflict"


async def test_each_key_operation_is_an_event(api: ApiClient, database: asyncpg.Connection) -> None:
    tenant = await api.tenant()
    old = await add(api, tenant, kind="test")
    new = await rotate(api, tenant, old["key_id"], grace_in=0)
    await end(api, tenant, new["key_id"])
    await end(api, tenant, new["key_id"])

    rows = await database.fetch(
        "select type, actor, subject, data::text from events where tenant_id = $1 order by created_at",
        tenant["tenant_id"],
    )

    assert [tuple(row) for row in rows] == [
        ("tenant.created", "operator", tenant["tenant_id"], "{}"),
        ("key.created", "operator", old["key_id"], '{"kind": "test"}'),
        ("key.rotated", "operator", old["key_id"], f'{{"new_key_id": "{new["key_id"]}"}}'),
        ("key.revoked", "operator", new["key_id"], "{}"),
    ]
