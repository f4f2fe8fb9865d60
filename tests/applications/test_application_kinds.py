"""Applications that users log in to are stored with their redirect URIs; only those on a server have a secret."""

from typing import Any

import asyncpg
import pytest

from auth1.applications import service, store
from auth1.applications.kinds import Kind
from auth1.applications.records import ApplicationChanges, NewApplication
from auth1.applications.schemas import ClientSecretRotation
from auth1.errors import Conflict, NotFound, ValidationFailed
from auth1.tenants.settings import OPERATOR, TenantAdmin
from tests.applications.test_applications import events_of
from tests.support.api_client import ApiClient

CALLBACK = "https://app.example.com/callback"


@pytest.fixture
async def admin(api: ApiClient) -> TenantAdmin:
    return TenantAdmin((await api.tenant())["tenant_id"], OPERATOR)


def new(kind: Kind, **fields: Any) -> NewApplication:
    return NewApplication(
        name="Shop", kind=kind, scopes=["openid"], id_token_alg="ES256", redirect_uris=[CALLBACK], **fields
    )


@pytest.mark.parametrize(("kind", "has_secret"), [("web", True), ("spa", False), ("native", False)])
async def test_application_on_a_server_has_a_secret(
    api: ApiClient, admin: TenantAdmin, database: asyncpg.Connection, kind: Kind, has_secret: bool
) -> None:
    created = await service.create_application(api.services, admin, new(kind))

    digests = "select cardinality(secret_digests), cardinality(secret_ends) from applications where id = $1"
    row = await database.fetchrow(digests, created.application.client_id)
    assert row is not None
    assert tuple(row) == (has_secret, has_secret)
    assert (created.secret is not None) == has_secret
    assert created.application.kind == kind


async def test_settings_of_a_login_are_stored(api: ApiClient, admin: TenantAdmin) -> None:
    settings: dict[str, Any] = {
        "logout_uris": ["https://app.example.com/"],
        "backchannel_logout_uri": "https://app.example.com/logout",
        "first_party": True,
        "require_pkce": False,
    }
    created = await service.create_application(api.services, admin, new("web", **settings))

    stored = await store.get_application(api.services.postgres, admin.tenant_id, created.application.client_id)
    listed = await store.list_applications(api.services.postgres, admin.tenant_id, "", 10)
    assert stored == created.application
    assert listed == [stored]
    assert stored.redirect_uris == [CALLBACK]
    assert {name: getattr(stored, name) for name in settings} == settings


async def test_repeated_uri_is_stored_once(api: ApiClient, admin: TenantAdmin) -> None:
    uris = [CALLBACK, "http://127.0.0.1/callback", CALLBACK]
    created = await service.create_application(api.services, admin, new("native", logout_uris=uris))

    assert created.application.logout_uris == uris[:2]


async def test_each_change_of_a_login_setting_writes_its_event(
    api: ApiClient, admin: TenantAdmin, database: asyncpg.Connection
) -> None:
    client_id = (await service.create_application(api.services, admin, new("web"))).application.client_id
    changes: list[dict[str, Any]] = [
        {"redirect_uris": [CALLBACK, "http://localhost/"]},
        {"logout_uris": ["https://app.example.com/"]},
        {"backchannel_logout_uri": "https://app.example.com/logout"},
        {"first_party": True},
        {"require_pkce": False},
    ]

    for change in changes:
        for _ in range(2):
            changed = await service.update_application(api.services, admin, client_id, ApplicationChanges(**change))
            assert {name: getattr(changed, name) for name in change} == change
    removed = ApplicationChanges(backchannel_logout_uri="")
    assert (await service.update_application(api.services, admin, client_id, removed)).backchannel_logout_uri is None

    written = [name for change in [*changes, {"backchannel_logout_uri": ""}] for name in change]
    assert await events_of(database, client_id) == [
        ("application.created", '{"kind": "web"}'),
        *(("application.updated", f'{{"changed": ["{name}"]}}') for name in written),
    ]


async def test_invalid_change_changes_nothing(api: ApiClient, admin: TenantAdmin) -> None:
    created = (await service.create_application(api.services, admin, new("spa"))).application
    change = ApplicationChanges(name="Other", redirect_uris=["http://app.example.com/"])

    with pytest.raises(ValidationFailed):
        await service.update_application(api.services, admin, created.client_id, change)

    assert await store.get_application(api.services.postgres, admin.tenant_id, created.client_id) == created


async def test_secret_of_a_kind_without_secrets_is_not_rotated(api: ApiClient, admin: TenantAdmin) -> None:
    client_id = (await service.create_application(api.services, admin, new("spa"))).application.client_id

    with pytest.raises(Conflict, match="kind spa has no secret"):
        await service.rotate_secret(api.services, admin, client_id, ClientSecretRotation())


async def test_unknown_application_is_not_changed(api: ApiClient, admin: TenantAdmin) -> None:
    with pytest.raises(NotFound):
        await service.update_application(api.services, admin, "app_x", ApplicationChanges(name="Other"))
