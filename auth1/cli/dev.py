"""`auth1 dev`: everything on a bare machine, from one command. Real servers, a demo tenant, codes on the terminal."""

import asyncio
import os
import secrets
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path

import asyncpg
import msgspec

from auth1.api_keys import KINDS
from auth1.cli import commands
from auth1.config.smtp import CONSOLE
from auth1.core.postgres import Queries
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from auth1.dev.server import ServerError
from auth1.services import Services
from auth1.tenants import service, store
from auth1.tenants.schemas import KeyIn, TenantIn
from auth1.tenants.settings import OPERATOR, TenantAdmin

SLUG = "demo"
DATABASE = "auth1_db"

_QUERIES = Queries("dev")


class DevState(msgspec.Struct):
    """What a second start uses again; kept readable for its owner only."""

    jwt_secret: str
    admin_token: str
    database_url: str = ""
    tenant_id: str = ""
    api_key: str = ""
    secret_key: str = ""
    test_key: str = ""


def dev(options: Namespace) -> None:
    """Start what is missing, make or find the demo tenant, say how to use it, and serve until stopped."""
    directory = Path(options.data or ".auth1").absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    remembered = _recall(directory)
    with ExitStack() as servers:
        try:
            _start_servers(directory, servers)
        except ServerError as error:
            commands.fail(str(error))
        os.environ.setdefault("JWT_SECRET", remembered.jwt_secret)
        os.environ.setdefault("ADMIN_TOKEN", remembered.admin_token)
        if "TWILIO_ACCOUNT_SID" not in os.environ:
            os.environ.setdefault("SMS_PROVIDERS", "console")
            os.environ.setdefault("APP_URL", _address())  # what links begin with; Twilio could not report there
        os.environ.setdefault("SMTP_URL", CONSOLE)
        os.environ.setdefault("HOST", "127.0.0.1")
        commands.check_port()
        remembered = commands.run(lambda app: _demo_tenant(app, remembered))
        _remember(directory, remembered)
        print(_walk(remembered, directory), flush=True)
        commands.serve(options)


def _start_servers(directory: Path, servers: ExitStack) -> None:
    if "DATABASE_URL" not in os.environ:
        postgres = servers.enter_context(PostgresServer(directory / "postgres"))
        os.environ["DATABASE_URL"] = postgres.url(DATABASE)
        asyncio.run(_create_database(postgres.url()))
    if "REDIS_URL" not in os.environ:
        redis = servers.enter_context(RedisServer(directory / "redis"))
        os.environ["REDIS_URL"] = redis.url()


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval(_QUERIES["database_exists"].text, DATABASE):
            await connection.execute(_QUERIES["create_database"].text)
    finally:
        await connection.close()


async def _demo_tenant(app: Services, remembered: DevState) -> DevState:
    """The demo tenant of this database, with keys that we know."""
    await migrate(app.settings.database_url)
    found = await store.get_tenant(app.postgres, slug=SLUG)
    if found is None:
        made = await service.create_tenant(app, TenantIn(name="Demo", slug=SLUG))
        tenant_id, keys = made.tenant_id, [made.api_key, made.secret_key, made.test_key]
    elif found[0].tenant_id == remembered.tenant_id and remembered.secret_key:
        return remembered
    else:
        tenant_id, owner = found[0].tenant_id, TenantAdmin(found[0].tenant_id, OPERATOR)
        keys = [(await service.create_key(app, owner, KeyIn(kind=kind))).api_key for kind in KINDS]
    named = dict(zip(("api_key", "secret_key", "test_key"), keys, strict=True))
    return msgspec.structs.replace(remembered, tenant_id=tenant_id, **named)


def _recall(directory: Path) -> DevState:
    path = directory / "dev.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DevState)
    return DevState(jwt_secret=secrets.token_hex(32), admin_token=secrets.token_hex(32))


def _remember(directory: Path, remembered: DevState) -> None:
    path = directory / "dev.json"
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(msgspec.json.encode(remembered))
    new.replace(path)


def _address() -> str:
    return f"http://localhost:{os.environ.get('PORT') or 3000}"


def _walk(remembered: DevState, directory: Path) -> str:
    """The guide's walk, ready to paste."""
    base = _address()
    admin_token = os.environ["ADMIN_TOKEN"]
    return f"""
  Auth1 for development: real PostgreSQL and Redis on this machine, SMS and mails on this terminal. Not for production.

  database   {os.environ["DATABASE_URL"]}
  redis      {os.environ["REDIS_URL"]}
  tenant     {remembered.tenant_id} ({SLUG})
  secret key {remembered.secret_key}
  test key   {remembered.test_key}

  1. Ask for a code; it appears here.

curl -X POST {base}/api/auth/request \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: {remembered.api_key}" \\
  -d '{{"phone": "+15551234567"}}'

  2. Log in with it.

curl -X POST {base}/api/auth/verify \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: {remembered.api_key}" \\
  -d '{{"phone": "+15551234567", "code": "THE CODE"}}'

  3. Make a tenant of your own.

export ADMIN_TOKEN={admin_token}
curl -X POST {base}/api/admin/tenants \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer $ADMIN_TOKEN" \\
  -d '{{"name": "My App", "slug": "myapp", "settings": {{"otp_length": 6, "sms_branding": "MyApp"}}}}'

  Ctrl-C ends everything; the data stay in {directory}.
"""
