"""The command `tenants update`: change the name, the settings and the logo of a tenant."""

from argparse import Namespace
from pathlib import Path

from auth1.cli.commands import fail, given_settings, run, show, tenant_admin_for
from auth1.core import schemas
from auth1.errors import FieldError, ValidationFailed
from auth1.services import Services
from auth1.tenants import service
from auth1.tenants.logo import remove_logo, save_logo
from auth1.tenants.png import png_problem
from auth1.tenants.schemas import TenantOut, TenantPatch


def update_tenant(options: Namespace) -> None:
    """Change a tenant. A file that is no logo changes nothing."""
    logo = None if options.logo is None else _read(options.logo)
    given = {} if options.name is None else {"name": options.name}

    async def operation(app: Services) -> TenantOut:
        admin = await tenant_admin_for(app, options)
        patch = schemas.convert({**given, "settings": given_settings(options)}, TenantPatch)
        if logo is not None and (problem := png_problem(logo)):
            raise ValidationFailed(errors=[FieldError("logo", problem)])
        await service.update_tenant(app, admin, patch)
        if logo is not None:
            await save_logo(app, admin, logo)
        elif options.remove_logo:
            await remove_logo(app, admin)
        return await service.get_tenant(app, admin.tenant_id)

    show(options, run(operation), "tenant_id", "name", "slug")


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        fail(f"{path}: {error.strerror}")
