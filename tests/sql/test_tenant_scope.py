"""Keys, foreign keys, joins and locks hold to one tenant, so that the tables can be distributed by `tenant_id`.

The tests read the catalogue, each statement and each function. What does not hold to one tenant is listed here with its
reason. An entry that is not needed fails too.
"""

import re
from fnmatch import fnmatch

import asyncpg
import pytest

from auth1.core.postgres import Queries, sql_directory
from tests.sql.tenant_scope import Fault, faults_of, statements_of_function

# Without a tenant. A distributed database has one copy of them per server, or one in all.
GLOBAL_TABLES = {
    "migrations": "what was applied to the database",
    "event_readers": "the places of the readers of all events",
    "event_clock": "the transactions of the database",
    "message_hours_next": "the next hour of all tenants",
    "line_types": "paid look-ups of numbers that all tenants share",
    "datasets": "files that the operator loads for all tenants",
    "dataset_parts": "parts of these files",
    "tenants": "the list of tenants; its id is the tenant",
}
GLOBAL_KEYS = {
    ("keys", "digest"): "a key is found by its digest before its tenant is known",
    ("keys", "id"): "the events of all tenants name keys by their id",
    ("hosts", "host"): "a verified host leads to one tenant",
}
# file.statement: reason. Each reads or changes several tenants at once, or finds the tenant.
ALL_TENANTS = {
    "audit.*": "seals follow the events of all tenants by transaction",
    "event_readers.*": "readers follow the events of all tenants by transaction",
    "event_lists.*": "the operator lists and exports the events of all tenants; an id of a user is in one tenant",
    "event_purges.*": "retention of all tenants",
    "event_streams.valid_callers": "the open streams of a worker belong to several tenants",
    "webhooks.fan_out": "a reader of the events of all tenants; a webhook receives its own tenant's",
    "delivery_queue.lease_endpoints": "the queue of all tenants",
    "delivery_queue.measure_deliveries": "the queue of all tenants",
    "logouts.claim_logouts": "the queue of all tenants",
    "sessions.end_all_sessions": "ends the sessions of a tenant and of its sandbox",
    "messaging.*": "the outbox of all tenants; what belongs to a message is joined by its tenant",
    "decisions.end_attacks": "a job for all tenants",
    "decisions.settle_outcomes": "a job for all tenants",
    "exposures.*": "workers write and read what all tenants share of their rules, row by row",
    "fraud_lists.count_all_entries": "the size of all lists",
    "reports.aggregate_hour": "the statistics of an hour, tenant by tenant",
    "retention.*": "old rows of all tenants; deleted rows are found again by their tenant",
    "endpoint_secrets.*": "encrypts the secrets of all tenants again",
    "signing.list_*": "a job for all tenants",
    "signing.delete_retired_signing_keys": "a job for all tenants",
    "tenants.list_tenants": "the list of tenants",
    "tenants.get_tenant": "finds a tenant by its slug",
    "tenants.find_logo": "finds a logo by its digest",
    "authn.list_moved_tenants": "the moved tenants of the installation",
    "authn.list_own_hosts": "the verified hosts of the installation",
    "hosts.lock_host": "tenants compete for a host",
    "hosts.find_verified_tenant": "finds the tenant of a verified host",
    "authn.find_tenant": "finds the tenant of a key or slug, with the operator's fraud policy",
    "fraud_policy.get_policy": "the policy of a tenant or the operator's",
    "links.find_link": "finds the tenant of a link by its token",
    "links.confirm_link": "finds the tenant of a link by its token; locks and changes by the tenant",
}
# A sandbox (`tenant_id:test`) shares rows of its tenant.
SANDBOXES = {
    "deliveries.find_content": "a sandbox webhook belongs to the tenant, its events to the sandbox",
    "delivery_queue.claim_deliveries": "a sandbox webhook belongs to the tenant, its events to the sandbox",
    "webhooks.fan_out": "a sandbox webhook belongs to the tenant, its events to the sandbox",
    "tenant_move.*": "a sandbox moves with its tenant",
    "users.erase_user": "a sandbox has the applications of its tenant",
    "oauth.*": "a sandbox has the applications of its tenant",
    "consents.*": "a sandbox has the applications of its tenant",
    "retention.purge_logins": "a sandbox has the applications of its tenant",
    "retention.purge_grants": "a sandbox has the applications of its tenant",
    "retention.purge_consents": "a sandbox has the applications of its tenant",
}
SANDBOX_FUNCTIONS = {
    "find_logins": "a sandbox has the applications of its tenant",
    "is_grant_live": "a sandbox has the applications of its tenant",
    "needs_consent": "a sandbox has the applications of its tenant",
}
GLOBAL_LOCKS = {
    "4151511": "migrations",
    "4151513": "builds of indexes",
    "4151512": "partitions of events",
    "4151514": "partitions of decisions",
    "4151515": "partitions of delivery_attempts",
}

