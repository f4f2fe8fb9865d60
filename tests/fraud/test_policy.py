"""The fraud policy of a tenant, and the operator's default."""

import asyncio
import secrets
from typing import Any

import asyncpg
import msgspec
import pytest

from auth1.core import crypto
from auth1.fraud.policy import DEFAULT_POLICY, FraudPolicy, read_policy
from auth1.fraud.policy_store import captcha_secret
from auth1.tenants.settings import Tenant
from tests.conftest import Started, new_phone
from tests.fraud.conftest import DEFAULTS, ManagedTenant, managed_tenant
from tests.support.api_client import ApiClient
from tests.support.dump import dump
from tests.support.polling import until
from tests.support.postgres_files import new_database

POLICY = "/fraud/policy"
DEFAULT: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(DEFAULT_POLICY))
CAPTCHA = {"provider": "turnstile", "site_key": "0x4AAA", "hostnames": ["app.example.com"], "on_failure": "deny"}


async def known(api: ApiClient, key: str) -> Tenant:
    """Return the tenant of a key as the guards of this worker see it."""
    digest = crypto.digest(key)
    tenant = api.services.tenants.get_cached(digest) or await api.services.tenants.find(digest)
    assert tenant is not None
    return tenant


async def events_of(database: asyncpg.Connection, tenant_id: str) -> list[dict[str, Any]]:
    rows = await database.fetch(
        "select data, actor, subject from events where tenant_id = $1 and type = 'fraud.policy_updated' order by id",
        tenant_id,
    )
    return [dict(row) | {"data": msgspec.json.decode(row["data"])} for row in rows]


async def test_tenant_without_policy_has_the_default(managed: ManagedTenant) -> None:
    answer = await managed.call("GET", POLICY)

    assert answer.status_code == 200
    assert answer.json() == DEFAULT


async def test_put_replaces_the_policy_with_what_get_returns(managed: ManagedTenant) -> None:
    policy = (await managed.call("GET", POLICY)).json()
    changed = policy | {
        "mode": "shadow",
        "line_types": {"nonFixedVoip": "block", "landline": "allow"},
        "signals": {"hosting_network": 0.5},
        "exposure_budget": 25,
        "channels": ["email"],
    }
    changed["rules"]["address"] = {"mode": "off", "allowance": 12}

    put = await managed.call("PUT", POLICY, changed)
    seen = await managed.call("GET", POLICY)
    replaced = await managed.operator("PUT", POLICY, {"mode": "off"})

    assert put.status_code == 200, put.text
    assert put.json() == seen.json() == changed
    assert replaced.json() == policy | {"mode": "off", "rules": DEFAULT["rules"]}
    assert (await managed.operator("GET", POLICY)).json() == replaced.json()


@pytest.mark.parametrize(
    ("policy", "field", "message"),
    [
        ({"colour": "blue"}, "colour", "Unknown field."),
        ({"mode": "loud"}, "mode", "Must be one of: on, shadow, off."),
        ({"ratio": -1}, "ratio", "Must be a number from 0 to 100."),
        ({"ratio": 101}, "ratio", "Must be a number from 0 to 100."),
        ({"sample": 1.5}, "sample", "Must be a number from 0 to 1."),
        ({"exposure_budget": 1e9}, "exposure_budget", "Must be a number from 0 to 1000000."),
        ({"price_floor": "cheap"}, "price_floor", "Must be a number from 0 to 100."),
        ({"rules": {"moon": {"allowance": 1}}}, "rules.moon", "Unknown field."),
        ({"rules": {"address": {"mode": "on"}}}, "rules.address.allowance", "Required."),
        ({"rules": {"address": {"allowance": -1}}}, "rules.address.allowance", "Must be a number from 0 to 1000000."),
        ({"signals": {"hosting_network": 11}}, "signals[...]", "Must be a number from 0 to 10."),
        (
            {"line_types": {"mobile": "explode"}},
            "line_types[...]",
            "Must be one of: allow, flag, proof_required, block.",
        ),
        ({"channels": ["pigeon"]}, "channels[0]", "Must be one of: email."),
        ({"captcha": CAPTCHA}, "captcha.secret", "Required: no secret is stored yet."),
        ({"captcha": CAPTCHA | {"secret": ""}}, "captcha.secret", "Must not be empty."),
        ({"captcha": CAPTCHA | {"secret": None}}, "captcha.secret", "Must not be null; omit it instead."),
        (
            {"captcha": CAPTCHA | {"secret": "s", "hostnames": ["https://a.example"]}},
            "captcha.hostnames[0]",
            "Must be a lower-case host name such as app.example.com.",
        ),
    ],
)
async def test_invalid_policy_is_rejected_with_a_sentence(
    managed: ManagedTenant, policy: dict[str, Any], field: str, message: str
) -> None:
    answer = await managed.call("PUT", POLICY, policy)

    assert (answer.status_code, answer.json()["code"]) == (422, "validation_failed")
    assert answer.json()["errors"] == [{"field": field, "message": message}]
    assert (await managed.call("GET", POLICY)).json() == DEFAULT


