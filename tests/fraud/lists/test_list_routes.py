"""Allow and block lists through the API: caps, expiry, pages, isolation, and their effect on every worker."""

import asyncio
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest

from auth1 import retention
from auth1.core import crypto
from auth1.fraud.lists import cache as list_cache
from auth1.fraud.lists import store as list_store
from auth1.fraud.lists.cache import ListCache
from auth1.fraud.lists.entries import Match, match
from auth1.identifiers import parse_identifier
from auth1.tenants.settings import Tenant
from tests.conftest import Started, new_phone
from tests.fraud.conftest import DEFAULTS, ManagedTenant, managed_tenant
from tests.support.api_client import ApiClient
from tests.support.polling import until
from tests.support.postgres_files import new_database
from tests.support.providers.twilio import TwilioServer

LISTS = "/fraud/lists"


async def known(api: ApiClient, key: str) -> Tenant:
    digest = crypto.digest(key)
    tenant = api.services.tenants.get_cached(digest) or await api.services.tenants.find(digest)
    assert tenant is not None
    return tenant


async def matched(api: ApiClient, managed: ManagedTenant, address: str | None = None, **claimed: str) -> Match | None:
    """Return the entry that decides about an identifier in a worker."""
    identifier = parse_identifier(phone=claimed.get("phone"), email=claimed.get("email"))
    lists = await api.services.lists.get(await known(api, managed.made["api_key"]))
    return match(lists, identifier, address, identifier.country, time.time())


def entry(value: str, kind: str = "number", name: str = "block", **fields: Any) -> dict[str, Any]:
    return {"list": name, "kind": kind, "value": value, **fields}


async def values(managed: ManagedTenant, **query: str) -> list[str]:
    answer = await managed.call("GET", LISTS, params=query)
    return [one["value"] for one in answer.json()["data"]]


