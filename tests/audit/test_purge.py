"""Retention purges events below a sealed mark only, and a verification accepts exactly those gaps."""

from datetime import UTC, datetime, timedelta

import pytest

from auth1.audit import purge
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Report, Verification
from tests.audit.conftest import AuditLog

DAYS = timedelta(days=1)


async def verify(audit_log: AuditLog) -> Report:
    reader = AuditReader(audit_log.services.postgres, None)
    return await Verification(reader, seal_keys(audit_log.services.keyring)).run()


async def ids_of(audit_log: AuditLog, tenant_id: str) -> list[str]:
    text = "select id from events where tenant_id = $1 and type = 'user.updated' order by id"
    return [row["id"] for row in await audit_log.database.fetch(text, tenant_id)]


async def marks(audit_log: AuditLog, tenant_id: str) -> list[dict[str, str]]:
    columns = "data ->> 'reason' as reason, data ->> 'before' as before"
    text = f"select {columns} from events where type = 'audit.purged' and tenant_id = $1 order by id"
    return [dict(row) for row in await audit_log.database.fetch(text, tenant_id)]


@pytest.fixture
async def tenant_id(audit_log: AuditLog) -> str:
    made: str = (await audit_log.api.tenant(events_retention_days=30))["tenant_id"]
    return made


async def test_tenant_purges_its_events_after_their_mark_is_sealed(audit_log: AuditLog, tenant_id: str) -> None:
    old = [*(await audit_log.add(tenant_id, 3, age=40 * DAYS)), *(await audit_log.add(tenant_id, age=31.5 * DAYS))]
    kept = await audit_log.add(tenant_id, 2, age=29 * DAYS)
    sandbox = await audit_log.add(f"{tenant_id}:test", 1, age=40 * DAYS)
    other = await audit_log.add("tn_other", 2, age=40 * DAYS)
    await audit_log.seal()

    await purge.purge_tenants(audit_log.services)
    await purge.purge_tenants(audit_log.services)
    assert await ids_of(audit_log, tenant_id) == sorted(old + kept)
    assert len(await marks(audit_log, tenant_id)) == 1

    await audit_log.seal()
    await purge.purge_tenants(audit_log.services)
    await purge.purge_tenants(audit_log.services)

    assert await ids_of(audit_log, tenant_id) == sorted(kept)
    assert await ids_of(audit_log, f"{tenant_id}:test") == [] != sandbox
    assert await ids_of(audit_log, "tn_other") == sorted(other)
    [mark] = await marks(audit_log, tenant_id)
    midnight = (datetime.now(UTC) - 30 * DAYS).strftime("%Y-%m-%dT00:00:00Z")
    assert mark == {"reason": "events_retention_days", "before": midnight}
    assert (await verify(audit_log)).findings == []


async def test_event_above_the_mark_is_still_missing(audit_log: AuditLog, tenant_id: str) -> None:
    await audit_log.add(tenant_id, 3, age=40 * DAYS)
    [kept] = await audit_log.add(tenant_id, age=10 * DAYS)
    await audit_log.seal()
    for _ in range(2):
        await purge.purge_tenants(audit_log.services)
        await audit_log.seal()
    await audit_log.database.execute("delete from events where id = $1", kept)

    [found] = (await verify(audit_log)).findings

    assert (found.tenant_id, found.kind, found.event_id) == (tenant_id, "missing", kept)


async def test_changed_purge_event_does_not_hide_missing_events(audit_log: AuditLog, tenant_id: str) -> None:
    [old, *_] = sorted(await audit_log.add(tenant_id, 3, age=40 * DAYS))
    [recent] = await audit_log.add(tenant_id, age=10 * DAYS)
    await audit_log.seal()
    for _ in range(2):
        await purge.purge_tenants(audit_log.services)
        await audit_log.seal()
    forge = "update events set data = jsonb_set(data, '{before_id}', '\"evt_7\"') where type = 'audit.purged'"
    await audit_log.database.execute(forge)
    await audit_log.database.execute("delete from events where id = $1", recent)

    findings = [one for one in (await verify(audit_log)).findings if one.tenant_id == tenant_id]

    assert [one.kind for one in findings] == ["missing"]
    assert findings[0].event_id is not None
    assert findings[0].event_id >= old


async def test_purge_waits_for_the_slowest_reader(audit_log: AuditLog, tenant_id: str) -> None:
    old = await audit_log.add(tenant_id, 3, age=40 * DAYS)
    await audit_log.seal()
    await audit_log.database.execute("insert into event_readers (name) values ('slow')")
    for _ in range(2):
        await purge.purge_tenants(audit_log.services)
        await audit_log.seal()
    assert await ids_of(audit_log, tenant_id) == sorted(old)

    await audit_log.database.execute("delete from event_readers where name = 'slow'")
    await purge.purge_tenants(audit_log.services)
    assert await ids_of(audit_log, tenant_id) == []


async def make_month(audit_log: AuditLog, age: timedelta) -> str:
    month = (datetime.now(UTC) - age).date().replace(day=1)
    await audit_log.database.fetchval("select make_events_partition($1)", month)
    return f"events_{month:%Y_%m}"


async def test_month_is_dropped_after_all_its_tenants_have_a_sealed_mark(audit_log: AuditLog) -> None:
    partition = await make_month(audit_log, 460 * DAYS)
    for tenant_id in ("tn_1", "tn_2:test"):
        await audit_log.add(tenant_id, 3, age=460 * DAYS)
        await audit_log.add(tenant_id, 1)
    await audit_log.seal()

    await purge.drop_months(audit_log.services)
    await purge.drop_months(audit_log.services)
    assert await audit_log.database.fetchval("select to_regclass($1) is not null", partition)

    await audit_log.seal()
    await purge.drop_months(audit_log.services)
    await purge.drop_months(audit_log.services)

    assert await audit_log.database.fetchval("select to_regclass($1) is null", partition)
    assert [mark["reason"] for mark in await marks(audit_log, "tn_2:test")] == ["EVENTS_RETENTION_MONTHS"]
    assert (await verify(audit_log)).findings == []


async def test_month_that_was_dropped_too_early_is_found(audit_log: AuditLog) -> None:
    partition = await make_month(audit_log, 60 * DAYS)
    [first, *_] = sorted(await audit_log.add("tn_1", 3, age=60 * DAYS))
    await audit_log.add("tn_1", 1)
    await audit_log.seal()
    await audit_log.database.execute(f"drop table {partition}")

    [found] = (await verify(audit_log)).findings

    assert found.kind == "missing"
    assert found.event_id is not None
    assert found.event_id >= first


async def test_retention_of_the_operator_is_a_setting(audit_log: AuditLog) -> None:
    api = await audit_log.start_app(DATABASE_URL=audit_log.url, EVENTS_RETENTION_MONTHS="1")
    partition = await make_month(audit_log, 70 * DAYS)

    await purge.drop_months(audit_log.services)
    assert await audit_log.database.fetchval("select to_regclass($1) is not null", partition)

    await purge.drop_months(api.services)
    assert await audit_log.database.fetchval("select to_regclass($1) is null", partition)
