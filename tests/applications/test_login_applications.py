"""The API of applications that users log in to, and of their access to accounts."""

from typing import Any

import asyncpg
import httpx
import pytest

from tests.applications.test_applications import events_of
from tests.oauth.machine import Machine
from tests.support.api_client import ApiClient

CALLBACK = "https://app.example.com/callback"
WEB: dict[str, Any] = {"name": "Wiki", "kind": "web", "redirect_uris": [CALLBACK], "id_token_alg": "ES256"}
SETTINGS: dict[str, Any] = {
    "logout_uris": ["https://app.example.com/"],
    "first_party": True,
    "require_pkce": False,
    "scopes": ["invoices:read"],
}


@pytest.fixture
async def owner(api: ApiClient) -> Machine:
    """A tenant without an application."""
    return Machine(api, await api.tenant(), {})


def problems(response: httpx.Response) -> list[str]:
    """Return the fields that a request is rejected for."""
    assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
    return [error["field"] for error in response.json()["errors"]]


async def test_web_application_has_a_secret_and_all_settings(owner: Machine) -> None:
    created = (await owner.manage("POST", body=WEB | SETTINGS)).json()
    shown = (await owner.manage("GET", f"/{created['client_id']}")).json()

    assert created.pop("client_secret").startswith("auth1_cs_")
    assert created == shown
    assert shown | WEB | SETTINGS == shown


@pytest.mark.parametrize(("kind", "uri"), [("spa", "http://localhost:5173/"), ("native", "com.example.app:/callback")])
async def test_application_on_a_device_has_no_secret(owner: Machine, kind: str, uri: str) -> None:
    created = await owner.manage("POST", body=WEB | {"kind": kind, "redirect_uris": [uri]})

    assert created.status_code == 201
    assert "client_secret" not in created.json()
    rotated = await owner.manage("POST", f"/{created.json()['client_id']}/rotate-secret")
    assert (rotated.status_code, rotated.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"redirect_uris": []}, "redirect_uris"),
        ({"redirect_uris": [CALLBACK, "http://app.example.com/"]}, "redirect_uris[1]"),
        ({"redirect_uris": ["com.example.app:/callback"]}, "redirect_uris[0]"),
        ({"redirect_uris": [CALLBACK] * 51}, "redirect_uris"),
        ({"redirect_uris": None}, "redirect_uris"),
        ({"logout_uris": ["https://*.example.com/"]}, "logout_uris[0]"),
        ({"first_party": "yes"}, "first_party"),
    ],
)
async def test_invalid_setting_is_rejected(owner: Machine, change: dict[str, Any], field: str) -> None:
    client_id = (await owner.manage("POST", body=WEB)).json()["client_id"]

    assert problems(await owner.manage("POST", body=WEB | change)) == [field]
    assert problems(await owner.manage("PATCH", f"/{client_id}", change)) == [field]


@pytest.mark.parametrize("kind", ["spa", "native"])
async def test_application_without_a_secret_requires_pkce(owner: Machine, kind: str) -> None:
    body = WEB | {"kind": kind}
    client_id = (await owner.manage("POST", body=body)).json()["client_id"]

    assert problems(await owner.manage("POST", body=body | {"require_pkce": False})) == ["require_pkce"]
    assert problems(await owner.manage("PATCH", f"/{client_id}", {"require_pkce": False})) == ["require_pkce"]


async def test_patch_changes_only_what_it_names(owner: Machine, database: asyncpg.Connection) -> None:
    created = (await owner.manage("POST", body=WEB | SETTINGS)).json()
    path = f"/{created['client_id']}"
    change = {"redirect_uris": ["https://new.example.com/"], "first_party": False}
    changed = (await owner.manage("PATCH", path, change)).json()
    removed = (await owner.manage("PATCH", path, {"logout_uris": []})).json()

    del created["client_secret"]
    assert changed == created | change
    assert removed == changed | {"logout_uris": []}
    assert await events_of(database, created["client_id"]) == [
        ("application.created", '{"kind": "web"}'),
        ("application.updated", '{"changed": ["redirect_uris", "first_party"]}'),
        ("application.updated", '{"changed": ["logout_uris"]}'),
    ]


async def test_kind_is_not_changed(owner: Machine) -> None:
    client_id = (await owner.manage("POST", body=WEB)).json()["client_id"]

    assert problems(await owner.manage("PATCH", f"/{client_id}", {"kind": "spa"})) == ["kind"]


async def test_operator_registers_a_web_application(owner: Machine) -> None:
    applications = f"/api/admin/tenants/{owner.tenant['tenant_id']}/applications"

    created = await owner.api.admin("POST", applications, WEB)

    assert created.status_code == 201
    listed = (await owner.manage("GET")).json()["data"]
    assert [application["redirect_uris"] for application in listed] == [[CALLBACK]]
