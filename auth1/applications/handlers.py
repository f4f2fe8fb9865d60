"""Manage the applications of a tenant: for the tenant itself, and for the operator."""

from msgspec import UNSET

from auth1.applications import service, store
from auth1.applications.schemas import (
    ApplicationCreated,
    ApplicationIn,
    ApplicationOut,
    ApplicationPage,
    ApplicationPatch,
    ClientSecret,
    ClientSecretRotation,
)
from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin


async def create_application(app: Services, request: Request[TenantAdmin], body: ApplicationIn) -> ApplicationCreated:
    """Register an application. Its secret is shown only in this response. A tenant has at most 100 applications."""
    created = await service.create_application(app, request.caller, body.application())
    return ApplicationCreated.of(created.application, client_secret=UNSET if created.secret is None else created.secret)


async def list_applications(app: Services, request: Request[TenantAdmin], query: PageQuery) -> ApplicationPage:
    """List a tenant's applications, oldest first."""
    rows = await store.list_applications(app.postgres, request.caller.tenant_id, query.cursor, query.rows)
    data, next_cursor = query.split(rows, lambda application: application.client_id)
    return ApplicationPage([ApplicationOut.of(application) for application in data], next_cursor)


async def get_application(app: Services, request: Request[TenantAdmin]) -> ApplicationOut:
    """Return an application without its secret."""
    client_id = request.parameters["client_id"]
    return ApplicationOut.of(await store.get_application(app.postgres, request.caller.tenant_id, client_id))


async def update_application(app: Services, request: Request[TenantAdmin], body: ApplicationPatch) -> ApplicationOut:
    """Update some fields of an application."""
    client_id = request.parameters["client_id"]
    return ApplicationOut.of(await service.update_application(app, request.caller, client_id, body.changes()))


async def delete_application(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete an application. Its tokens are no longer active."""
    await service.delete_application(app, request.caller, request.parameters["client_id"])


async def rotate_secret(app: Services, request: Request[TenantAdmin], body: ClientSecretRotation) -> ClientSecret:
    """Rotate the secret of an application of kind web or machine. The old one is accepted for `grace_in`."""
    return await service.rotate_secret(app, request.caller, request.parameters["client_id"], body)
