"""The command line. Parsing needs argparse alone; the code of a command is imported when the command is known.

These are the only late imports of the program. prometheus-client decides at import whether workers share their metrics,
so `serve` sets that before other imports. And `auth1 version` should not load a web server.
"""

import argparse
import atexit
import importlib
import os
import shutil
import sys
import tempfile

from auth1 import __version__
from auth1.cli.arguments import Commands, add_apps, add_command, add_hosts, add_json, add_keys, add_tenants


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


def parser() -> argparse.ArgumentParser:
    """Return the parser of all commands."""
    text = "Self-hosted phone and email authentication. Begin with `auth1 dev`. All other commands but `version` and\n"
    text += "`openapi` need DATABASE_URL, and most of them REDIS_URL and JWT_SECRET: see docs/configuration.md."
    root = argparse.ArgumentParser(prog="auth1", description=text)
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_command(commands, "serve", "Migrate the database, then serve.", "auth1 serve")
    text = "Run all of Auth1 on this machine: PostgreSQL, Redis, a demo tenant and an inbox. Not for production."
    dev = add_command(commands, "dev", text, "auth1 dev", "auth1.cli.dev:dev")
    dev.add_argument("--data", metavar="DIR", help="directory of the servers' data (default: .auth1)")
    migrate = add_command(commands, "migrate", "Apply the migrations that the database lacks.", "auth1 migrate --check")
    migrate.add_argument(
        "--check", action="store_true", help="list missing migrations and change nothing; exit 1 if there are any"
    )
    tenants = add_command(commands, "tenants", "Create, list, update and move tenants.", "auth1 tenants list")
    add_tenants(tenants.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    keys = add_command(
        commands, "keys", "Create, list, rotate and revoke API keys.", "auth1 keys create --tenant myapp --kind sk"
    )
    add_keys(keys.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    apps = add_command(commands, "apps", "Register and manage OAuth clients.", "auth1 apps list --tenant myapp")
    add_apps(apps.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    hosts = add_command(
        commands, "hosts", "Add, verify and remove hosts of tenants.", "auth1 hosts list --tenant myapp"
    )
    add_hosts(hosts.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    text = "Print the OpenAPI 3.1 document of the API."
    add_command(commands, "openapi", text, "auth1 openapi > openapi.json", "auth1.cli.openapi:openapi")
    users = add_command(commands, "users", "Import and export users.", "auth1 users import --tenant myapp users.ndjson")
    _add_users(users.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    audit = add_command(commands, "audit", "Verify the audit log.", "auth1 audit verify")
    _add_audit(audit.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    fraud = add_command(commands, "fraud", "Load data of the fraud rules; replay decisions.", "auth1 fraud datasets")
    _add_fraud(fraud.add_subparsers(dest="subcommand", required=True, metavar="COMMAND"))
    text = "Check this installation against the production checklist. Exits 1 with warnings, 2 with failures."
    example = "auth1 doctor --backup-marker /var/backups/auth1.done --backup-days 2"
    doctor = add_command(commands, "doctor", text, example, "auth1.cli.doctor:doctor")
    doctor.add_argument("--backup-marker", metavar="FILE", help="a file that the backup job touches after each success")
    doctor.add_argument("--backup-days", type=int, default=2, metavar="DAYS", help="its greatest age (default: 2)")
    doctor.add_argument(
        "--before-deploy",
        action="store_true",
        help="missing migrations are a warning, APP_URL is not checked, and warnings exit 0",
    )
    add_json(doctor)
    add_command(commands, "version", "Print the version.", "auth1 version")
    return root


def _add_users(subcommands: Commands) -> None:
    text = "Import users; existing users are left unchanged. Exits 1 when a line was rejected."
    example = "auth1 users import --tenant myapp --from auth0 export.ndjson --rejects rejected.txt"
    load = add_command(subcommands, "import", text, example, "auth1.cli.users:import_users")
    load.add_argument(
        "--from",
        dest="preset",
        metavar="PRODUCT",
        help="the product that the file comes from: auth0, cognito, firebase or supabase",
    )
    load.add_argument(
        "--map", default="", metavar="FIELD=COLUMN,…", help="where fields are found: phone=phone_number,email=email"
    )
    load.add_argument(
        "--rejects", metavar="FILE", default="-", help="file for the rejected lines and reasons (default: stderr)"
    )
    load.add_argument("--resume", action="store_true", help="continue the interrupted import of this file")
    load.add_argument("--skip", type=int, default=0, metavar="LINES", help="number of lines to skip")
    load.add_argument(
        "--trust-unverified",
        action="store_true",
        help="import unverified phones and emails as logins (default: as profile data)",
    )
    add_json(load)
    example = "auth1 users export --tenant myapp users.csv"
    export = add_command(subcommands, "export", "Export all users.", example, "auth1.cli.users:export_users")
    for command, formats in ((load, ("ndjson", "csv", "json")), (export, ("ndjson", "csv"))):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        command.add_argument("--format", choices=formats, help="format of the file (default: by its suffix, or ndjson)")
        command.add_argument("file", metavar="FILE", help="the file; - for stdin or stdout")


def _add_audit(subcommands: Commands) -> None:
    text = "Verify events and seals. Exits 0 if nothing was changed, 1 with findings, 2 if it could not check."
    example = "auth1 audit verify --heads /var/log/auth1.log"
    verify = add_command(subcommands, "verify", text, example, "auth1.cli.audit:verify")
    verify.add_argument("--tenant", metavar="TENANT", help="slug or id of the only tenant to verify")
    verify.add_argument("--sandbox", action="store_true", help="verify the sandbox of the tenant")
    verify.add_argument("--heads", metavar="FILE", help="a log with audit.head lines; - for stdin")
    verify.add_argument("--since", metavar="TIME", help="verify what was sealed since, such as 2026-01-31T12:00:00Z")
    verify.add_argument("--replica", action="store_true", help="read from DATABASE_READ_URL")
    add_json(verify)


def _add_fraud(subcommands: Commands) -> None:
    text = "Replace the line types by prefix. Each line is prefix,line_type; the longest prefix of a number decides."
    example = "auth1 fraud load-prefixes prefixes.csv"
    prefixes = add_command(subcommands, "load-prefixes", text, example, "auth1.cli.fraud:load_prefixes")
    text = "Replace the networks of a type. Each line is a network or an address, such as 203.0.113.0/24."
    example = "auth1 fraud load-networks tor exits.txt"
    networks = add_command(subcommands, "load-networks", text, example, "auth1.cli.fraud:load_networks")
    networks.add_argument("name", metavar="NAME", choices=("hosting", "vpn", "tor"), help="hosting, vpn or tor")
    text = "List what was loaded, with its size and time."
    listing = add_command(subcommands, "datasets", text, "auth1 fraud datasets --json", "auth1.cli.fraud:show_datasets")
    for command in (prefixes, networks):
        command.add_argument("file", metavar="FILE", nargs="?", help="the file; - for stdin")
        command.add_argument("--remove", action="store_true", help="remove what was loaded")
    text = "Evaluate stored decisions of each tenant under its policy with the changes of a file. Nothing is changed."
    replay = add_command(
        subcommands, "replay", text, "auth1 fraud replay --policy stricter.json --days 14", "auth1.cli.fraud:replay"
    )
    replay.add_argument("--policy", metavar="FILE", help="JSON with what differs from the policies; - for stdin")
    replay.add_argument("--days", metavar="N", type=int, choices=range(1, 31), default=7, help="1 to 30, by default 7")
    for command in (prefixes, networks, listing, replay):
        add_json(command)


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
