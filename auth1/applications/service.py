"""Manage applications: for the API and the command line."""

import msgspec

from auth1.applications import store
from auth1.applications.schemas import (
    ApplicationCreated,
    ApplicationIn,
    ApplicationOut,
    ApplicationPatch,
    ClientSecret,
    ClientSecretRotation,
)
from auth1.events.log import log_events
from auth1.services import Services
from auth1.signing.keys import Alg
from auth1.tenants.settings import TenantAdmin


async def create_application(app: Services, admin: TenantAdmin, body: ApplicationIn) -> ApplicationCreated:
    """Create the keys that sign its tokens, and register an application.

    The keys come first: after the application, whose secret is shown once, nothing may fail.
    """
    await _ensure_keys(app, admin.tenant_id, body.id_token_alg)
    created = await store.create_application(app.postgres, admin.tenant_id, body, admin.context)
    log_events(app.log, created.events)
    return ApplicationCreated(**msgspec.structs.asdict(created.application), client_secret=created.secret)


async def update_application(
    app: Services, admin: TenantAdmin, client_id: str, patch: ApplicationPatch
) -> ApplicationOut:
    """Change some fields of an application."""
    application, events = await store.update_application(app.postgres, admin.tenant_id, client_id, patch, admin.context)
    log_events(app.log, events)
    await _ensure_keys(app, admin.tenant_id, application.id_token_alg)
    return application


async def delete_application(app: Services, admin: TenantAdmin, client_id: str) -> None:
    """Delete an application."""
    log_events(app.log, await store.delete_application(app.postgres, admin.tenant_id, client_id, admin.context))


async def rotate_secret(
    app: Services, admin: TenantAdmin, client_id: str, rotation: ClientSecretRotation
) -> ClientSecret:
    """Replace the secret of an application."""
    rotated = await store.rotate_secret(app.postgres, admin.tenant_id, client_id, rotation.grace_in, admin.context)
    log_events(app.log, rotated.events)
    return ClientSecret(client_id, rotated.secret, rotated.previous_secret_until)


async def _ensure_keys(app: Services, tenant_id: str, alg: Alg) -> None:
    """Create the keys of the tenant and of its sandbox, before a client reads them."""
    for issuer in (tenant_id, f"{tenant_id}:test"):
        await app.signing_keys.ensure(issuer, alg)
