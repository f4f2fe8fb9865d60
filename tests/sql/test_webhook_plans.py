"""The statements of webhooks find their rows by index, with any statistics of the tables."""

from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres.migrations import analyze
from tests.sql.conftest import Connect, NewDatabase
from tests.sql.plans import PlanReader
from tests.sql.test_hot_plans import MODES, SIZES

TABLES = {"webhooks", "deliveries", "events"}  # that grow
TENANT, WEBHOOK, EVENT = "tn_7", "whk_7", "evt_000000007"
FILL = """
insert into webhooks (tenant_id, id, url, events, secret, first_tx)
  select 'tn_' || n, 'whk_' || n, '', '{*}', '', '1' from generate_series(1, $1::int) as n;
insert into deliveries (tenant_id, webhook_id, event_id, type, tx, state, attempts, due_at)
  select 'tn_7', 'whk_7', 'evt_' || lpad(n::text, 9, '0'), 'user.created', n::text::xid8,
    case when n % 3 = 0 then 'pending' when n % 100 = 1 then 'failed' else 'delivered' end, n % 2, now()
  from generate_series(1, $1::int) as n;
insert into delivery_attempts (tenant_id, webhook_id, event_id, attempt, started_at, url, status, ms)
  select 'tn_7', 'whk_7', 'evt_' || lpad(n::text, 9, '0'), 1, now(), '', 200, 1 from generate_series(1, $1::int) as n;
insert into events (tenant_id, id, type, actor, subject, tx)
  select 'tn_' || (n % 50), id_floor('evt', now()) || lpad(n::text, 16, '0'), 'user.created', 'key', 'usr_' || n,
    (n / 20 + 1)::text::xid8
  from generate_series(1, $1::int) as n
"""
# File, statement: the indexes that it uses, and the rows that it reads at most.
EXPECTED: dict[tuple[str, str], tuple[set[str], int]] = {
    ("webhooks", "count_webhooks"): ({"webhooks_pkey"}, 12),
    ("webhooks", "find_webhook"): ({"webhooks_pkey"}, 12),
    ("webhooks", "update_webhook"): ({"webhooks_pkey"}, 12),
    ("webhooks", "rotate_secret"): ({"webhooks_pkey"}, 12),
    ("webhooks", "fan_out"): ({"events_tx", "webhooks_pkey"}, 600),
    ("deliveries", "list_deliveries"): ({"deliveries_pkey", "webhooks_pkey"}, 300),
    ("deliveries", "find_delivery"): ({"deliveries_pkey", "webhooks_pkey"}, 12),
    ("deliveries", "find_content"): ({"deliveries_pkey", "events_pkey"}, 12),
    ("deliveries", "list_candidates"): ({"deliveries_pkey"}, 30),
    ("deliveries", "replay_delivery"): ({"deliveries_pkey"}, 12),
    ("deliveries", "replay_deliveries"): (set(), 120),  # by `deliveries_ended` or by the key
    ("deliveries", "cancel_delivery"): ({"deliveries_pkey"}, 12),
    ("deliveries", "cancel_deliveries"): ({"deliveries_pkey"}, 120),
    ("deliveries", "wake_webhook"): ({"webhooks_pkey"}, 12),
}
VALUES: Mapping[str, Any] = {
    "tenant_id": TENANT, "webhook_id": WEBHOOK, "event_id": EVENT, "before": "evt_~", "since": None, "until": None,
    "state": "failed", "type": None, "max_scanned": 100, "max_rows": 20, "prefix": EVENT, "after": "", "id": "",
    "tx": "1", "interval_ms": 50, "url": "https://example.com/2", "events": None, "enabled": None,
    "secret": b"", "grace_in": 60, "actor": "key", "request_id": None, "network": None,
}  # fmt: skip


@pytest.fixture(scope="module", params=SIZES)
async def url(request: pytest.FixtureRequest, new_migrated_database: NewDatabase) -> str:
    """Return a database of a size; only `analysed` was analysed."""
    url = await new_migrated_database()
    connection = await asyncpg.connect(url)
    for table in ("webhooks", "deliveries"):
        await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
    await connection.execute("insert into tenants (id, slug, name) values ($1, 'plans', 'Plans')", TENANT)
    for statement in FILL.split(";\n"):
        await connection.execute(statement, SIZES[request.param])
    if request.param == "analysed":
        await analyze(connection)
    await connection.close()
    return url


@pytest.mark.parametrize("mode", MODES)
async def test_statements_read_few_rows_by_index(url: str, connect: Connect, mode: str) -> None:
    connection = await connect(url)
    reader = PlanReader(connection)
    await reader.start(mode)
    await connection.execute("set enable_sort = off")  # as the reader of events and lists do

    done = {}
    for file, name in EXPECTED:
        special = {"event_id": new_id("evt")} if file == "webhooks" else {}
        done[file, name] = await reader.query(file, name, {**VALUES, **special})

    assert {name: executed.scanned & TABLES for name, executed in done.items()} == {name: set() for name in done}
    missing = {name: EXPECTED[name][0] - executed.indexes for name, executed in done.items()}
    assert missing == {name: set() for name in done}
    many = {name: executed.rows_read for name, executed in done.items() if executed.rows_read > EXPECTED[name][1]}
    assert many == {}


@pytest.mark.parametrize("url", ["analysed"], indirect=True)
async def test_purge_of_deliveries_reads_a_range_of_pages(url: str, connect: Connect) -> None:
    reader = PlanReader(await connect(url))
    await reader.start("force_custom_plan")

    done = await reader.query("retention", "purge_deliveries", {"max_rows": 1000, "first_page": 0, "end_page": 10})

    assert done.scanned == set()
