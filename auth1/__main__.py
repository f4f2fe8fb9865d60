"""The command line. Parsing needs nothing but argparse; what a command runs is imported when it is known.

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

from auth1 import __version__


def main(arguments: list[str] | None = None) -> None:
    """Run a command; exits 2 on a wrong environment or command line, 1 when the command fails."""
    options = parser().parse_args(arguments)
    if options.command == "version":
        print(__version__)
        return
    if options.command in ("serve", "dev"):
        _share_metrics()
    module, _, function = options.run.partition(":")
    getattr(importlib.import_module(module), function)(options)


def parser() -> argparse.ArgumentParser:
    """Describe all commands."""
    root = argparse.ArgumentParser(prog="auth1", description="Self-hosted phone and email authentication.")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(
        group: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, text: str, example: str, run: str = ""
    ) -> argparse.ArgumentParser:
        command = group.add_parser(
            name,
            help=text,
            description=text,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.set_defaults(run=run)
        return command

    add(commands, "serve", "Migrate the database, then serve.", "auth1 serve", "auth1.commands:serve")
    dev = add(
        commands,
        "dev",
        "Bring up everything on this machine: PostgreSQL, Redis, a demo tenant. Not for production.",
        "auth1 dev",
        "auth1.dev.command:dev",
    )
    dev.add_argument("--data", metavar="DIR", help="where the servers keep their data (default: .auth1)")
    migrate = add(
        commands, "migrate", "Bring the database up to date.", "auth1 migrate --check", "auth1.commands:migrate"
    )
    migrate.add_argument("--check", action="store_true", help="change nothing; exit 1 when something is missing")

    tenants = add(commands, "tenants", "Create and list tenants.", "auth1 tenants list")
    acts = tenants.add_subparsers(dest="act", required=True, metavar="ACT")
    create = add(
        acts,
        "create",
        "Make a tenant and print its keys, once.",
        "auth1 tenants create 'My App' --slug myapp --setting otp_length=8",
        "auth1.commands:create_tenant",
    )
    create.add_argument("name")
    create.add_argument("--slug", required=True, help="part of the tenant's keys: a-z, 0-9 and -")
    create.add_argument("--setting", action="append", default=[], metavar="NAME=JSON", help="may be given many times")
    listed = add(acts, "list", "List tenants.", "auth1 tenants list --json", "auth1.commands:list_tenants")

    keys = add(commands, "keys", "Create, rotate and revoke API keys.", "auth1 keys create --tenant myapp --kind sk")
    acts = keys.add_subparsers(dest="act", required=True, metavar="ACT")
    new_key = add(
        acts,
        "create",
        "Make one more key and print it, once.",
        "auth1 keys create --tenant myapp --kind pk --origin https://app.example.com",
        "auth1.commands:create_key",
    )
    new_key.add_argument("--kind", required=True, choices=("pk", "sk", "test"))
    new_key.add_argument("--origin", action="append", default=[], help="a web origin that may use it; many times")
    rotate = add(
        acts,
        "rotate",
        "Replace a key; the old one works a while longer.",
        "auth1 keys rotate key_01… --tenant myapp --grace-in 3600",
        "auth1.commands:rotate_key",
    )
    rotate.add_argument("--grace-in", type=int, default=86_400, metavar="SECONDS")
    revoke = add(
        acts, "revoke", "End a key at once.", "auth1 keys revoke key_01… --tenant myapp", "auth1.commands:revoke_key"
    )
    for command in (rotate, revoke):
        command.add_argument("key_id")
    for command in (new_key, rotate, revoke):
        command.add_argument("--tenant", required=True, metavar="SLUG", help="slug or id of the tenant")
    for command in (create, listed, new_key, rotate, revoke):
        command.add_argument("--json", action="store_true", help="print JSON, for scripts")

    add(commands, "version", "Print the version.", "auth1 version")
    return root


def _share_metrics() -> None:
    """Make the directory in which several workers share their samples, in memory where there is such a place."""
    if os.environ.get("WORKERS", "1").strip() in ("", "1") or "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = tempfile.mkdtemp(prefix="auth1-metrics-", dir=memory)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    atexit.register(_remove, directory, os.getpid())


def _remove(directory: str, owner: int) -> None:
    if os.getpid() == owner:  # the workers are forks and inherit what is to be done at exit
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1:])
