"""Manage applications: by the tenant and by the operator, with events and two secrets during a rotation."""

import asyncio
from typing import Any

import asyncpg
import pytest

from auth1.applications import store
from tests.oauth.machine import SCOPES, Machine, NewMachine
from tests.support.api_client import ApiClient


async def events_of(database: asyncpg.Connection, client_id: str) -> list[tuple[str, str]]:
    rows = await database.fetch("select type, data::text from events where subject = $1 order by id", client_id)
    return [(row["type"], row["data"]) for row in rows]


async def test_application_is_shown_without_its_secret(machine: Machine) -> None:
    secret = machine.application.pop("client_secret")
    listed = (await machine.manage("GET")).json()
    shown = (await machine.manage("GET", f"/{machine.client_id}")).json()

    assert secret.startswith(f"auth1_cs_{machine.tenant['slug']}_")
    assert listed == {"data": [machine.application], "next_cursor": None}
    assert shown == machine.application
    assert machine.application | {"scopes": SCOPES, "enabled": True, "previous_secret_until": None} == shown


async def test_only_digests_of_secrets_are_stored(machine: Machine, database: asyncpg.Connection) -> None:
    row = await database.fetchrow(
        "select applications::text as text from applications where id = $1", machine.client_id
    )

    assert row is not None
    assert machine.application["client_secret"] not in row["text"]


async def test_changes_write_one_event_each(machine: Machine, database: asyncpg.Connection) -> None:
    path = f"/{machine.client_id}"
    change = {"name": "Reports", "scopes": [], "id_token_alg": "EdDSA", "enabled": False}
    changed = [(await machine.manage("PATCH", path, change)).json() for _ in range(2)]
    await machine.manage("POST", f"{path}/rotate-secret")
    deleted = await machine.manage("DELETE", path)

    assert [body | change for body in changed] == changed
    assert deleted.status_code == 204
    assert await events_of(database, machine.client_id) == [
        ("application.created", '{"kind": "machine"}'),
        ("application.updated", '{"changed": ["name", "scopes", "id_token_alg", "enabled"]}'),
        ("application.updated", '{"changed": ["secret"]}'),
        ("application.deleted", "{}"),
    ]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("GET", "", None), ("PATCH", "", {"name": "x"}), ("DELETE", "", None), ("POST", "/rotate-secret", {})],
)
async def test_application_of_another_tenant_is_not_found(
    machine: Machine, new_machine: NewMachine, method: str, path: str, body: object
) -> None:
    other = await new_machine()

    response = await machine.manage(method, f"/{other.client_id}{path}", body)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "two\nlines"),
        ("kind", "server"),
        ("scopes", ["two words"]),
        ("scopes", ['quoted"']),
        ("scopes", ["s"] * 51),
        ("id_token_alg", "HS256"),
        ("id_token_alg", "none"),
        ("redirect_uris", ["https://app.example.com/callback"]),
        ("logout_uris", [""]),
        ("first_party", True),
        ("require_pkce", None),
        ("secret", "x"),
    ],
)
async def test_invalid_application_is_rejected(machine: Machine, field: str, value: object) -> None:
    body: dict[str, Any] = {"name": "Billing", "kind": "machine", field: value}

    response = await machine.manage("POST", body=body)

    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    assert response.json()["errors"][0]["field"].startswith(field)


async def test_two_secrets_are_accepted_during_a_rotation(machine: Machine) -> None:
    path = f"/{machine.client_id}/rotate-secret"
    first = machine.application["client_secret"]
    second = (await machine.manage("POST", path)).json()
    third = (await machine.manage("POST", path, {"grace_in": 60})).json()

    async def works(secret: str) -> bool:
        return (await machine.post("token", secret, grant_type="client_credentials")).status_code == 200

    during = [await works(secret) for secret in (first, second["client_secret"], third["client_secret"])]
    last = (await machine.manage("POST", path, {"grace_in": 0})).json()
    after = [await works(secret) for secret in (third["client_secret"], last["client_secret"])]

    assert during == [False, True, True]
    assert after == [False, True]
    assert second["previous_secret_until"] is not None
    assert last["previous_secret_until"] is None


async def test_secret_is_not_accepted_after_its_end(machine: Machine, database: asyncpg.Connection) -> None:
    await machine.manage("POST", f"/{machine.client_id}/rotate-secret")
    await database.execute(
        "update applications set secret_ends[2] = now() - interval '1 s' where id = $1", machine.client_id
    )

    response = await machine.post("token", machine.application["client_secret"], grant_type="client_credentials")

    assert response.status_code == 401
    assert (await machine.manage("GET", f"/{machine.client_id}")).json()["previous_secret_until"] is None


async def test_tenant_has_at_most_100_applications(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch, database: asyncpg.Connection
) -> None:
    monkeypatch.setattr(store, "MAX_APPLICATIONS", 3)
    machine = Machine(api, await api.tenant(), {})
    body = {"name": "Billing", "kind": "machine", "id_token_alg": "ES256"}

    answers = await asyncio.gather(*(machine.manage("POST", body=body) for _ in range(6)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 3
    count = "select count(*) from signing_keys where tenant_id = $1"
    assert [await database.fetchval(count, machine.tenant["tenant_id"] + end) for end in ("", ":test")] == [1, 1]


async def test_operator_manages_applications_too(machine: Machine) -> None:
    applications = f"/api/admin/tenants/{machine.tenant['tenant_id']}/applications"
    body = {"name": "Billing", "kind": "machine", "id_token_alg": "ES256"}
    created = await machine.api.admin("POST", applications, body)

    listed = await machine.api.admin("GET", applications)

    assert created.status_code == 201
    ids = [application["client_id"] for application in listed.json()["data"]]
    assert ids == [machine.client_id, created.json()["client_id"]]
