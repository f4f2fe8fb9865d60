"""Tenants as the operator manages them (contract: sections 4 and 6)."""

import asyncio
import re
import secrets
from datetime import UTC, datetime
from typing import Any

import asyncpg
import pytest

from tests.support.api_client import REQUEST, TENANTS, ApiClient
from tests.support.polling import until
from tests.support.providers.twilio import TwilioServer
from tests.tenants.test_settings import DEFAULTS, slug


async def fill_pool(api: ApiClient) -> None:
    """Open twenty connections, so that a race does not wait for new ones."""

    async def is_full() -> bool:
        answers = await asyncio.gather(*(api.admin("GET", "/api/admin/tenants/tn_none") for _ in range(20)))
        return all(answer.status_code == 404 for answer in answers)

    assert await until(is_full)


async def test_tenant_secrets_are_shown_only_at_creation(api: ApiClient) -> None:
    wanted: dict[str, Any] = {"name": "My App", "slug": slug(), "settings": {"otp_length": 8, "sms_branding": "MyApp"}}

    answer = await api.admin("POST", TENANTS, wanted)
    made = answer.json()

    assert answer.status_code == 201
    assert list(made) == ("tenant_id api_key secret_key test_key jwt_secret name slug settings created_at".split())
    assert re.fullmatch(r"tn_[0-9a-z]{26}", made["tenant_id"])
    assert re.fullmatch(r"[0-9A-Za-z_-]{43}", made["jwt_secret"])
    assert made["settings"] == DEFAULTS | wanted["settings"]
    assert (made["name"], made["slug"]) == (wanted["name"], wanted["slug"])
    created_at = datetime.fromisoformat(made["created_at"])
    assert made["created_at"].endswith("Z")
    assert abs((datetime.now(UTC) - created_at).total_seconds()) < 60

    shown = (await api.admin("GET", f"{TENANTS}/{made['tenant_id']}")).json()

    assert shown == {name: made[name] for name in "tenant_id name slug settings created_at".split()} | {
        "suspended_at": None
    }


@pytest.mark.parametrize("name", ["M", "n" * 100, "Ümläut & Söhne 😀"])
async def test_printable_tenant_name_is_accepted(api: ApiClient, name: str) -> None:
    assert (await api.admin("POST", TENANTS, {"name": name, "slug": slug()})).json()["name"] == name


@pytest.mark.parametrize("name", ["", "n" * 101, "a\nb", "a\n", "a\x7f", None, 1])
async def test_invalid_tenant_name_is_rejected(api: ApiClient, tenant: dict[str, str], name: object) -> None:
    created = await api.admin("POST", TENANTS, {"name": name, "slug": slug()})
    renamed = await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}", {"name": name})

    for answer in (created, renamed):
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")


@pytest.mark.parametrize("wanted", ["", "-a", "a-", "A", "a_b", "a" * 41, "a.b", "ä", "a\n", "a b", 1, None])
async def test_invalid_slug_is_rejected(api: ApiClient, wanted: object) -> None:
    answer = await api.admin("POST", TENANTS, {"name": "My App", "slug": wanted})

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "slug")


async def test_tenants_are_listed_with_pagination(api: ApiClient) -> None:
    made = [(await api.tenant())["tenant_id"] for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = ""
    pages = 0
    while cursor is not None:
        page = (await api.admin("GET", f"{TENANTS}?limit=2&cursor={cursor}")).json()
        assert set(page) == {"data", "next_cursor"}
        assert len(page["data"]) == 2 or page["next_cursor"] is None
        seen += [tenant["tenant_id"] for tenant in page["data"]]
        cursor, pages = page["next_cursor"], pages + 1

    assert pages >= 3
    assert seen == sorted(set(seen))  # oldest first, none twice
    assert set(made) <= set(seen)
    everything = (await api.admin("GET", f"{TENANTS}?limit=200")).json()["data"]
    assert set(everything[0]) == {"tenant_id", "name", "slug", "settings", "created_at", "suspended_at"}


@pytest.mark.parametrize(
    "query",
    [
        "limit=",
        "limit=0",
        "limit=201",
        "limit=-1",
        "limit=ten",
        "limit=1e1",
        "limit=%D9%A3",
        "cursor=%0A",
        "cursor=" + "a" * 65,
    ],
)
async def test_invalid_pagination_parameter_is_rejected(api: ApiClient, query: str) -> None:
    answer = await api.admin("GET", f"{TENANTS}?{query}")

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, query.partition("=")[0])


async def test_cursor_that_is_not_an_id_is_a_position(api: ApiClient, tenant: dict[str, str]) -> None:
    after_all = await api.admin("GET", f"{TENANTS}?cursor=zzz")
    before_all = await api.admin("GET", f"{TENANTS}?cursor=a' or 1=1 --&limit=1")

    assert after_all.json() == {"data": [], "next_cursor": None}
    assert len(before_all.json()["data"]) == 1


async def test_patch_changes_only_the_given_fields(api: ApiClient, database: asyncpg.Connection) -> None:
    made = await api.tenant(otp_length=8, sms_branding="MyApp")
    path = f"{TENANTS}/{made['tenant_id']}"

    patched = await api.admin("PATCH", path, {"settings": {"max_otp_attempts": 3, "sms_branding": None}})
    renamed = await api.admin("PATCH", path, {"name": "Another"})

    settings = DEFAULTS | {"otp_length": 8, "max_otp_attempts": 3}
    assert patched.status_code == 200
    assert patched.json()["settings"] == settings
    assert renamed.json() == (await api.admin("GET", path)).json()
    assert (renamed.json()["name"], renamed.json()["settings"]) == ("Another", settings)
    rows = await database.fetch(
        "select actor, subject, data->>'changed' as changed from events"
        " where tenant_id = $1 and type = 'tenant.updated' order by created_at",
        made["tenant_id"],
    )
    assert [tuple(row) for row in rows] == [
        ("operator", made["tenant_id"], '["settings.max_otp_attempts", "settings.sms_branding"]'),
        ("operator", made["tenant_id"], '["name"]'),
    ]


