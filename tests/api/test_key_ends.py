"""How keys end: revoked, rotated, expired (contract: section 2)."""

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.api.conftest import until
from tests.api.keys import SHOWN, add, code_for, end, listed, rotate
from tests.api.world import TENANTS
from tests.conftest import Door

APP = "https://app.example.com"


async def test_a_revoked_key_ends_at_once_and_the_others_hold(door: Door) -> None:
    tenant = await door.tenant()
    key = await add(door, tenant)
    assert await code_for(door, key["api_key"]) is None

    await end(door, tenant, key["key_id"])
    await end(door, tenant, key["key_id"])

    assert await code_for(door, key["api_key"]) == "invalid_api_key"
    assert await code_for(door, tenant["api_key"]) is None
    shown = {other["key_id"]: other for other in await listed(door, tenant)}
    assert shown[key["key_id"]]["revoked_at"] is not None


async def test_a_rotated_key_holds_until_its_grace_is_over(door: Door) -> None:
    tenant = await door.tenant()
    old = await add(door, tenant, allowed_origins=[APP])

    new = await rotate(door, tenant, old["key_id"], grace_in=2)

    assert set(new) == SHOWN | {"api_key"}
    assert new["key_id"] != old["key_id"]
    assert (new["kind"], new["allowed_origins"], new["expires_at"]) == ("pk", [APP], None)
    assert await code_for(door, new["api_key"]) is None
    revoked_at = {key["key_id"]: key["revoked_at"] for key in await listed(door, tenant)}[old["key_id"]]
    grace_s = (datetime.fromisoformat(revoked_at) - datetime.fromisoformat(new["created_at"])).total_seconds()
    assert grace_s == 2
    if datetime.now(UTC) < datetime.fromisoformat(revoked_at) - timedelta(seconds=1):
        assert await code_for(door, old["api_key"]) is None  # and is cached from here on

    async def has_ended() -> bool:
        return await code_for(door, old["api_key"]) == "invalid_api_key"

    assert await until(has_ended)
    assert datetime.now(UTC) >= datetime.fromisoformat(revoked_at)
    assert await code_for(door, new["api_key"]) is None


async def test_a_grace_of_zero_ends_the_old_key_at_once(door: Door) -> None:
    tenant = await door.tenant()
    old = await add(door, tenant)
    assert await code_for(door, old["api_key"]) is None

    new = await rotate(door, tenant, old["key_id"], grace_in=0)

    assert await code_for(door, old["api_key"]) == "invalid_api_key"
    assert await code_for(door, new["api_key"]) is None
    again = await door.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{old['key_id']}/rotate", {})
    assert again.json()["code"] == "conflict"


async def test_a_day_of_grace_is_given_unless_told(door: Door) -> None:
    tenant = await door.tenant()
    old = await add(door, tenant)

    new = await rotate(door, tenant, old["key_id"])

    revoked_at = {key["key_id"]: key["revoked_at"] for key in await listed(door, tenant)}[old["key_id"]]
    assert datetime.fromisoformat(revoked_at) - datetime.fromisoformat(new["created_at"]) == timedelta(days=1)


async def test_a_second_rotation_cannot_lengthen_the_grace_of_the_first(door: Door) -> None:
    tenant = await door.tenant()
    old = await add(door, tenant)
    await rotate(door, tenant, old["key_id"], grace_in=60)
    ends = {key["key_id"]: key["revoked_at"] for key in await listed(door, tenant)}[old["key_id"]]

    await rotate(door, tenant, old["key_id"], grace_in=3600)

    assert {key["key_id"]: key["revoked_at"] for key in await listed(door, tenant)}[old["key_id"]] == ends


@pytest.mark.parametrize("grace_in", [-1, 30 * 24 * 3600 + 1, 1.5, "60", None])
async def test_a_grace_that_cannot_be_is_refused(door: Door, grace_in: object) -> None:
    tenant = await door.tenant()
    key_id = (await listed(door, tenant))[0]["key_id"]

    answer = await door.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{key_id}/rotate", {"grace_in": grace_in})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "grace_in")


async def test_a_key_expires(door: Door) -> None:
    tenant = await door.tenant()
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    key = await add(door, tenant, expires_at=expires_at.isoformat())
    held = await code_for(door, key["api_key"]) is None
    assert held or datetime.now(UTC) > expires_at

    async def has_ended() -> bool:
        return await code_for(door, key["api_key"]) == "invalid_api_key"

    assert await until(has_ended)
    assert datetime.now(UTC) >= expires_at
    again = await door.admin("POST", f"{TENANTS}/{tenant['tenant_id']}/keys/{key['key_id']}/rotate", {})
    assert again.json()["code"] == "conflict"


async def test_each_act_on_a_key_is_an_event(door: Door, database: asyncpg.Connection) -> None:
    tenant = await door.tenant()
    old = await add(door, tenant, kind="test")
    new = await rotate(door, tenant, old["key_id"], grace_in=0)
    await end(door, tenant, new["key_id"])
    await end(door, tenant, new["key_id"])

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
