"""The arguments of the commands about tenants: tenants, keys, apps and hosts. Parsing needs argparse alone."""

import argparse
from typing import TypeAlias

Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_tenants(subcommands: Commands) -> None:
    """Add the subcommands of `tenants`."""
    example = "auth1 tenants create 'My App' --slug myapp --setting otp_length=8"
    text = "Create a tenant and print its keys. They are shown once."
    create = add_command(subcommands, "create", text, example, "auth1.cli.commands:create_tenant")
    create.add_argument("name", help="the name that users see")
    create.add_argument("--slug", required=True, help="part of the tenant's keys: a-z, 0-9 and -")
    example = (
        "auth1 tenants update myapp --setting brand_color=#0f766e --logo logo.png\n"
        """  auth1 tenants update myapp --setting login_page='{"terms_url": "https://example.com/terms"}'"""
    )
    text = "Change the name, settings or logo of a tenant. A setting of null returns to its default."
    update = add_command(subcommands, "update", text, example, "auth1.cli.tenants:update_tenant")
    update.add_argument("--name", help="the name that users see")
    logo = update.add_mutually_exclusive_group()
    logo.add_argument("--logo", metavar="FILE", help="a PNG image of at most 64 KiB and 1024 x 1024 pixels")
    logo.add_argument("--remove-logo", action="store_true", help="show the name instead of a logo")
    for command in (create, update):
        command.add_argument(
            "--setting",
            action="append",
            default=[],
            metavar="NAME=JSON",
            help="a tenant setting; may be given many times",
        )
    listing = add_command(
        subcommands, "list", "List tenants.", "auth1 tenants list --json", "auth1.cli.commands:list_tenants"
    )
    text = "Move a tenant to the empty database in TARGET_DATABASE_URL. After an interruption run it again."
    move = add_command(subcommands, "move", text, "auth1 tenants move myapp", "auth1.cli.move:move")
    for command in (update, move):
        command.add_argument("tenant", metavar="TENANT", help="slug or id of the tenant")
    move.add_argument("--abort", action="store_true", help="end the move, and empty the target")
    for command in (create, listing, update, move):
        add_json(command)


def add_keys(subcommands: Commands) -> None:
    """Add the subcommands of `keys`."""
    example = "auth1 keys create --tenant myapp --kind pk --origin https://app.example.com"
    create = add_command(
        subcommands, "create", "Create a key and print it. It is shown once.", example, "auth1.cli.commands:create_key"
    )
    create.add_argument("--kind", required=True, choices=("pk", "sk", "test"), help="publishable, secret or sandbox")
    create.add_argument(
        "--origin", action="append", default=[], help="a web origin that may use the key; may be given many times"
    )
    example = "auth1 keys list --tenant myapp"
    listing = add_command(
        subcommands, "list", "List all keys, revoked and expired ones too.", example, "auth1.cli.commands:list_keys"
    )
    example = "auth1 keys rotate key_01… --tenant myapp --grace-in 3600"
    rotate = add_command(
        subcommands,
        "rotate",
        "Replace a key. The old key works until --grace-in has passed.",
        example,
        "auth1.cli.commands:rotate_key",
    )
    rotate.add_argument(
        "--grace-in", type=int, default=86_400, metavar="SECONDS", help="how long the old key works (default: 86400)"
    )
    example = "auth1 keys revoke key_01… --tenant myapp"
    revoke = add_command(subcommands, "revoke", "Revoke a key at once.", example, "auth1.cli.commands:revoke_key")
    for command in (rotate, revoke):
        command.add_argument("key_id", help="id of the key: auth1 keys list")
    for command in (create, listing, rotate, revoke):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        add_json(command)


def add_apps(subcommands: Commands) -> None:
    """Add the subcommands of `apps`."""
    text = "Register an application and print its secret. It is shown once."
    example = (
        "auth1 apps create Wiki --tenant myapp --kind web --redirect-uri https://wiki.example.com/callback\n"
        "  auth1 apps create 'Billing service' --tenant myapp --kind machine --scope invoices:read"
    )
    create = add_command(subcommands, "create", text, example, "auth1.cli.apps:create_application")
    create.add_argument("name", help="the name that users see")
    create.add_argument(
        "--kind",
        required=True,
        choices=("web", "spa", "native", "machine"),
        help="web: on a server; spa: in a browser; native: on a device; machine: a server that acts for itself",
    )
    example = "auth1 apps update app_01… --tenant myapp --redirect-uri https://wiki.example.com/callback"
    text = "Change some fields of an application. A list replaces the stored one."
    update = add_command(subcommands, "update", text, example, "auth1.cli.apps:update_application")
    update.add_argument("--name", help="the name that users see")
    update.add_argument(
        "--enabled", action=argparse.BooleanOptionalAction, help="a disabled application gets no tokens"
    )
    for command in (create, update):
        _add_application_fields(command)
    example = "auth1 apps list --tenant myapp"
    listing = add_command(subcommands, "list", "List all applications.", example, "auth1.cli.apps:list_applications")
    text = "Replace the secret of an application. The old one is accepted until --grace-in has passed."
    example = "auth1 apps rotate app_01… --tenant myapp --grace-in 3600"
    rotate = add_command(subcommands, "rotate", text, example, "auth1.cli.apps:rotate_secret")
    rotate.add_argument(
        "--grace-in", type=int, default=86_400, metavar="SECONDS", help="how long the old one works (default: 86400)"
    )
    example = "auth1 apps delete app_01… --tenant myapp"
    delete = add_command(subcommands, "delete", "Delete an application.", example, "auth1.cli.apps:delete_application")
    for command in (update, rotate, delete):
        command.add_argument("client_id", help="id of the application: auth1 apps list")
    for command in (create, listing, update, rotate, delete):
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        add_json(command)


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


def add_hosts(subcommands: Commands) -> None:
    """Add the subcommands of `hosts`; all but `list` take the name of the host."""
    for subcommand, text in (
        ("add", "Add a host, and print the TXT record that verifies it."),
        ("verify", "Verify a host by its TXT record."),
        ("make-canonical", "Move the issuer, the pages and the links of a tenant to a verified host."),
        ("unset-canonical", "Move the issuer, the pages and the links of a tenant back to APP_URL."),
        ("remove", "Remove a host. It is no longer served."),
        ("list", "List all hosts of a tenant."),
    ):
        name = "" if subcommand == "list" else "login.example.com "
        run = f"auth1.cli.hosts:{subcommand.replace('-', '_')}"
        command = add_command(subcommands, subcommand, text, f"auth1 hosts {subcommand} {name}--tenant myapp", run)
        if name:
            command.add_argument("host", help="name of the host")
        command.add_argument("--tenant", required=True, metavar="TENANT", help="slug or id of the tenant")
        add_json(command)


def add_command(commands: Commands, name: str, text: str, example: str, run: str = "") -> argparse.ArgumentParser:
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


def add_json(command: argparse.ArgumentParser) -> None:
    """Add the option `--json`."""
    command.add_argument("--json", action="store_true", help="print JSON, for scripts")
