"""Deliveries and calls are purged, and the rows of deleted webhooks and tenants."""

import asyncpg

from auth1 import retention
from tests.webhooks.conftest import Owner

OLD = "2 minutes"


async def left(owner: Owner) -> tuple[int, int]:
    """Return the number of webhooks and of deliveries of the tenant, deleted ones included."""
    row = await owner.database.fetchrow(
        """select (select count(*) from webhooks where tenant_id = $1) as webhooks,
           (select count(*) from deliveries where tenant_id = $1) as deliveries""",
        owner.tenant_id,
    )
    assert row is not None
    return row["webhooks"], row["deliveries"]


async def test_ended_deliveries_are_purged_after_a_month(owner: Owner) -> None:
    webhook = await owner.webhook("user.updated")
    ids = await owner.add(*["user.updated"] * 4)
    await owner.fan_out()
    await owner.finish(webhook, ids[:2], "delivered")
    ages = {ids[0]: "30 days 1 minute", ids[1]: "29 days"}
    for event_id, age in ages.items():
        await owner.database.execute(
            "update deliveries set finished_at = now() - $2::text::interval where event_id = $1", event_id, age
        )
    forgotten = await owner.database.fetchval("select id_floor('evt', now() - interval '91 days') || 'x'")
    await owner.database.execute("update deliveries set event_id = $2 where event_id = $1", ids[2], forgotten)

    await retention.run_once(owner.services)

    assert await owner.fanned_out(webhook) == [ids[1], ids[3]]


async def test_deleted_webhook_is_purged_with_its_deliveries_only(owner: Owner) -> None:
    deleted, kept = await owner.webhook("user.updated"), await owner.webhook("user.updated")
    await owner.add("user.updated")
    await owner.fan_out()
    await owner.call("DELETE", f"/{deleted['webhook_id']}")

    await retention.run_once(owner.services)
    assert await left(owner) == (2, 2)  # a worker may still deliver

    await owner.database.execute(
        "update webhooks set deleted_at = now() - $2::text::interval where id = $1", deleted["webhook_id"], OLD
    )
    await retention.run_once(owner.services)

    assert await left(owner) == (1, 1)
    assert len(await owner.fanned_out(kept)) == 1


async def test_webhooks_of_a_deleted_tenant_are_purged(owner: Owner) -> None:
    await owner.webhook("user.updated")
    await owner.add("user.updated")
    await owner.fan_out()
    await owner.api.admin("DELETE", f"/api/admin/tenants/{owner.tenant_id}")
    await owner.database.execute(
        "update tenants set deleted_at = now() - $2::text::interval where id = $1", owner.tenant_id, OLD
    )

    for _ in range(2):
        await retention.run_once(owner.services)

    assert await left(owner) == (0, 0)
    assert await owner.database.fetchval("select count(*) from tenants where id = $1", owner.tenant_id) == 0


async def test_months_of_calls_are_made_and_dropped(owner: Owner, database: asyncpg.Connection) -> None:
    webhook = await owner.webhook("user.updated")
    [event_id] = await owner.add("user.updated")
    await owner.fan_out()
    await owner.finish(webhook, [event_id], "delivered")
    await database.execute(
        """insert into delivery_attempts (tenant_id, webhook_id, event_id, attempt, started_at, url, status, ms)
           values ($1, $2, $3, 7, '2020-02-29T12:00:00Z', '', 200, 1)""",
        *(owner.tenant_id, webhook["webhook_id"], event_id),
    )
    assert await database.fetchval("select make_delivery_attempts_partition('2020-02-01')")

    await retention.run_once(owner.services)

    attempts = await database.fetch("select attempt from delivery_attempts where event_id = $1", event_id)
    assert [row["attempt"] for row in attempts] == [1]
    assert await database.fetchval("select to_regclass('delivery_attempts_2020_02')") is None