async def test_unknown_line_type_and_signal_are_rejected(managed: ManagedTenant) -> None:
    for policy in ({"line_types": {"carrierPigeon": "block"}}, {"signals": {"full_moon": 1}}):
        answer = await managed.call("PUT", POLICY, policy)

        assert answer.json()["code"] == "validation_failed"
        assert answer.json()["errors"][0]["message"].startswith("Must be one of: ")


async def test_captcha_secret_is_kept_encrypted_and_never_returned(
    managed: ManagedTenant, database: asyncpg.Connection
) -> None:
    secret = secrets.token_hex(16)
    keyring = managed.api.services.keyring

    put = await managed.call("PUT", POLICY, {"captcha": CAPTCHA | {"secret": secret}})
    assert put.json()["captcha"] == CAPTCHA
    assert secret not in await dump(database, secret)
    assert captcha_secret(keyring, await known(managed.api, managed.made["api_key"])) == secret
    assert captcha_secret(keyring, await known(managed.api, managed.made["test_key"])) == secret

    kept = await managed.call("PUT", POLICY, put.json() | {"mode": "shadow"})
    assert kept.json()["captcha"] == CAPTCHA
    assert captcha_secret(keyring, await known(managed.api, managed.made["api_key"])) == secret

    await managed.call("PUT", POLICY, put.json() | {"captcha": None})
    assert captcha_secret(keyring, await known(managed.api, managed.made["api_key"])) is None
    assert (await managed.call("PUT", POLICY, {"captcha": CAPTCHA})).status_code == 422
    assert secret not in await managed.api.log()


async def test_change_writes_one_event_and_a_repeat_none(managed: ManagedTenant, database: asyncpg.Connection) -> None:
    policy = {"mode": "shadow", "sample": 0.5}

    for _ in range(2):
        assert (await managed.call("PUT", POLICY, policy)).status_code == 200
    await managed.operator("PUT", POLICY, policy | {"captcha": CAPTCHA | {"secret": "a"}})
    await managed.operator("PUT", POLICY, policy | {"captcha": CAPTCHA | {"secret": "b"}})
    for _ in range(2):
        assert (await managed.operator("DELETE", POLICY)).status_code == 204

    events = await events_of(database, managed.tenant_id)
    assert [event["data"]["changed"] for event in events] == [
        ["mode", "sample"],
        ["captcha"],
        ["captcha"],
        ["mode", "sample", "captcha"],
    ]
    assert {event["subject"] for event in events} == {managed.tenant_id}
    assert [event["actor"] == "operator" for event in events] == [False, True, True, True]
    assert [event["actor"].startswith("key_") for event in events] == [True, False, False, False]


async def test_policy_of_another_tenant_is_not_changed(api: ApiClient, managed: ManagedTenant) -> None:
    other = await managed_tenant(api)

    await managed.call("PUT", POLICY, {"mode": "off", "captcha": CAPTCHA | {"secret": "one"}})

    assert (await other.call("GET", POLICY)).json() == DEFAULT
    assert (await other.call("PUT", POLICY, {"captcha": CAPTCHA})).status_code == 422