_UNIQUE = """
select c.relname as table_name, array_agg(a.attname::text order by k.place) as columns
from pg_index x join pg_class c on c.oid = x.indrelid
cross join lateral unnest(x.indkey[:x.indnkeyatts - 1]) with ordinality as k(number, place)
join pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
where x.indisunique and c.relnamespace = 'public'::regnamespace and not c.relispartition
group by c.relname, x.indexrelid
"""
_REFERENCES = """
select f.conname as name, f.conrelid::regclass::text as table_name, f.confrelid::regclass::text as other,
  array_agg(a.attname::text order by k.place) as columns, array_agg(b.attname::text order by k.place) as others
from pg_constraint f
cross join lateral unnest(f.conkey, f.confkey) with ordinality as k(one, two, place)
join pg_attribute a on a.attrelid = f.conrelid and a.attnum = k.one
join pg_attribute b on b.attrelid = f.confrelid and b.attnum = k.two
where f.contype = 'f' and f.connamespace = 'public'::regnamespace group by f.oid
"""
_TABLES = """
select c.relname as name, bool_or(a.attname = 'tenant_id') as has_tenant
from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
group by c.relname
"""


async def tables_with_a_tenant(connection: asyncpg.Connection) -> set[str]:
    """Return the tables and views whose statements must hold to one tenant."""
    rows = await connection.fetch(_TABLES)
    return {row["name"] for row in rows if row["has_tenant"]} - GLOBAL_TABLES.keys() | {"tenants"}


def unlisted(found: dict[str, set[Fault]]) -> dict[str, set[Fault]]:
    """Return the faults without a listed reason."""
    left = {
        name: {
            fault
            for fault in faults
            if not any(fnmatch(name, known) for known in (SANDBOXES if fault.kind == "sandbox" else ALL_TENANTS))
        }
        for name, faults in found.items()
    }
    return {name: faults for name, faults in left.items() if faults}