async def test_entry_is_added_listed_matched_and_deleted(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    phone = new_phone()
    expires_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()

    added = await managed.call("POST", LISTS, entry(phone, reason="tests", expires_at=expires_at))
    shown = added.json()
    listed = (await managed.operator("GET", LISTS)).json()
    found = await matched(managed.api, managed, phone=phone)
    removed = await managed.call("DELETE", f"{LISTS}/{shown['entry_id']}")
    again = await managed.call("DELETE", f"{LISTS}/{shown['entry_id']}")

    assert added.status_code == 201
    assert shown["entry_id"].startswith("fl_")
    assert shown["author"].startswith("key_")
    assert (shown["list"], shown["kind"], shown["value"], shown["reason"]) == ("block", "number", phone, "tests")
    assert listed == {"data": [shown], "next_cursor": None}
    assert found is not None
    assert found.entry.entry_id == shown["entry_id"]
    assert (removed.status_code, again.status_code) == (204, 404)
    assert await matched(managed.api, managed, phone=phone) is None
    events = await database.fetch(
        "select type, data::text from events where tenant_id = $1 and subject = $2 order by id",
        managed.tenant_id,
        shown["entry_id"],
    )
    assert [row["type"] for row in events] == ["fraud.list_entry_added", "fraud.list_entry_removed"]
    assert not any(phone in row["data"] for row in events)


async def test_entry_that_exists_is_a_conflict_until_it_expires(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    phone = new_phone()
    first = await managed.call("POST", LISTS, entry(phone))

    repeated = await managed.call("POST", LISTS, entry(phone))
    other_list = await managed.call("POST", LISTS, entry(phone, name="allow"))
    await database.execute("update fraud_lists set expires_at = now() where id = any($1)", [first.json()["entry_id"]])
    after_expiry = await managed.call("POST", LISTS, entry(phone))

    assert (repeated.status_code, repeated.json()["code"]) == (409, "conflict")
    assert (other_list.status_code, after_expiry.status_code) == (201, 201)
    assert await values(managed) == [phone, phone]


async def test_lists_are_paged_newest_first_and_filtered(managed: ManagedTenant) -> None:
    countries = ["FR", "DE", "IT", "ES", "PT"]
    for country in countries:
        assert (await managed.call("POST", LISTS, entry(country, "country"))).status_code == 201
    await managed.call("POST", LISTS, entry("example.com", "email_domain", "allow"))

    first = (await managed.call("GET", LISTS, params={"limit": 4})).json()
    second = (await managed.call("GET", LISTS, params={"limit": 4, "cursor": first["next_cursor"]})).json()

    pages = [one["value"] for one in first["data"] + second["data"]]
    assert pages == ["example.com", *reversed(countries)]
    assert second["next_cursor"] is None
    assert await values(managed, list="allow") == ["example.com"]
    assert await values(managed, kind="country", list="block") == list(reversed(countries))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (entry("+1555", "prefix", "grey"), "list"),
        (entry("+1555", "moon"), "kind"),
        (entry("1555", "prefix"), "value"),
        (entry("", "prefix"), "value"),
        (entry("+1555", "prefix", reason="a\nb"), "reason"),
        (entry("+1555", "prefix", expires_at="2020-01-01T00:00:00Z"), "expires_at"),
        (entry("+1555", "prefix", colour="blue"), "colour"),
    ],
)
async def test_invalid_entry_is_rejected(managed: ManagedTenant, body: dict[str, Any], field: str) -> None:
    answer = await managed.call("POST", LISTS, body)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_expired_entry_does_nothing_and_is_purged(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    phone, other = new_phone(), new_phone()
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    for value in (phone, other):
        await managed.call("POST", LISTS, entry(value, expires_at=soon if value == phone else None))
    assert await matched(managed.api, managed, phone=phone) is not None

    async def is_expired() -> bool:
        return await matched(managed.api, managed, phone=phone) is None

    assert await until(is_expired)
    assert await values(managed) == [other]
    await retention.run_once(managed.api.services)
    counts = [
        await database.fetchval(f"select {column} from {table} where tenant_id = $1", managed.tenant_id)
        for column, table in (("list_entries", "fraud_settings"), ("count(*)", "fraud_lists"))
    ]
    assert counts == [1, 1]


async def test_entries_of_another_tenant_do_not_apply(api: ApiClient, managed: ManagedTenant) -> None:
    other, phone = await managed_tenant(api), new_phone()
    added = (await managed.call("POST", LISTS, entry(phone))).json()

    assert await values(other) == []
    assert await matched(api, other, phone=phone) is None
    assert (await other.call("DELETE", f"{LISTS}/{added['entry_id']}")).status_code == 404
    assert await values(managed) == [phone]


async def test_raced_creation_stays_within_the_cap(
    managed: ManagedTenant, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_store, "MAX_ENTRIES", 5)
    domains = [f"d{n}.example.com" for n in range(16)]

    answers = await asyncio.gather(*(managed.call("POST", LISTS, entry(one, "email_domain")) for one in domains))

    codes = sorted(answer.status_code for answer in answers)
    assert codes == [201] * 5 + [409] * 11
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"conflict"}
    assert len(await values(managed)) == 5
    await database.execute("update fraud_lists set expires_at = now() where tenant_id = $1", managed.tenant_id)
    assert (await managed.call("POST", LISTS, entry("FR", "country"))).status_code == 201


