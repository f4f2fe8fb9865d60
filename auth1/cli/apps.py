"""The command `apps`: register and manage OAuth clients."""

from argparse import Namespace
from typing import Any

import msgspec

from auth1.applications import service, store
from auth1.applications.schemas import (
    ApplicationCreated,
    ApplicationIn,
    ApplicationOut,
    ApplicationPatch,
    ClientSecretRotation,
)
from auth1.cli.commands import run, show, tenant_admin_for
from auth1.core import schemas
from auth1.services import Services


def create_application(options: Namespace) -> None:
    """Register an application."""

    async def operation(app: Services) -> ApplicationCreated:
        body = schemas.convert({"name": options.name, "kind": options.kind, **_fields(options)}, ApplicationIn)
        created = await service.create_application(app, await tenant_admin_for(app, options), body.application())
        secret = msgspec.UNSET if created.secret is None else created.secret
        return ApplicationCreated.of(created.application, client_secret=secret)

    created = run(operation)
    has_secret = created.client_secret is not msgspec.UNSET
    show(options, created, "client_id", "name", "kind", *(["client_secret"] if has_secret else []))


def update_application(options: Namespace) -> None:
    """Change some fields of an application."""
    sent = {"name": options.name, "enabled": options.enabled}
    given = {name: value for name, value in sent.items() if value is not None}

    async def operation(app: Services) -> ApplicationOut:
        patch = schemas.convert(given | _fields(options), ApplicationPatch)
        admin = await tenant_admin_for(app, options)
        return ApplicationOut.of(await service.update_application(app, admin, options.client_id, patch.changes()))

    show(options, run(operation), "client_id", "name", "kind", "redirect_uris", "logout_uris", "scopes", "enabled")


def _fields(options: Namespace) -> dict[str, Any]:
    """Return the fields that the options give, by the names of the API."""
    given = {
        "redirect_uris": options.redirect_uri,
        "logout_uris": options.logout_uri,
        "scopes": options.scope,
        "first_party": options.first_party,
        "require_pkce": options.require_pkce,
        "id_token_alg": options.alg,
    }
    fields = {name: value for name, value in given.items() if value is not None}
    if options.backchannel_logout_uri is not None:
        fields["backchannel_logout_uri"] = options.backchannel_logout_uri or None
    return fields


def list_applications(options: Namespace) -> None:
    """List all applications of a tenant."""

    async def operation(app: Services) -> list[ApplicationOut]:
        admin = await tenant_admin_for(app, options)
        stored = await store.list_applications(app.postgres, admin.tenant_id, "", store.MAX_APPLICATIONS)
        return [ApplicationOut.of(application) for application in stored]

    found = run(operation)
    if options.json:
        print(schemas.encode(found).decode())
        return
    for application in found:
        state = "active" if application.enabled else "disabled"
        print(f"{application.client_id}  {application.kind:8}  {state:8}  {application.name}")


def rotate_secret(options: Namespace) -> None:
    """Replace the secret of an application."""

    async def operation(app: Services) -> msgspec.Struct:
        rotation = schemas.convert({"grace_in": options.grace_in}, ClientSecretRotation)
        return await service.rotate_secret(app, await tenant_admin_for(app, options), options.client_id, rotation)

    show(options, run(operation), "client_id", "client_secret", "previous_secret_until")


def delete_application(options: Namespace) -> None:
    """Delete an application."""

    async def operation(app: Services) -> None:
        await service.delete_application(app, await tenant_admin_for(app, options), options.client_id)

    run(operation)
    print('{"deleted":true}' if options.json else f"deleted: {options.client_id}")