async def test_every_table_has_a_tenant_or_is_listed_as_global(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(_TABLES)

    assert {row["name"] for row in rows if not row["has_tenant"]} <= GLOBAL_TABLES.keys()
    assert GLOBAL_TABLES.keys() <= {row["name"] for row in rows}


async def test_every_unique_key_contains_the_tenant(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(_UNIQUE)

    without = {(row["table_name"], *row["columns"]) for row in rows if "tenant_id" not in row["columns"]}

    assert {key for key in without if key[0] not in GLOBAL_TABLES} == GLOBAL_KEYS.keys()


async def test_every_foreign_key_refers_to_the_same_tenant(connection: asyncpg.Connection) -> None:
    rows = await connection.fetch(_REFERENCES)

    faults = [
        row["name"]
        for row in rows
        if row["table_name"] not in GLOBAL_TABLES
        and ("tenant_id", "id" if row["other"] == "tenants" else "tenant_id")
        not in zip(row["columns"], row["others"], strict=True)
    ]

    assert faults == []
    assert len(rows) > 5


async def test_every_statement_holds_to_one_tenant(connection: asyncpg.Connection) -> None:
    tables = await tables_with_a_tenant(connection)
    found = {
        f"{file.stem}.{query.name}": faults_of(query.text, tables, query.parameters)
        for file in sorted((sql_directory() / "queries").glob("*.sql"))
        for query in Queries(file.stem).blocks.values()
    }

    assert unlisted(found) == {}
    kinds = {"all": ("all_tenants", "join"), "sandbox": ("sandbox",)}
    for listed, kind in ((ALL_TENANTS, "all"), (SANDBOXES, "sandbox")):
        faulty = {name for name, faults in found.items() if any(fault.kind in kinds[kind] for fault in faults)}
        unneeded = [known for known in listed if not any(fnmatch(name, known) for name in faulty)]
        assert unneeded == []


async def test_every_function_holds_to_one_tenant(connection: asyncpg.Connection) -> None:
    tables = await tables_with_a_tenant(connection)
    found: dict[str, set[Fault]] = {}
    read = 0
    for file in sorted((sql_directory() / "functions").glob("*.sql")):
        for statement in statements_of_function(file.read_text()):
            read += 1
            found.setdefault(file.stem, set()).update(faults_of(statement, tables))

    faulty = {name for name, faults in unlisted(found).items() if {fault.kind for fault in faults} != {"sandbox"}}
    assert faulty == set()
    assert unlisted(found).keys() == SANDBOX_FUNCTIONS.keys()
    assert read > 300


def test_every_advisory_lock_is_of_one_tenant_or_listed() -> None:
    files = [file for file in sorted(sql_directory().rglob("*.sql")) if file.parent.name != "clients"]
    locks = [found for file in files for found in re.findall(r"advisory_xact_lock\w*\((.*)", file.read_text())]

    numbers = {number[0] for lock in locks if (number := re.match(r"\d+", lock))}
    keyed = [lock for lock in locks if not re.match(r"\d+", lock)]

    assert numbers == GLOBAL_LOCKS.keys()
    assert keyed
    assert [lock for lock in keyed if not re.match(r"hashtextextended\(@?(tenant_id|owner)\b", lock)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("select from users u join sessions s on s.user_id = u.id where u.tenant_id = $1 and s.tenant_id = $1", None),
        ("select from users u join sessions s using (tenant_id, id) where s.tenant_id = $1", None),
        ("select from users u join sessions s on s.tenant_id = u.tenant_id where u.tenant_id = $1", None),
        ("select from users u join sessions s on s.user_id = u.id where u.tenant_id = $1", "join"),
        ("select from users where id = $2", "all_tenants"),
        ("select from users where tenant_id = $1 or id = $2", "all_tenants"),
        ("select from users where tenant_id > $1", "all_tenants"),
        ("update users u set id = '' from sessions s where s.tenant_id = $1 and u.id = s.user_id", "join"),
        ("delete from users u using sessions s where (u.tenant_id, u.id) = (s.tenant_id, s.user_id)", "all_tenants"),
        (
            "with s as (select id from sessions where tenant_id = $1) delete from users u using s where u.id = s.id",
            "join",
        ),
        (
            "with s as (select * from sessions where tenant_id = $1) select from users u join s using (tenant_id)",
            None,
        ),
        ("select from unnest($2) as r cross join lateral (select from users where tenant_id = r.tenant_id) as u", None),
        ("select from users u where tenant_id = $1 and exists (select from sessions s where s.user_id = u.id)", "join"),
        ("insert into sessions (id, tenant_id) select u.id, u.tenant_id from users u where u.tenant_id = $1", None),
        ("insert into sessions (id, tenant_id) select u.tenant_id, u.id from users u where u.tenant_id = $1", "join"),
        (
            "select from users u join sessions s on s.tenant_id = u.tenant_id || ':test' where u.tenant_id = $1",
            "sandbox",
        ),
        (
            "select from sessions s join tenants t on t.id = split_part(s.tenant_id, ':', 1) where s.tenant_id = $1",
            None,
        ),
    ],
)
def test_analysis_finds_what_does_not_hold_to_one_tenant(text: str, expected: str | None) -> None:
    faults = faults_of(text, {"users", "sessions", "tenants"}, ("tenant_id", "requests"))

    assert [fault.kind for fault in faults] == ([] if expected is None else [expected])