async def test_entries_of_all_tenants_are_capped(managed: ManagedTenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_store, "MAX_ALL_ENTRIES", 0)

    answer = await managed.call("POST", LISTS, entry("FR", "country"))

    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_repeat_with_an_idempotency_key_adds_one_entry(managed: ManagedTenant) -> None:
    headers = {"x-api-key": managed.made["secret_key"], "idempotency-key": "one"}
    path, body = f"/api/tenant{LISTS}", entry(new_phone())

    answers = [await managed.api.client.post(path, json=body, headers=headers) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json() == answers[1].json()


async def test_other_worker_applies_a_changed_list(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant, phone = await managed_tenant(here), new_phone()
    assert await matched(there, tenant, phone=phone) is None

    added = (await tenant.call("POST", LISTS, entry(phone))).json()

    async def is_seen() -> bool:
        return await matched(there, tenant, phone=phone) is not None

    async def is_gone() -> bool:
        return await matched(there, tenant, phone=phone) is None

    assert await until(is_seen)
    await tenant.call("DELETE", f"{LISTS}/{added['entry_id']}")
    assert await until(is_gone)


async def test_entry_of_the_operator_applies_to_every_tenant(start_app: Started, postgres_server: Any) -> None:
    """In a database of its own, because the entry applies to all tenants."""
    url = await new_database(postgres_server, f"auth1_{secrets.token_hex(4)}")
    here, there = [await start_app(background=True, DATABASE_URL=url) for _ in range(2)]
    tenant, phone, shared = await managed_tenant(here), new_phone(), f"{DEFAULTS}/lists"
    assert await matched(there, tenant, phone=phone) is None

    added = await here.admin("POST", shared, entry(phone))
    repeated = await here.admin("POST", shared, entry(phone))

    async def is_seen() -> bool:
        return await matched(there, tenant, phone=phone) is not None

    assert (added.status_code, repeated.status_code) == (201, 409)
    assert added.json()["author"] == "operator"
    assert await until(is_seen)
    assert (await tenant.call("POST", LISTS, entry(phone, name="allow"))).status_code == 201
    found = await matched(here, tenant, phone=phone)
    assert found is not None
    assert (found.is_operators, found.is_blocked) == (True, True)
    assert (await here.admin("GET", shared)).json()["data"] == [added.json()]
    assert len(await values(tenant)) == 1
    path = f"{shared}/{added.json()['entry_id']}"
    assert [(await here.admin("DELETE", path)).status_code for _ in range(2)] == [204, 404]


async def test_lists_are_loaded_in_pages_and_once_for_concurrent_requests(
    managed: ManagedTenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(list_cache, "PAGE", 3)
    for n in range(7):
        await managed.call("POST", LISTS, entry(f"d{n}.example.com", "email_domain"))
    postgres = managed.api.services.postgres
    tenant = await known(managed.api, managed.made["api_key"])
    cache = ListCache(postgres)
    before = postgres.round_trips

    lists = await asyncio.gather(*(cache.get(tenant) for _ in range(10)))
    again = await cache.get(tenant)

    assert postgres.round_trips - before == 3
    assert {one.own.size for one in (*lists, again)} == {7}


async def test_least_recently_used_lists_are_evicted(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(list_cache, "MAX_BYTES", 2 * (list_cache.OWNER_BYTES + list_cache.ENTRY_BYTES))
    cache, tenants = ListCache(api.services.postgres), []
    for _ in range(3):
        managed = await managed_tenant(api)
        await managed.call("POST", LISTS, entry("FR", "country"))
        tenants.append(await known(api, managed.made["api_key"]))

    for tenant in (tenants[0], tenants[1], tenants[0], tenants[2]):
        assert (await cache.get(tenant)).own.size == 1

    assert cache.size <= list_cache.MAX_BYTES
    before = api.services.postgres.round_trips
    for tenant in (tenants[0], tenants[2]):
        assert (await cache.get(tenant)).own.size == 1
    assert api.services.postgres.round_trips == before, "both are still there"
    assert (await cache.get(tenants[1])).own.size == 1
    assert api.services.postgres.round_trips == before + 1


async def test_erasure_deletes_allow_entries_of_the_number_and_keeps_block_entries(
    managed: ManagedTenant, twilio_server: TwilioServer
) -> None:
    phone, key = new_phone(), managed.made["api_key"]
    await managed.api.post("/api/auth/request", {"phone": phone}, key)
    body = {"phone": phone, "code": twilio_server.code_for(phone)}
    user_id = (await managed.api.post("/api/auth/verify", body, key)).json()["user_id"]
    for name, value in (("allow", phone), ("block", phone), ("allow", new_phone())):
        assert (await managed.call("POST", LISTS, entry(value, name=name))).status_code == 201

    assert (await managed.call("DELETE", f"/users/{user_id}")).status_code == 204

    left = (await managed.call("GET", LISTS)).json()["data"]
    assert [(one["list"], one["value"] == phone) for one in left] == [("allow", False), ("block", True)]
    found = await matched(managed.api, managed, phone=phone)
    assert found is not None
    assert found.is_blocked