async def test_parallel_patches_lose_no_change(api: ApiClient) -> None:
    path = f"{TENANTS}/{(await api.tenant())['tenant_id']}"
    changes = {"otp_length": 8, "otp_expiry_minutes": 5, "max_otp_attempts": 3, "rate_limit_per_hour": 9}
    await fill_pool(api)

    await asyncio.gather(*(api.admin("PATCH", path, {"settings": {key: changes[key]}}) for key in changes))

    assert (await api.admin("GET", path)).json()["settings"] == DEFAULTS | changes


@pytest.mark.parametrize("body", [{"settings": None}, {"settings": []}, {"slug": "another"}, {"suspended_at": None}])
async def test_unknown_patch_field_is_rejected(api: ApiClient, tenant: dict[str, str], body: dict[str, Any]) -> None:
    answer = await api.admin("PATCH", f"{TENANTS}/{tenant['tenant_id']}", body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, next(iter(body)))


async def test_suspend_and_resume_are_idempotent(
    api: ApiClient, database: asyncpg.Connection, twilio_server: TwilioServer, phone: str
) -> None:
    made = await api.tenant()
    path = f"{TENANTS}/{made['tenant_id']}"
    suspended = [await api.admin("POST", f"{path}/suspend") for _ in range(2)]

    assert [answer.status_code for answer in suspended] == [200, 200]
    assert suspended[0].json()["suspended_at"] == suspended[1].json()["suspended_at"] is not None
    for key in ("api_key", "secret_key", "test_key"):
        rejected = await api.post(REQUEST, {"phone": phone}, made[key])
        assert rejected.json()["code"] == "tenant_suspended"
    assert twilio_server.sent_to(phone) == []

    resumed = [await api.admin("POST", f"{path}/resume") for _ in range(2)]

    assert [answer.json()["suspended_at"] for answer in resumed] == [None, None]
    assert (await api.post(REQUEST, {"phone": phone}, made["api_key"])).status_code == 200
    reported = await database.fetch(
        "select type, actor, subject from events where tenant_id = $1 order by created_at limit 3", made["tenant_id"]
    )
    assert [tuple(row) for row in reported] == [
        (f"tenant.{act}", "operator", made["tenant_id"]) for act in ("created", "suspended", "resumed")
    ]


async def test_deleted_tenant_is_not_found_and_its_slug_is_free(
    api: ApiClient, database: asyncpg.Connection, phone: str
) -> None:
    made = await api.tenant()
    path = f"{TENANTS}/{made['tenant_id']}"
    key_id = (await api.admin("GET", f"{path}/keys")).json()["data"][0]["key_id"]
    assert (await api.post(REQUEST, {"phone": phone}, made["api_key"])).status_code == 200

    deleted = await api.admin("DELETE", path)

    assert (deleted.status_code, deleted.content) == (204, b"")
    for key in ("api_key", "secret_key", "test_key"):
        assert (await api.post(REQUEST, {"phone": phone}, made[key])).json()["code"] == "invalid_api_key"
    for method, end, body in (
        ("GET", "", None),
        ("PATCH", "", {"name": "Another"}),
        ("DELETE", "", None),
        ("POST", "/suspend", None),
        ("POST", "/resume", None),
        ("GET", "/keys", None),
        ("POST", "/keys", {"kind": "pk"}),
        ("POST", f"/keys/{key_id}/rotate", {}),
        ("DELETE", f"/keys/{key_id}", None),
    ):
        assert (await api.admin(method, path + end, body)).status_code == 404, (method, end)
    listed = (await api.admin("GET", f"{TENANTS}?limit=200")).json()["data"]
    assert made["tenant_id"] not in {tenant["tenant_id"] for tenant in listed}
    reported = "select actor from events where tenant_id = $1 and type = 'tenant.deleted' and subject = $1"
    assert await database.fetchval(reported, made["tenant_id"]) == "operator"

    again = await api.admin("POST", TENANTS, {"name": "My App", "slug": made["slug"]})
    assert again.status_code == 201
    assert again.json()["tenant_id"] != made["tenant_id"]


async def test_one_of_twenty_concurrent_creations_gets_the_slug(api: ApiClient, database: asyncpg.Connection) -> None:
    await fill_pool(api)
    wanted = {"name": "My App", "slug": slug()}

    answers = await asyncio.gather(*(api.admin("POST", TENANTS, wanted) for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} == {"conflict"}
    assert await database.fetchval("select count(*) from tenants where slug = $1", wanted["slug"]) == 1
    keys = "select count(*) from keys k join tenants t on t.id = k.tenant_id where t.slug = $1"
    assert await database.fetchval(keys, wanted["slug"]) == 3


async def test_tenant_name_and_settings_are_validated(api: ApiClient) -> None:
    body = {"name": "https://evil.example", "slug": f"t{secrets.token_hex(6)}"}
    answer = await api.admin("POST", "/api/admin/tenants", body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")

    tenant = await api.tenant()
    path = f"/api/admin/tenants/{tenant['tenant_id']}"
    for part, changes, field in (
        ("", {"name": "example．com"}, "name"),
        ("", {"settings": {"allowed_countries": ["UK"]}}, "settings.allowed_countries[0]"),
        ("/settings", {"default_locale": "english"}, "default_locale"),
    ):
        answer = await api.admin("PATCH", path + part, changes)
        assert (answer.status_code, [error["field"] for error in answer.json()["errors"]]) == (422, [field])