async def test_deleted_tenant_has_no_policy_to_change(managed: ManagedTenant) -> None:
    await managed.api.admin("DELETE", f"/api/admin/tenants/{managed.tenant_id}")

    answers = [await managed.operator("PUT", POLICY, {}), await managed.operator("DELETE", POLICY)]

    assert [answer.status_code for answer in answers] == [404, 404]


@pytest.mark.parametrize("kind", ["api_key", "test_key"])
async def test_only_a_secret_key_reads_and_changes_the_policy(managed: ManagedTenant, kind: str) -> None:
    headers = {"x-api-key": managed.made[kind]}
    path = f"/api/tenant{POLICY}"

    answers = [
        await managed.api.client.get(path, headers=headers),
        await managed.api.client.put(path, headers=headers, json={}),
        await managed.api.client.delete(path, headers=headers),
    ]

    assert {answer.json()["code"] for answer in answers} == {"forbidden"}


async def test_policies_set_at_once_leave_one_of_them(managed: ManagedTenant) -> None:
    puts = [managed.call("PUT", POLICY, {"ratio": n / 100, "price_floor": n / 100}) for n in range(20)]

    answers = await asyncio.gather(*puts)

    assert {answer.status_code for answer in answers} == {200}
    policy = (await managed.call("GET", POLICY)).json()
    assert policy["ratio"] == policy["price_floor"]


async def test_other_worker_sees_a_changed_policy(workers: tuple[ApiClient, ApiClient]) -> None:
    here, there = workers
    tenant = await managed_tenant(here)
    key = tenant.made["api_key"]
    await there.post("/api/auth/request", {"phone": new_phone()}, key)
    assert (await known(there, key)).policy == DEFAULT_POLICY

    await tenant.call("PUT", POLICY, {"mode": "shadow"})

    async def is_seen() -> bool:
        return (await known(there, key)).policy.mode == "shadow"

    assert await until(is_seen)
    assert (await known(here, key)).policy.mode == "shadow"


async def test_default_of_the_operator_applies_to_tenants_without_a_policy(
    start_app: Started, postgres_server: Any, database: asyncpg.Connection
) -> None:
    """In a database of its own, because the default applies to all tenants."""

    url = await new_database(postgres_server, f"auth1_{secrets.token_hex(4)}", is_relaxed=False)
    here, there = [await start_app(background=True, DATABASE_URL=url) for _ in range(2)]
    plain, own = await managed_tenant(here), await managed_tenant(here)
    await own.call("PUT", POLICY, {"sample": 0.25})
    assert (await known(there, plain.made["api_key"])).policy == DEFAULT_POLICY

    put = await here.admin("PUT", f"{DEFAULTS}/policy", {"mode": "shadow", "captcha": CAPTCHA | {"secret": "one"}})

    async def is_seen() -> bool:
        return (await known(there, plain.made["api_key"])).policy.mode == "shadow"

    assert put.status_code == 200
    assert put.json() == (await here.admin("GET", f"{DEFAULTS}/policy")).json()
    assert await until(is_seen)
    assert captcha_secret(there.services.keyring, await known(there, plain.made["api_key"])) == "one"
    assert (await plain.call("GET", POLICY)).json() == put.json()
    assert (await known(there, own.made["api_key"])).policy == FraudPolicy(sample=0.25)
    assert (await known(there, own.made["api_key"])).captcha_secret is None

    await own.call("DELETE", POLICY)
    assert (await own.call("GET", POLICY)).json() == put.json()
    connection = await asyncpg.connect(url)
    events = await events_of(connection, "operator")
    await connection.close()
    assert [event["data"]["changed"] for event in events] == [["mode", "captcha"]]


def test_stored_policy_of_another_version_is_read() -> None:
    stored = '{"mode": "shadow", "ratio": 1000, "future": 1, "rules": {"address": {"allowance": 5}, "new": {}}}'

    assert read_policy(stored) == FraudPolicy(mode="shadow")
