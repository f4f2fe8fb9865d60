"""The statements of the fraud rules find their rows by index, with any statistics of the tables.

The lists of a tenant are found by their key or by their values. Two statements read a table as a whole:
`count_all_entries`, a short row of each tenant with lists, for each new entry; `end_attacks`, once a minute, the scopes
that rejected a request in the last hour.
"""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres.migrations import analyze
from tests.sql.conftest import Connect, NewDatabase
from tests.sql.plans import PlanReader
from tests.sql.test_hot_plans import MODES, SIZES

# Tables that grow with requests, tenants or attacks.
TABLES = {
    "attacks",
    "challenges",
    "dataset_parts",
    "decisions",
    "events",
    "exposures",
    "fraud_lists",
    "fraud_settings",
    "identifiers",
    "line_types",
    "message_hours",
    "tenants",
}
TENANT = "tn_7"
FILL = """
insert into tenants (id, slug, name) select 'tn_' || n, 'plans' || n, 'Plans' from generate_series(1, $1::int) as n;
insert into fraud_settings (tenant_id) select 'tn_' || n from generate_series(1, $1::int) as n;
insert into fraud_lists (tenant_id, id, list, kind, value, author, expires_at)
  select 'tn_' || n % 500, 'fl_' || n, 'block', 'number', '+1555' || n, 'key',
    case when n % 100 = 7 then now() end
  from generate_series(1, $1::int) as n;
insert into exposures (tenant_id, scope, key, exposure, verified, second, loaded_at)
  select 'tn_' || n % 500, 'block_of_1000', '+1555' || n, 1, 1, extract(epoch from now()),
    case when n % 100 = 0 then extract(epoch from now()) else 0 end
  from generate_series(1, $1::int) as n;
insert into exposures (tenant_id, scope, key, exposure, verified, second)
  select 'tn_' || n, 'exposure_budget', '', 1, 1, extract(epoch from now()) from generate_series(1, $1::int) as n;
insert into line_types (digest, line_type)
  select substr(sha256(convert_to(n::text, 'UTF8')), 1, 16), 'mobile' from generate_series(1, $1::int) as n;
insert into identifiers (tenant_id, identifier, type) select 'tn_7', '+1555' || n, 'phone'
  from generate_series(1, $1::int) as n;
insert into challenges (tenant_id, id, identifier, channel, expires_at, status, closed_at)
  select 'tn_' || n % 500, 'ch_' || n, '+1555' || n, 'sms', now(),
    case when n % 2 = 0 then 'answered' else 'cancelled' end, now()
  from generate_series(1, $1::int) as n;
insert into decisions (tenant_id, id, decision, is_enforced, score, reasons, features, scopes, rule_version,
    challenge_id, outcome)
  select 'tn_' || n % 500, id_floor('fd', now() - interval '1 hour') || lpad(n::text, 16, '0'), 'block', true, 1,
    '{address: 7 unverified, 6 allowed}', '{}', '{}', 1, 'ch_' || n, case when n % 100 > 0 then 'unverified' end
  from generate_series(1, $1::int) as n;
insert into attacks (tenant_id, scope, subject, rejected, microdollars, load, rejected_at, detected_at)
  select 'tn_' || n % 500, 'country', n::text, 100, 1, 2, now() - n % 2 * interval '1 day', now()
  from generate_series(1, $1::int) as n;
insert into message_hours
  select 'tn_' || n % 500, now() - n % 300 * interval '1 hour', 'sms', 'US', 'p' || n, 'sent', 1, 1, 1, 1
  from generate_series(1, $1::int) as n;
insert into datasets (name, entries, bytes) values ('prefixes', 1, 1);
insert into dataset_parts (name, version, part, data)
  select 'prefixes', 1, n, '' from generate_series(1, $1::int) as n
"""
# File, statement: the indexes on tables that grow, and the rows that it reads at most.
EXPECTED: dict[tuple[str, str], tuple[set[str], int]] = {
    # Of a request.
    ("decisions", "find_counts"): ({"identifiers_pkey"}, 3),
    ("line_types", "find_line_type"): ({"line_types_pkey"}, 4),
    ("line_types", "store_line_type"): (set(), 3),
    # Of workers in the background.
    ("exposures", "save_exposures"): (set(), 8),
    ("exposures", "find_exposures"): ({"exposures_pkey"}, 60),
    ("exposures", "find_loaded_blocks"): ({"exposures_loaded_at"}, 140),
    ("exposures", "find_country_days"): (set(), 60),
    ("decisions", "settle_outcomes"): ({"decisions_id_idx", "challenges_pkey"}, 600),
    ("fraud_lists", "load_entries"): ({"fraud_settings_pkey"}, 60),
    # Of routes.
    ("decisions", "list_decisions"): ({"decisions_pkey"}, 60),
    ("fraud_review", "read_decisions"): ({"decisions_pkey"}, 60),
    ("fraud_review", "lock_decision"): ({"decisions_pkey", "challenges_pkey"}, 6),
    ("fraud_review", "find_entry"): ({"fraud_lists_value"}, 6),
    ("fraud_review", "record_feedback"): ({"decisions_pkey"}, 6),
    ("fraud_policy", "get_policy"): ({"fraud_settings_pkey"}, 6),
    ("fraud_policy", "share_tenant"): ({"tenants_pkey"}, 6),
    ("fraud_policy", "lock_settings"): (set(), 6),
    ("fraud_policy", "replace_policy"): ({"fraud_settings_pkey"}, 6),
    ("fraud_lists", "insert_entry"): (set(), 6),
    ("fraud_lists", "delete_entry"): ({"fraud_lists_pkey"}, 6),
    ("fraud_lists", "delete_expired_entries"): (set(), 60),
    ("fraud_lists", "count_change"): ({"fraud_settings_pkey"}, 60),
    ("fraud_lists", "list_entries"): (set(), 60),
    ("users", "lock_lists_to_erase"): ({"fraud_settings_pkey"}, 20),
    ("users", "erase_list_entries"): ({"fraud_settings_pkey"}, 20),
    ("datasets", "read_part"): ({"dataset_parts_pkey"}, 6),
}
VALUES: Mapping[str, Any] = {
    "tenant_id": TENANT, "identifier": "+15557", "digests": [b"7" * 16, b"8" * 16], "digest": b"7" * 16,
    "line_type": "mobile", "pumping_risk": None, "sim_swapped": None, "has_signals": False, "tenant_ids": [TENANT],
    "scopes": ["country"], "keys": ["US"], "exposures": [1.0], "verified": [1.0], "seconds": [1.0], "loaded_at": [0.0],
    "blocks_since": 0.0, "max_blocks": 1000, "since": None, "until": None, "max_rows": 20, "days": 14, "before": "~",
    "decision": None, "reason": "address", "was": "honest", "policy": "{}", "captcha_secret": None, "changed": [],
    "actor": "key", "request_id": None, "network": None, "list": "block", "kind": "number", "value": "+15557",
    "entry_id": "fl_7", "expires_at": None, "after": "", "identifiers": ["+15557"], "name": "prefixes", "version": 1,
    "part": 7, "event_ids": [],
}  # fmt: skip
SPECIAL: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("exposures", "find_loaded_blocks"): {"since": 1.0},
    ("fraud_review", "read_decisions"): {"since": datetime.now(UTC) - timedelta(days=1)},
    ("fraud_lists", "insert_entry"): {"value": "+1999", "entry_id": "fl_new"},
}
ROW: Mapping[str, Any] = {
    "tenant_id": TENANT, "decision": "block", "is_enforced": True, "score": 1.0, "reasons": ["address"],
    "features": "{}", "scopes": "{}", "rule_version": 1, "request_id": None, "challenge_id": None, "message_id": None,
    "outcome": None, "event_type": "request.blocked", "actor": "key", "network": None, "data": json.dumps({}),
    "scope": "country", "subject": "7", "rejected": 1, "microdollars": 1, "load": 3.0, "threshold": 1,
    "has_ended": False,
}  # fmt: skip
FUNCTIONS: Mapping[str, set[str]] = {"record_decisions": set(), "report_attacks": {"attacks_pkey"}}


