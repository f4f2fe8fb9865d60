"""Commits that are late and out of order: every reader gets each event once, and all in one order."""

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg

from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from auth1.core.ids import new_id, unpack_id
from auth1.core.postgres import Query, Transaction
from auth1.events import reader
from auth1.events.reader import EventRow, Place
from auth1.webhooks.delivery import fan_out
from tests.audit.conftest import AuditLog, insert
from tests.audit.streams import StreamClient
from tests.audit.test_stream import Tenant
from tests.support.effort import effort

CLOCKS = (timedelta(0), timedelta(minutes=10), timedelta(minutes=-10))
ADD = Query("add", "insert into followed (id) select unnest($1::text[])")


async def late_id(database: asyncpg.Connection, clock: timedelta) -> str:
    """Return the id of an event by a clock that differs."""
    floor: str = await database.fetchval("select id_floor('evt', $1)", datetime.now(UTC) + clock)
    return floor + new_id("evt")[-16:]


async def write(log: AuditLog, tenant_id: str, seed: int) -> None:
    """Insert events by three clocks, in transactions of which two are open at once and end in either order."""
    chance = random.Random(seed)
    connections = [await asyncpg.connect(log.url) for _ in range(2)]
    for _ in range(effort(12, 300)):
        transactions = [connection.transaction() for connection in connections]
        for connection, transaction in zip(connections, transactions, strict=True):
            await transaction.start()
            await insert(connection, tenant_id, await late_id(connection, chance.choice(CLOCKS)))
        for transaction in chance.sample(transactions, 2):
            await asyncio.sleep(chance.uniform(0, 0.02))
            await transaction.commit()
    for connection in connections:
        await connection.close()


async def follow(log: AuditLog, writers: "asyncio.Future[list[None]]") -> None:
    """Seal, fan out and follow, two readers of each kind, until everything is written and read."""

    async def work(transaction: Transaction, place: Place, rows: list[EventRow]) -> None:
        await transaction.rows(ADD, [row.id for row in rows])

    async def rounds() -> None:
        is_written = False
        while True:
            found = await log.seal() + await reader.follow(log.services.postgres, "followed", work, 7)
            found += await fan_out.fan_out(log.services, 7)
            if is_written and not found:
                return
            is_written = writers.done()
            await asyncio.sleep(0.005)

    await asyncio.gather(rounds(), rounds())


async def test_every_reader_gets_late_events_once_and_in_one_order(audit_log: AuditLog) -> None:
    tenant = Tenant(audit_log, await audit_log.api.tenant())
    await audit_log.database.execute("create table followed (number bigserial, id text)")
    await audit_log.database.execute("insert into event_readers (name) values ('followed')")
    webhook = {"url": "https://example.com/webhooks", "events": ["*"]}
    answer = await audit_log.api.post("/api/tenant/webhooks", webhook, tenant.key)
    assert answer.status_code == 201
    [first] = await audit_log.add(tenant.id)
    long = await asyncpg.connect(audit_log.url)
    transaction = long.transaction()
    await transaction.start()
    await insert(long, tenant.id, await late_id(long, timedelta(minutes=10)))
    async with tenant.stream(last_id=first) as client:
        writers = asyncio.gather(*(write(audit_log, tenant.id, seed) for seed in range(3)))
        following = asyncio.create_task(follow(audit_log, writers))
        await writers
        assert client.messages == []  # nothing behind the long transaction is final
        await insert(long, tenant.id, await late_id(long, timedelta(minutes=-10)))
        await transaction.commit()
        await long.close()
        await following
        order = await tenant.order()
        assert await client.wait_for(len(order) - order.index(first) - 1) == order[order.index(first) + 1 :]
    assert await sealed(audit_log, tenant.id) == order
    assert await followed(audit_log) == order
    assert await exported(tenant) == order
    assert await fanned_out(audit_log, tenant.id) == order[1:]  # all after tenant.created
    keys = seal_keys(audit_log.services.keyring)
    report = await Verification(AuditReader(audit_log.services.postgres, None), keys).run()
    assert (report.findings, report.events, report.unsealed) == ([], len(order), 0)


async def sealed(log: AuditLog, tenant_id: str) -> list[str]:
    """Return the ids of the seals of a tenant."""
    rows = await log.database.fetch("select ids from event_seals where tenant_id = $1 order by seq", tenant_id)
    packed = b"".join(row["ids"] for row in rows)
    return [unpack_id(packed[at : at + 16], "evt") for at in range(0, len(packed), 16)]


async def followed(log: AuditLog) -> list[str]:
    return [row["id"] for row in await log.database.fetch("select id from followed order by number")]


async def fanned_out(log: AuditLog, tenant_id: str) -> list[str]:
    """Return the events of the deliveries of a tenant, in the order of their first attempts."""
    rows = await log.database.fetch("select * from deliveries where tenant_id = $1 order by tx, event_id", tenant_id)
    return [row["event_id"] for row in rows]


async def exported(tenant: Tenant) -> list[str]:
    answer = await tenant.log.api.client.get("/api/tenant/events/export?format=csv", headers={"x-api-key": tenant.key})
    return [line.partition(",")[0] for line in answer.text.splitlines()[1:]]


async def test_stream_from_the_beginning_is_the_export(audit_log: AuditLog) -> None:
    tenant = Tenant(audit_log, await audit_log.api.tenant())
    await write(audit_log, tenant.id, 1)
    order = await tenant.order()

    async with StreamClient(tenant.app, "/api/tenant/events/stream", key=tenant.key, last_id=order[0]) as client:
        assert await client.wait_for(len(order) - 1) == order[1:] == (await exported(tenant))[1:]
