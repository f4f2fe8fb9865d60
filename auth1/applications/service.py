"""Manage applications: for the API and the command line."""

from auth1.applications import rules, store
from auth1.applications.records import Application, ApplicationChanges, NewApplication
from auth1.applications.schemas import ClientSecret, ClientSecretRotation
from auth1.applications.store import Created
from auth1.events.log import log_events
from auth1.services import Services
from auth1.signing.keys import Alg
from auth1.tenants.settings import TenantAdmin


async def create_application(app: Services, admin: TenantAdmin, new: NewApplication) -> Created:
    """Create the keys that sign its tokens, and register an application. Raises ValidationFailed, Conflict.

    The keys come first: after the application, whose secret is shown once, nothing may fail.
    """
    rules.check_application(app.guard, new)
    await _ensure_keys(app, admin.tenant_id, new.id_token_alg)
    created = await store.create_application(app.postgres, admin.tenant_id, new, admin.context)
    log_events(app.log, created.events)
    return created


async def update_application(
    app: Services, admin: TenantAdmin, client_id: str, changes: ApplicationChanges
) -> Application:
    """Change some fields of an application. Raises ValidationFailed, NotFound."""
    kind = (await store.get_application(app.postgres, admin.tenant_id, client_id)).kind  # it never changes
    rules.check_changes(app.guard, kind, changes)
    application, events = await store.update_application(
        app.postgres, admin.tenant_id, client_id, changes, admin.context
    )
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
