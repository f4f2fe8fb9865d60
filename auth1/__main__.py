"""The command line. Parsing needs argparse alone; the code of a command is imported when the command is known.

These are the only late imports of the program: prometheus-client decides at import whether workers share their metrics,
so `serve` has to say so before anything else is imported; and `auth1 version` should not load a web server.
"""

import argparse
import atexit
import importlib
import os
import shutil
import sys
import tempfile
from typing import TypeAlias

from auth1 import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run a command. Exits 2 on an invalid environment or command line, 1 when the command fails."""
    options = parser().parse_args(arguments)
    if options.command == "version":
        print(__version__)
        return
    if options.command in ("serve", "dev"):
        _share_metrics()
    module, _, function = options.run.partition(":")
    getattr(importlib.import_module(module), function)(options)


Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    root = argparse.ArgumentParser(prog="auth1", description="Self-hosted phone and email authentication.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add(commands, "serve", "Migrate the database, then serve.", "auth1 serve")
    text = "Run all of Auth1 on this machine: PostgreSQL, Redis, a demo tenant and an inbox. Not for production."
    dev = _add(commands, "dev", text, "auth1 dev", "auth1.cli.dev:dev")
    dev.add_argument("--data", metavar="DIR", help="directory of the servers' data (default: .auth1)")
    migrate = _add(commands, "migrate", "Apply the migrations that the database lacks.", "auth1 migrate --check")
    migrate.add_argument(
        "--check", action="store_true", help="list missing migrations and change nothing; exit 1 if there are any"
    )
    tenants = _add(commands, "tenants", "Create, list, update and move tenants.", "auth1 tenants list")
    _add_tenants(tenants.add_subparsers(dest="act", required=True, metavar="ACT"))
    keys = _add(
        commands, "keys", "Create, list, rotate and revoke API keys.", "auth1 keys create --tenant myapp --kind sk"
    )
    _add_keys(keys.add_subparsers(dest="act", required=True, metavar="ACT"))
    apps = _add(commands, "apps", "Register and manage OAuth clients.", "auth1 apps list --tenant myapp")
    _add_apps(apps.add_subparsers(dest="act", required=True, metavar="ACT"))
    hosts = _add(commands, "hosts", "Add, verify and remove hosts of tenants.", "auth1 hosts list --tenant myapp")
    _add_hosts(hosts.add_subparsers(dest="act", required=True, metavar="ACT"))
    text = "Print the OpenAPI 3.1 document of the API."
    _add(commands, "openapi", text, "auth1 openapi > openapi.json", "auth1.cli.openapi:openapi")
    users = _add(commands, "users", "Import and export users.", "auth1 users import --tenant myapp users.ndjson")
    _add_users(users.add_subparsers(dest="act", required=True, metavar="ACT"))
    audit = _add(commands, "audit", "Verify the audit log.", "auth1 audit verify")
    _add_audit(audit.add_subparsers(dest="act", required=True, metavar="ACT"))
    fraud = _add(commands, "fraud", "Load data of the fraud rules; replay decisions.", "auth1 fraud datasets")
    _add_fraud(fraud.add_subparsers(dest="act", required=True, metavar="ACT"))
    text = "Check this installation against the production checklist. Exits 1 with warnings, 2 with failures."
    example = "auth1 doctor --backup-marker /var/backups/auth1.done --backup-days 2"
    doctor = _add(commands, "doctor", text, example, "auth1.cli.doctor:doctor")
    doctor.add_argument("--backup-marker", metavar="FILE", help="a file that the backup job touches after each success")
    doctor.add_argument("--backup-days", type=int, default=2, metavar="DAYS", help="its greatest age (default: 2)")
    doctor.add_argument(
        "--before-deploy",
        action="store_true",
        help="missing migrations are a warning, APP_URL is not checked, and warnings exit 0",
    )
    _add_json(doctor)
    _add(commands, "version", "Print the version.", "auth1 version")
    return root


def _add_tenants(acts: Commands) -> None:
    example = "auth1 tenants create 'My App' --slug myapp --setting otp_length=8"
    text = "Create a tenant and print its keys. They are shown once."
    create = _add(acts, "create", text, example, "auth1.cli.commands:create_tenant")
    create.add_argument("name")
    create.add_argument("--slug", required=True, help="part of the tenant's keys: a-z, 0-9 and -")
    example = (
        "auth1 tenants update myapp --setting brand_color=#0f766e --logo logo.png\n"
        """  auth1 tenants update myapp --setting login_page='{"terms_url": "https://example.com/terms"}'"""
    )
    text = "Change the name, settings or logo of a tenant. A setting of null returns to its default."
    update = _add(acts, "update", text, example, "auth1.cli.tenants:update_tenant")
    update.add_argument("--name", help="the name that users see")
    update.add_argument("--logo", metavar="FILE", help="a PNG image of at most 64 KiB and 1024 x 1024 pixels")
    update.add_argument("--remove-logo", action="store_true", help="show the name instead of a logo")
    for command in (create, update):
        command.add_argument(
            "--setting", action="append", default=[], metavar="NAME=JSON", help="may be given many times"
        )
    listing = _add(acts, "list", "List tenants.", "auth1 tenants list --json", "auth1.cli.commands:list_tenants")
    text = "Move a tenant to the empty database in TARGET_DATABASE_URL. After an interruption run it again."
    move = _add(acts, "move", text, "auth1 tenants move myapp", "auth1.cli.move:move")
    for command in (update, move):
        command.add_argument("tenant", metavar="TENANT", help="slug or id of the tenant")
    move.add_argument("--abort", action="store_true", help="end the move, and empty the target")
    for command in (create, listing, update, move):
        _add_json(command)


def _add_keys(acts: Commands) -> None:
    example = "auth1 keys create --tenant myapp --kind pk --origin https://app.example.com"
    create = _add(
        acts, "create", "Create a key and print it. It is shown once.", example, "auth1.cli.commands:create_key"
    )
    create.add_argument("--kind", required=True, choices=("pk", "sk", "test"))
    create.add_argument(
        "--origin", action="append", default=[], help="a web origin that may use the key; may be given many times"
    )
    example = "auth1 keys list --tenant myapp"
    listing = _add(
        acts, "list", "List all keys, revoked and expired ones too.", example, "auth1.cli.commands:list_keys"
    )
    example = "auth1 keys rotate key_01… --tenant myapp --grace-in 3600"
    rotate = _add(
        acts,
        "rotate",
        "Replace a key. The old key works until --grace-in has passed.",
        example,
        "auth1.cli.commands:rotate_key",
    )
    rotate.add_argument(
        "--grace-in", type=int, default=86_400, metavar="SECONDS", help="how long the old key works (default: 86400)"
    )
    example = "auth1 keys revoke key_01… --tenant myapp"
    revoke = _add(acts, "revoke", "Revoke a key at once.", example, "auth1.cli.commands:revoke_key")
    for command in (rotate, revoke):
        command.add_argument("key_id")
    for command in (create, listing, rotate, revoke):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        _add_json(command)


def _add_apps(acts: Commands) -> None:
    text = "Register an application and print its secret. It is shown once."
    example = (
        "auth1 apps create Wiki --tenant myapp --kind web --redirect-uri https://wiki.example.com/callback\n"
        "  auth1 apps create 'Billing service' --tenant myapp --kind machine --scope invoices:read"
    )
    create = _add(acts, "create", text, example, "auth1.cli.apps:create_application")
    create.add_argument("name")
    create.add_argument(
        "--kind",
        required=True,
        choices=("web", "spa", "native", "machine"),
        help="web: on a server; spa: in a browser; native: on a device; machine: a server that acts for itself",
    )
    example = "auth1 apps update app_01… --tenant myapp --redirect-uri https://wiki.example.com/callback"
    text = "Change some fields of an application. A list replaces the stored one."
    update = _add(acts, "update", text, example, "auth1.cli.apps:update_application")
    update.add_argument("--name", help="the name that users see")
    update.add_argument(
        "--enabled", action=argparse.BooleanOptionalAction, help="a disabled application gets no tokens"
    )
    for command in (create, update):
        _add_application_fields(command)
    example = "auth1 apps list --tenant myapp"
    listing = _add(acts, "list", "List all applications.", example, "auth1.cli.apps:list_applications")
    text = "Replace the secret of an application. The old one is accepted until --grace-in has passed."
    example = "auth1 apps rotate app_01… --tenant myapp --grace-in 3600"
    rotate = _add(acts, "rotate", text, example, "auth1.cli.apps:rotate_secret")
    rotate.add_argument(
        "--grace-in", type=int, default=86_400, metavar="SECONDS", help="how long the old one works (default: 86400)"
    )
    example = "auth1 apps delete app_01… --tenant myapp"
    delete = _add(acts, "delete", "Delete an application.", example, "auth1.cli.apps:delete_application")
    for command in (update, rotate, delete):
        command.add_argument("client_id")
    for command in (create, listing, update, rotate, delete):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        _add_json(command)


def _add_application_fields(command: argparse.ArgumentParser) -> None:
    """Add the fields that create and update have in common. Those that are not given are not sent."""
    for name, text in (
        ("redirect-uri", "where users return after a login"),
        ("logout-uri", "where users may return after a logout"),
        ("scope", "a scope of your APIs that its tokens may have"),
    ):
        command.add_argument(f"--{name}", action="append", help=f"{text}; may be given many times")
    text = "the URL that Auth1 calls when a session ends; an empty one removes it"
    command.add_argument("--backchannel-logout-uri", metavar="URL", help=text)
    command.add_argument("--first-party", action=argparse.BooleanOptionalAction, help="users see no consent page")
    command.add_argument("--require-pkce", action=argparse.BooleanOptionalAction, help="logins must use PKCE (default)")
    text = "algorithm that signs its tokens (default: RS256)"
    command.add_argument("--alg", choices=("RS256", "ES256", "EdDSA"), help=text)


def _add_hosts(acts: Commands) -> None:
    """Add one command per act; all but `list` take the name of the host."""
    for act, text in (
        ("add", "Add a host, and print the TXT record that verifies it."),
        ("verify", "Verify a host by its TXT record."),
        ("make-canonical", "Move the issuer, the pages and the links of a tenant to a verified host."),
        ("unset-canonical", "Move the issuer, the pages and the links of a tenant back to APP_URL."),
        ("remove", "Remove a host. It stops at once."),
        ("list", "List all hosts of a tenant."),
    ):
        name = "" if act == "list" else "login.example.com "
        run = f"auth1.cli.hosts:{act.replace('-', '_')}"
        command = _add(acts, act, text, f"auth1 hosts {act} {name}--tenant myapp", run)
        if name:
            command.add_argument("host")
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        _add_json(command)


def _add_users(acts: Commands) -> None:
    text = "Import users; existing users are left unchanged. Exits 1 when a line was rejected."
    example = "auth1 users import --tenant myapp --from auth0 export.ndjson --rejects rejected.txt"
    bring = _add(acts, "import", text, example, "auth1.cli.users:import_users")
    bring.add_argument(
        "--from",
        dest="preset",
        metavar="PRODUCT",
        help="the product that the file comes from: auth0, cognito, firebase or supabase",
    )
    bring.add_argument(
        "--map", default="", metavar="FIELD=COLUMN,…", help="where fields are found: phone=phone_number,email=email"
    )
    bring.add_argument(
        "--rejects", metavar="FILE", default="-", help="file for the rejected lines and reasons (default: stderr)"
    )
    bring.add_argument("--resume", action="store_true", help="continue the interrupted import of this file")
    bring.add_argument("--skip", type=int, default=0, metavar="LINES", help="number of lines to skip")
    bring.add_argument(
        "--trust-unverified",
        action="store_true",
        help="import unverified phones and emails as logins (default: as profile data)",
    )
    _add_json(bring)
    example = "auth1 users export --tenant myapp users.csv"
    export = _add(acts, "export", "Export all users.", example, "auth1.cli.users:export_users")
    for command, formats in ((bring, ("ndjson", "csv", "json")), (export, ("ndjson", "csv"))):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        command.add_argument("--format", choices=formats, help="format of the file (default: by its suffix, or ndjson)")
        command.add_argument("file", metavar="FILE", help="- for stdin or stdout")


def _add_audit(acts: Commands) -> None:
    text = "Verify events and seals. Exits 0 if nothing was changed, 1 with findings, 2 if it could not check."
    example = "auth1 audit verify --heads /var/log/auth1.log"
    verify = _add(acts, "verify", text, example, "auth1.cli.audit:verify")
    verify.add_argument("--tenant", metavar="TENANT", help="slug or id of the only tenant to verify")
    verify.add_argument("--sandbox", action="store_true", help="verify the sandbox of the tenant")
    verify.add_argument("--heads", metavar="FILE", help="a log with audit.head lines; - for stdin")
    verify.add_argument("--since", metavar="TIME", help="verify what was sealed since, such as 2026-01-31T12:00:00Z")
    verify.add_argument("--replica", action="store_true", help="read from DATABASE_READ_URL")
    _add_json(verify)


def _add_fraud(acts: Commands) -> None:
    text = "Replace the line types by prefix. Each line is prefix,line_type; the longest prefix of a number decides."
    example = "auth1 fraud load-prefixes prefixes.csv"
    prefixes = _add(acts, "load-prefixes", text, example, "auth1.cli.fraud:load_prefixes")
    text = "Replace the networks of a type. Each line is a network or an address, such as 203.0.113.0/24."
    example = "auth1 fraud load-networks tor exits.txt"
    networks = _add(acts, "load-networks", text, example, "auth1.cli.fraud:load_networks")
    networks.add_argument("name", metavar="NAME", choices=("hosting", "vpn", "tor"), help="hosting, vpn or tor")
    text = "List what was loaded, with its size and time."
    listing = _add(acts, "datasets", text, "auth1 fraud datasets --json", "auth1.cli.fraud:show_datasets")
    for command in (prefixes, networks):
        command.add_argument("file", metavar="FILE", nargs="?", help="- for stdin")
        command.add_argument("--remove", action="store_true", help="remove what was loaded")
    text = "Evaluate stored decisions of each tenant under its policy with the changes of a file. Nothing is changed."
    replay = _add(acts, "replay", text, "auth1 fraud replay --policy stricter.json --days 14", "auth1.cli.fraud:replay")
    replay.add_argument("--policy", metavar="FILE", help="JSON with what differs from the policies; - for stdin")
    replay.add_argument("--days", metavar="N", type=int, choices=range(1, 31), default=7, help="1 to 30, by default 7")
    for command in (prefixes, networks, listing, replay):
        _add_json(command)


def _add(commands: Commands, name: str, text: str, example: str, run: str = "") -> argparse.ArgumentParser:
    """Add a command. `run` names its function, by default the one of the command's name in cli/commands."""
    command = commands.add_parser(
        name,
        help=text,
        description=text,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.set_defaults(run=run or f"auth1.cli.commands:{name}")
    return command


def _add_json(command: argparse.ArgumentParser) -> None:
    command.add_argument("--json", action="store_true", help="print JSON, for scripts")


def _share_metrics() -> None:
    """Create the directory in which several workers share their metrics, in memory where possible."""
    if os.environ.get("WORKERS", "1").strip() in ("", "1") or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="auth1-metrics-", dir=memory)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    atexit.register(_remove, directory, os.getpid())


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:  # workers are forks and inherit the exit handlers
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
