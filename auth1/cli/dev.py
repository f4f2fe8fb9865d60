"""`auth1 dev`: all of Auth1 on one machine, with real servers, a demo tenant, and an inbox for its messages."""

import asyncio
import os
import secrets
import shlex
import sys
from argparse import Namespace
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from auth1.api_keys import KINDS
from auth1.applications import store as applications
from auth1.applications.records import NewApplication
from auth1.applications.schemas import DEFAULT_ALG
from auth1.applications.service import create_application
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
from auth1.tenants.settings import OPERATOR, TenantAdmin, TenantSettings

SLUG = "demo"
DATABASE = "auth1_db"
DEMO_CODES_PER_HOUR = 100  # the most that a tenant may allow, so that trying does not lock out
ENVIRONMENT_FILE = "env"  # what a shell needs for the other commands
# Without those of providers: the other commands send no messages.
ENVIRONMENT = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET", "ADMIN_TOKEN", "APP_URL", "PORT", "WEBHOOK_ALLOWED_NETWORKS")
EXAMPLE_URL = "http://localhost:8080/"  # of examples/web
# Of the applications in docs/openid-connect.md: JupyterHub, Apache, Auth.js, and others.
DEMO_CALLBACKS = [
    "http://localhost:8000/hub/oauth_callback",
    "http://localhost:8090/redirect_uri",
    "http://localhost:8090/auth/callback/auth1",
    "http://localhost:8090/callback",
]
DEMO_LOGOUT_URIS = ["http://localhost:8000/", "http://localhost:8090/"]
DEMO_BACKCHANNEL_URI = "http://localhost:8090/backchannel-logout"  # as in express-openid-connect
LOOPBACK = "127.0.0.0/8,::1/128"
EXAMPLE_REDIRECT_URIS = (EXAMPLE_URL, "http://127.0.0.1:8080/")

_QUERIES = Queries("dev")


class DevState(msgspec.Struct):
    """Secrets and keys that the next start uses again, in a file that only its owner can read.

    `environment` has the variables that the last start set by itself.
    """

    jwt_secret: str
    admin_token: str
    environment: dict[str, str] = {}
    tenant_id: str = ""
    api_key: str = ""
    secret_key: str = ""
    test_key: str = ""
    client_id: str = ""
    client_secret: str = ""


def dev(options: Namespace) -> None:
    """Start the servers that are missing, create the demo tenant, print how to use it, and serve until stopped."""
    directory = Path(options.data or ".auth1").absolute()
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    state = _load_state(directory)
    _forget_last_start(state)
    given = set(os.environ)
    with ExitStack() as servers:
        try:
            _start_servers(directory, servers)
        except ServerError as error:
            commands.fail(str(error))
        _set_defaults(state)
        commands.check_port()
        _progress("Applying migrations and creating the demo tenant")
        state = commands.run(lambda app: _demo(app, state))
        state.environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ.keys() - given}
        _save_state(directory, state)
        _write_environment(directory)
        print(quickstart_text(state, directory), flush=True)
        commands.serve(options, "auth1.inbox.app:make_app")


