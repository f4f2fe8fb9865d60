"""The command `apps`: register and manage OAuth clients."""

from argparse import Namespace

import msgspec

from auth1.applications import service, store
from auth1.applications.schemas import ApplicationCreated, ApplicationIn, ApplicationOut, ClientSecretRotation
from auth1.cli.commands import run, show, tenant_admin_for
from auth1.core import schemas
from auth1.services import Services


def create_application(options: Namespace) -> None:
    """Register an application."""
    wanted = {"name": options.name, "kind": options.kind, "scopes": options.scope, "id_token_alg": options.alg}

    async def act(app: Services) -> msgspec.Struct:
        admin = await tenant_admin_for(app, options)
        body = schemas.convert(wanted, ApplicationIn)
        created = await service.create_application(app, admin, body.application())
        return ApplicationCreated.of(created.application, client_secret=created.secret)

    show(options, run(act), "client_id", "name", "kind", "client_secret")


def list_applications(options: Namespace) -> None:
    """List all applications of a tenant."""

    async def act(app: Services) -> list[ApplicationOut]:
        admin = await tenant_admin_for(app, options)
        stored = await store.list_applications(app.postgres, admin.tenant_id, "", store.MAX_APPLICATIONS)
        return [ApplicationOut.of(application) for application in stored]

    found = run(act)
    if options.json:
        print(schemas.encode(found).decode())
        return
    for application in found:
        state = "active" if application.enabled else "disabled"
        print(f"{application.client_id}  {application.kind:8}  {state:8}  {application.name}")


def rotate_secret(options: Namespace) -> None:
    """Replace the secret of an application."""

    async def act(app: Services) -> msgspec.Struct:
        rotation = schemas.convert({"grace_in": options.grace_in}, ClientSecretRotation)
        return await service.rotate_secret(app, await tenant_admin_for(app, options), options.client_id, rotation)

    show(options, run(act), "client_id", "client_secret", "previous_secret_until")


def delete_application(options: Namespace) -> None:
    """Delete an application."""

    async def act(app: Services) -> None:
        await service.delete_application(app, await tenant_admin_for(app, options), options.client_id)

    run(act)
    print('{"deleted":true}' if options.json else f"deleted: {options.client_id}")