@pytest.fixture(scope="module", params=SIZES)
async def url(request: pytest.FixtureRequest, new_migrated_database: NewDatabase) -> str:
    """Return a database of a size; only `analysed` was analysed."""
    url = await new_migrated_database()
    connection = await asyncpg.connect(url)
    for table in ("exposures", "fraud_lists", "fraud_settings", "line_types", "attacks"):
        await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
    for statement in FILL.split(";\n"):
        await connection.execute(statement, *[SIZES[request.param]] * ("$1" in statement))
    if request.param == "analysed":
        await analyze(connection)
    await connection.close()
    return url


@pytest.mark.parametrize("mode", MODES)
async def test_statements_of_fraud_rules_read_few_rows_by_index(url: str, connect: Connect, mode: str) -> None:
    connection = await connect(url)
    reader = PlanReader(connection)
    await reader.start(mode)
    decision = await connection.fetchval("select max(id) from decisions where tenant_id = $1", TENANT) or "fd_none"
    transaction = connection.transaction()
    await transaction.start()

    done = {}
    for file, name in EXPECTED:
        values = {**VALUES, "event_id": new_id("evt"), "decision_id": decision, **SPECIAL.get((file, name), {})}
        done[file, name] = await reader.query(file, name, values)
        print(file, name, done[file, name])
    for name in FUNCTIONS:
        done["", name] = await reader.function(name, {**ROW, "decision_id": new_id("fd")})
        print(name, done["", name])
    await transaction.rollback()

    expected = EXPECTED | {("", name): (indexes, 20) for name, indexes in FUNCTIONS.items()}
    assert {name: executed.scanned & TABLES for name, executed in done.items()} == {name: set() for name in done}
    missing = {name: expected[name][0] - executed.indexes for name, executed in done.items()}
    assert missing == {name: set() for name in done}
    many = {name: executed.rows_read for name, executed in done.items() if executed.rows_read > expected[name][1]}
    assert many == {}