def quickstart_text(state: DevState, directory: Path) -> str:
    """Return the banner: addresses, keys, and commands to paste."""
    base = _address()
    return f"""
  Auth1 for development, with PostgreSQL and Redis on this machine. Not for production.
  {_delivery_text()}

  inbox            {base}/dev/inbox
  API reference    {base}/docs
  example          {EXAMPLE_URL}?key={state.api_key}
                   first run: python3 -m http.server 8080 --bind 127.0.0.1 --directory examples/web

  tenant           {state.tenant_id} ({SLUG})
  publishable key  {state.api_key}
  secret key       {state.secret_key}
  test key         {state.test_key}
  issuer           {base}/t/{SLUG}
  client id        {state.client_id}
  client secret    {state.client_secret}
  callbacks        {f"{chr(10)}                   ".join(DEMO_CALLBACKS)}
  logout URIs      {f"{chr(10)}                   ".join(DEMO_LOGOUT_URIS)}
  back-channel     This command sets the URL that Auth1 calls when a session ends:
                   {_backchannel_command(base, state)}
                   Configure any OpenID Connect client with these: docs/openid-connect.md

  database         {os.environ["DATABASE_URL"]}
  redis            {os.environ["REDIS_URL"]}
  other commands   . {shlex.quote(str(directory / ENVIRONMENT_FILE))}; .venv/bin/auth1 tenants list

  1. Request a code. It appears here and in the inbox.

curl -X POST {base}/api/auth/request \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: {state.api_key}" \\
  -d '{{"phone": "+15551234567"}}'

  2. Log in: replace THE CODE.

curl -X POST {base}/api/auth/verify \\
  -H "Content-Type: application/json" \\
  -H "x-api-key: {state.api_key}" \\
  -d '{{"phone": "+15551234567", "code": "THE CODE"}}'

  3. Create a tenant of your own.

export ADMIN_TOKEN={os.environ["ADMIN_TOKEN"]}
curl -X POST {base}/api/admin/tenants \\
  -H "Content-Type: application/json" \\
  -H "Authorization: Bearer $ADMIN_TOKEN" \\
  -d '{{"name": "My App", "slug": "myapp", "settings": {{"otp_length": 6, "sms_branding": "MyApp"}}}}'

  Ctrl-C stops everything. The data stays in {directory}.
"""


def _backchannel_command(base: str, state: DevState) -> str:
    """Return the command that sets the URL of back-channel logout of the demo application."""
    return (
        f"curl -X PATCH {base}/api/tenant/applications/{state.client_id} -H 'x-api-key: {state.secret_key}'"
        f""" -H 'content-type: application/json' -d '{{"backchannel_logout_uri": "{DEMO_BACKCHANNEL_URI}"}}'"""
    )


def _delivery_text() -> str:
    """Return the line of the banner that says what happens to messages."""
    if os.environ.get("SMS_PROVIDERS") == "console" and os.environ["SMTP_URL"] == CONSOLE:
        return "SMS and emails are not sent. They appear here and in the inbox."
    return "The configured providers send messages. All others appear here and in the inbox."


def _forget_last_start(state: DevState) -> None:
    """Unset variables that a shell has read from the file of the last start, whose servers have stopped."""
    for name, value in state.environment.items():
        if os.environ.get(name) == value:
            del os.environ[name]


def _set_defaults(state: DevState) -> None:
    """Set the variables that the developer has not set."""
    os.environ.setdefault("JWT_SECRET", state.jwt_secret)
    os.environ.setdefault("ADMIN_TOKEN", state.admin_token)
    if "TWILIO_ACCOUNT_SID" not in os.environ:
        os.environ.setdefault("SMS_PROVIDERS", "console")
        os.environ.setdefault("APP_URL", _address())  # the start of links; Twilio could not report to it
    os.environ.setdefault("SMTP_URL", CONSOLE)
    os.environ.setdefault("HOST", "127.0.0.1")
    os.environ.setdefault("RATE_LIMIT_MAX", "100000")  # all requests of a developer come from one address
    # The receivers of webhooks, hooks and back-channel logouts run on this machine.
    os.environ.setdefault("WEBHOOK_ALLOWED_NETWORKS", LOOPBACK)
    if sys.stdout.isatty():
        os.environ.setdefault("LOG_FORMAT", "text")


def _start_servers(directory: Path, servers: ExitStack) -> None:
    if "DATABASE_URL" not in os.environ:
        is_first = not (directory / "postgres" / "data").exists()
        _progress("Creating the database" if is_first else "Starting PostgreSQL")
        postgres = servers.enter_context(PostgresServer(directory / "postgres"))
        os.environ["DATABASE_URL"] = postgres.url(DATABASE)
        asyncio.run(_create_database(postgres.url()))
    if "REDIS_URL" not in os.environ:
        _progress("Starting Redis")
        redis = servers.enter_context(RedisServer(directory / "redis"))
        os.environ["REDIS_URL"] = redis.url()


