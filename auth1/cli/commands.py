"""The commands migrate, tenants and keys. Each takes the parsed command line."""

import asyncio
import gc
import logging
import os
import sys
from argparse import Namespace
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import asyncpg
import msgspec

from auth1.app import start_services, stop_services
from auth1.cli.serve import StartError
from auth1.cli.serve import check_port as find_port_free
from auth1.cli.serve import serve as serve_until_stopped
from auth1.config.settings import ConfigurationError, Settings, load_database_url, load_settings
from auth1.core import schemas
from auth1.core.postgres.hosts import Hosts
from auth1.core.postgres.migrations import MigrationError, migrations, pending
from auth1.core.postgres.migrations import migrate as apply_migrations
from auth1.core.telemetry.log import Log
from auth1.errors import ApiError, NotFound
from auth1.services import Services
from auth1.tenants import service, store
from auth1.tenants.schemas import KeyIn, KeyOut, KeyRotation, TenantIn
from auth1.tenants.settings import OPERATOR, TenantAdmin

Result = TypeVar("Result")


def serve(options: Namespace, target: str = "auth1.app:make_app") -> None:
    """Migrate, then serve until stopped. `target` names the function that makes the application."""
    settings = settings_or_exit()
    gc.freeze()  # what is loaded stays shared with the workers that are forked from here
    try:
        serve_until_stopped(settings, target)
    except StartError as error:
        fail(str(error))


def check_port() -> None:
    """Exit if the port is taken, before anything else is printed."""
    try:
        find_port_free(settings_or_exit())
    except StartError as error:
        fail(str(error))


def migrate(options: Namespace) -> None:
    """Apply the missing migrations. With --check list them only, and exit 1 if there are any."""
    try:
        url = load_database_url(os.environ)
        if options.check:
            lacking = asyncio.run(pending(url))
            print("\n".join(f"missing: {name}" for name in lacking) or f"up to date: {len(migrations())} migrations")
            raise SystemExit(1 if lacking else 0)
        applied = asyncio.run(apply_migrations(url))
    except ConfigurationError as error:
        fail(str(error), code=2)
    except (OSError, MigrationError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        reason = str(error) if isinstance(error, MigrationError) else Hosts(url).failure_reason(error)
        fail(f"The database cannot be migrated: {reason}")
    print("\n".join(f"applied: {name}" for name in applied) or f"up to date: {len(migrations())} migrations")


def create_tenant(options: Namespace) -> None:
    """Create a tenant."""
    wanted = {"name": options.name, "slug": options.slug, "settings": given_settings(options)}
    made = run(lambda app: service.create_tenant(app, schemas.convert(wanted, TenantIn)))
    show(options, made, "tenant_id", "name", "slug", "api_key", "secret_key", "test_key", "jwt_secret")


def given_settings(options: Namespace) -> dict[str, object]:
    """Return the settings that the options give, by name."""
    settings = {}
    for setting in options.setting:
        name, _, value = setting.partition("=")
        try:
            settings[name] = msgspec.json.decode(value)
        except msgspec.DecodeError:
            settings[name] = value  # --setting sms_branding=MyApp needs no quotes
    return settings


def list_tenants(options: Namespace) -> None:
    """List all tenants."""
    tenants = run(lambda app: store.list_tenants(app.postgres, "", 1_000_000))
    if options.json:
        print(schemas.encode(tenants).decode())
        return
    for tenant in tenants:
        print(
            f"{tenant.tenant_id}  {tenant.slug:20}  {'suspended' if tenant.suspended_at else 'active':9}  {tenant.name}"
        )


def create_key(options: Namespace) -> None:
    """Create a key."""
    wanted = {"kind": options.kind, "allowed_origins": options.origin}

    async def operation(app: Services) -> msgspec.Struct:
        return await service.create_key(app, await tenant_admin_for(app, options), schemas.convert(wanted, KeyIn))

    show(options, run(operation), "key_id", "kind", "api_key")


def list_keys(options: Namespace) -> None:
    """List all keys of a tenant."""

    async def operation(app: Services) -> list[KeyOut]:
        admin = await tenant_admin_for(app, options)
        return await store.list_keys(app.postgres, admin.tenant_id, "", 1_000_000)

    keys = run(operation)
    if options.json:
        print(schemas.encode(keys).decode())
        return
    for key in keys:
        end = key.revoked_at or key.expires_at
        print(f"{key.key_id}  {key.kind:4}  {key.hint}  {f'ends {end:%Y-%m-%d %H:%M}' if end else ''}".rstrip())


def rotate_key(options: Namespace) -> None:
    """Replace a key."""

    async def operation(app: Services) -> msgspec.Struct:
        rotation = schemas.convert({"grace_in": options.grace_in}, KeyRotation)
        return await service.rotate_key(app, await tenant_admin_for(app, options), options.key_id, rotation)

    show(options, run(operation), "key_id", "kind", "api_key")


def revoke_key(options: Namespace) -> None:
    """Revoke a key."""

    async def operation(app: Services) -> None:
        await service.revoke_key(app, await tenant_admin_for(app, options), options.key_id)

    run(operation)
    print('{"revoked":true}' if options.json else f"revoked: {options.key_id}")


def run(operation: Callable[[Services], Awaitable[Result]], failed: int = 1) -> Result:
    """Run an operation with its own services. An API error ends the program with its message and exit code `failed`."""
    settings = settings_or_exit()
    logging.getLogger("asyncpg").addHandler(logging.NullHandler())  # our own message says it in one sentence

    async def with_services() -> Result:
        log = Log("error", descriptor=sys.stderr.fileno(), events=False)
        services = await start_services(settings, log, background=False)
        try:
            return await operation(services)
        finally:
            await stop_services(services)

    try:
        return asyncio.run(with_services())
    except ApiError as error:
        fail("\n".join([error.detail, *(f"  {field}: {message}" for field, message in error.errors)]), failed)


def show(options: Namespace, result: msgspec.Struct, *fields: str) -> None:
    """Print a result: all of it as JSON, or some fields as text."""
    if options.json:
        print(schemas.encode(result).decode())
        return
    width = max(map(len, fields))
    for field in fields:
        print(f"{field:{width}}  {getattr(result, field)}")


def settings_or_exit() -> Settings:
    """Read the environment; exits 2 with every problem."""
    try:
        return load_settings(os.environ)
    except ConfigurationError as error:
        fail(str(error), code=2)


def fail(message: str, code: int = 1) -> NoReturn:
    """Exit with a message on stderr."""
    for line in message.splitlines():
        print(f"auth1: {line}", file=sys.stderr, flush=True)
    raise SystemExit(code)


async def tenant_admin_for(app: Services, options: Namespace) -> TenantAdmin:
    """Return the operator as the admin of the tenant that the command line names. Raises NotFound."""
    found = await store.get_tenant(app.postgres, tenant_id=options.tenant, slug=options.tenant)
    if found is None:
        raise NotFound(f"There is no tenant {options.tenant}.")
    return TenantAdmin(found[0].tenant_id, OPERATOR)
