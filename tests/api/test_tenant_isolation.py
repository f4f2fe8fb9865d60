"""Tenants are isolated: every route and every object id of another tenant is rejected."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from auth1.core.http.router import Route
from auth1.routes import ROUTES
from tests.conftest import new_phone
from tests.support.api_client import ADMIN_TOKEN, REQUEST, VERIFY, ApiClient
from tests.support.providers.twilio import TwilioServer

ADMIN = "/api/admin/tenants/{tenant_id}"
# A body that a route takes, by what stands last in its path and is no parameter; where it takes one.
BODIES: dict[str, dict[str, Any]] = {
    "rotate": {"grace_in": 0},
    "webhooks": {"enabled": False},
    "applications": {"enabled": False},
    "hosts": {"canonical": True},
}


@dataclass
class Tenant:
    """A tenant with one of each object, named as in the paths."""

    made: dict[str, Any]
    token: str
    ids: dict[str, str]


@dataclass
class Neighbours:
    """A victim tenant and another tenant that tries to access its objects."""

    api: ApiClient
    database: asyncpg.Connection
    victim: Tenant
    stranger: Tenant

    async def belongings(self) -> dict[str, list[str]]:
        """Return all rows of the victim."""
        tables = await self.database.fetch("""
            select c.relname as name from pg_class c join pg_attribute a on a.attrelid = c.oid
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
              and a.attname = 'tenant_id'""")
        victim = self.victim.ids["tenant_id"]
        rows = {
            row["name"]: await self.database.fetch(
                f"select t::text from {row['name']} t where split_part(tenant_id, ':', 1) = $1 order by 1", victim
            )
            for row in tables
        }
        own = await self.database.fetch("select t::text from tenants t where id = $1", victim)
        return {name: [row[0] for row in found] for name, found in (rows | {"tenants": own}).items()}


async def tenant_with_everything(api: ApiClient, twilio: TwilioServer, database: asyncpg.Connection) -> Tenant:
    made, phone = await api.tenant(), new_phone()
    requested = (await api.post(REQUEST, {"phone": phone}, made["api_key"])).json()
    body = {"phone": phone, "code": twilio.code_for(phone)}
    login = (await api.post(VERIFY, body, made["api_key"])).json()
    key_id = await database.fetchval("select id from keys where tenant_id = $1 and kind = 'pk'", made["tenant_id"])
    message_id = await database.fetchval("select id from messages where tenant_id = $1", made["tenant_id"])
    entry = {"list": "allow", "kind": "email_domain", "value": "example.com"}
    headers = {"x-api-key": made["secret_key"]}
    entry_id = (await api.client.post("/api/tenant/fraud/lists", json=entry, headers=headers)).json()["entry_id"]
    webhook_id, delivery_id = await add_webhook(api, headers)
    application = {"name": "Billing", "kind": "machine", "id_token_alg": "ES256"}
    created = await api.client.post("/api/tenant/applications", json=application, headers=headers)
    host = {"host": f"{made['slug']}.example.com"}
    added = await api.client.post("/api/tenant/hosts", json=host, headers=headers)
    ids = {
        "tenant_id": made["tenant_id"],
        "host_id": added.json()["host_id"],
        "key_id": key_id,
        "challenge_id": requested["challenge_id"],
        "user_id": login["user_id"],
        "session_id": login["session_id"],
        "message_id": message_id,
        "entry_id": entry_id,
        "webhook_id": webhook_id,
        "delivery_id": delivery_id,
        "client_id": created.json()["client_id"],
    }
    return Tenant(made, login["token"], ids)


async def add_webhook(api: ApiClient, headers: dict[str, str]) -> tuple[str, str]:
    """Create a webhook with one delivery, which is cancelled: no worker changes it later."""
    webhooks = "/api/tenant/webhooks"
    body = {"url": "https://example.com/webhooks", "events": ["user.erased"]}
    webhook_id = (await api.client.post(webhooks, json=body, headers=headers)).json()["webhook_id"]
    path = f"{webhooks}/{webhook_id}"
    delivery_id = (await api.client.post(f"{path}/test", headers=headers)).json()["delivery_id"]
    cancelled = await api.client.post(f"{path}/deliveries/{delivery_id}/cancel", headers=headers)
    assert cancelled.status_code == 200, cancelled.text
    return webhook_id, delivery_id


@pytest.fixture(scope="module")
async def neighbours(api: ApiClient, twilio_server: TwilioServer, database_url: str) -> AsyncIterator[Neighbours]:
    database = await asyncpg.connect(database_url)
    victim, stranger = [await tenant_with_everything(api, twilio_server, database) for _ in range(2)]
    yield Neighbours(api, database, victim, stranger)
    await database.close()


def parameters(route: Route) -> list[str]:
    """Return the ids in a route's path."""
    return re.findall(r"\{(\w+_id)\}", route.path)


# An operator may see every tenant: what is tried there is the victim's object in the stranger's path.
OBJECTS = [
    (route, name)
    for route in ROUTES
    for name in parameters(route)
    if not (route.path.startswith(ADMIN) and name == "tenant_id") and not route.page
]


def test_routes_with_object_ids_exist() -> None:
    assert len(OBJECTS) > 8


@pytest.mark.parametrize(
    ("route", "name"), OBJECTS, ids=[f"{route.method} {route.path} {name}" for route, name in OBJECTS]
)
async def test_object_of_another_tenant_is_not_found_and_unchanged(
    neighbours: Neighbours, route: Route, name: str
) -> None:
    victim, stranger = neighbours.victim, neighbours.stranger
    assert name in victim.ids, f"say in tenant_with_everything which {name} the victim has"
    path = route.path.format(**(stranger.ids | {name: victim.ids[name]}))
    word = [part for part in route.path.split("/") if not part.startswith("{")][-1]
    before = await neighbours.belongings()
    for headers in credentials(route, stranger):
        body: dict[str, Any] = {"json": BODIES.get(word, {})} if route.body is not None else {}

        answer = await neighbours.api.client.request(route.method, path, headers=headers, **body)

        assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), answer.text
    assert await neighbours.belongings() == before


def credentials(route: Route, stranger: Tenant) -> list[dict[str, str]]:
    """Return all credentials of the other tenant that this route accepts."""
    if route.path.startswith("/api/admin"):
        return [{"authorization": f"Bearer {ADMIN_TOKEN}"}]
    secret = {"x-api-key": stranger.made["secret_key"]}
    if route.path.startswith("/api/tenant"):
        return [secret]
    keys = [{"x-api-key": stranger.made["api_key"]}, secret]
    bearer = {"authorization": f"Bearer {stranger.token}"}
    return [key | bearer for key in keys]


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.path.startswith("/api/tenant")],
    ids=lambda route: f"{route.method} {route.path}",
)
async def test_tenant_management_requires_its_secret_key(neighbours: Neighbours, route: Route) -> None:
    victim = neighbours.victim
    path = route.path.format(**victim.ids, hook="before_send")
    for headers, code in (
        ({}, "not_authenticated"),
        ({"authorization": f"Bearer {ADMIN_TOKEN}"}, "not_authenticated"),
        ({"authorization": f"Bearer {victim.token}"}, "not_authenticated"),
        ({"x-api-key": victim.made["api_key"]}, "forbidden"),
        ({"x-api-key": victim.made["api_key"], "authorization": f"Bearer {victim.token}"}, "forbidden"),
        ({"x-api-key": victim.made["test_key"]}, "forbidden"),
    ):
        rejected = await neighbours.api.client.request(route.method, path, headers=headers)

        assert rejected.json()["code"] == code, (headers, rejected.text)