def _progress(step: str) -> None:
    """Print each step of the start."""
    print(f"{step} …", flush=True)


async def _create_database(url: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval(_QUERIES["database_exists"].text, DATABASE):
            await connection.execute(_QUERIES["create_database"].text)
    finally:
        await connection.close()


async def _demo(app: Services, state: DevState) -> DevState:
    """Return the demo tenant and its application, after creating what is missing."""
    state = await _demo_tenant(app, state)
    known = await applications.list_applications(app.postgres, state.tenant_id, "", applications.MAX_APPLICATIONS)
    if state.client_secret and any(application.client_id == state.client_id for application in known):
        return state
    new = NewApplication(
        name="Demo",
        kind="web",
        scopes=[],
        id_token_alg=DEFAULT_ALG,
        redirect_uris=DEMO_CALLBACKS,
        logout_uris=DEMO_LOGOUT_URIS,
        require_pkce=False,  # not all of the clients use it
    )
    created = await create_application(app, TenantAdmin(state.tenant_id, OPERATOR), new)
    client_id, secret = created.application.client_id, created.secret or ""
    return msgspec.structs.replace(state, client_id=client_id, client_secret=secret)


async def _demo_tenant(app: Services, state: DevState) -> DevState:
    """Return the demo tenant of this database and its keys, after creating what is missing."""
    await migrate(app.settings.database_url)
    found = await store.get_tenant(app.postgres, slug=SLUG)
    if found is None:
        settings = TenantSettings(rate_limit_per_hour=DEMO_CODES_PER_HOUR, redirect_uris=EXAMPLE_REDIRECT_URIS)
        created = await service.create_tenant(app, TenantIn(name="Demo", slug=SLUG, settings=settings))
        tenant_id, keys = created.tenant_id, [created.api_key, created.secret_key, created.test_key]
    else:
        tenant_id, owner = found[0].tenant_id, TenantAdmin(found[0].tenant_id, OPERATOR)
        if changes := _missing_settings(found[0].settings):
            await service.update_settings(app, owner, changes)
        if tenant_id == state.tenant_id and state.secret_key:
            return state
        keys = [(await service.create_key(app, owner, KeyIn(kind=kind))).api_key for kind in KINDS]
    named = dict(zip(("api_key", "secret_key", "test_key"), keys, strict=True))
    return msgspec.structs.replace(state, tenant_id=tenant_id, **named)


def _missing_settings(settings: TenantSettings) -> dict[str, Any]:
    """Return the demo tenant's settings that still have their default."""
    demo = {"rate_limit_per_hour": DEMO_CODES_PER_HOUR, "redirect_uris": EXAMPLE_REDIRECT_URIS}
    default = TenantSettings()
    return {name: value for name, value in demo.items() if getattr(settings, name) == getattr(default, name)}


def _load_state(directory: Path) -> DevState:
    path = directory / "dev.json"
    if path.exists():
        return msgspec.json.decode(path.read_bytes(), type=DevState)
    return DevState(jwt_secret=secrets.token_hex(32), admin_token=secrets.token_hex(32))


def _save_state(directory: Path, state: DevState) -> None:
    _write_private(directory / "dev.json", msgspec.json.encode(state))


def _write_environment(directory: Path) -> None:
    """Write the variables that other commands need on this database, for a shell to read."""
    lines = [f"export {name}={shlex.quote(os.environ[name])}\n" for name in ENVIRONMENT if os.environ.get(name)]
    _write_private(directory / ENVIRONMENT_FILE, "".join(lines).encode())


def _write_private(path: Path, content: bytes) -> None:
    new = path.with_suffix(".new")
    new.touch(mode=0o600)
    new.write_bytes(content)
    new.replace(path)


def _address() -> str:
    return f"http://localhost:{os.environ.get('PORT') or 3000}"
