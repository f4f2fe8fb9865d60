"""The command line: effects, output and exit codes."""

import json
import secrets

import asyncpg
import pytest

import auth1
from auth1.authn.tenants import LIFE_S as CACHE_S
from auth1.core.postgres.functions import functions
from auth1.core.postgres.migrations import migrations
from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import free_port
from tests.cli.conftest import Run
from tests.support.process import Auth1, until

COMMANDS = [
    ["serve"],
    ["dev"],
    ["migrate"],
    ["tenants"],
    ["tenants", "create"],
    ["tenants", "list"],
    ["tenants", "update"],
    ["tenants", "move"],
    ["keys"],
    ["keys", "create"],
    ["keys", "rotate"],
    ["keys", "revoke"],
    ["apps"],
    ["apps", "create"],
    ["apps", "list"],
    ["apps", "update"],
    ["apps", "rotate"],
    ["apps", "delete"],
    ["doctor"],
    ["openapi"],
    ["fraud"],
    ["fraud", "load-prefixes"],
    ["fraud", "load-networks"],
    ["fraud", "datasets"],
    ["users"],
    ["users", "import"],
    ["users", "export"],
    ["version"],
]


def new_slug() -> str:
    return f"cli-{secrets.token_hex(6)}"


@pytest.fixture(scope="module")
async def slug(run: Run) -> str:
    """Return the slug of a tenant made by the command line."""
    slug = new_slug()
    made = await run("tenants", "create", "My App", "--slug", slug)
    assert made.code == 0, made
    return slug


async def accepts(server: Auth1, key: str) -> bool:
    """Return whether the server accepts a key."""
    status = (await server.ask("none", key)).status_code
    assert status in (422, 401)
    return status == 422


async def rejects(server: Auth1, key: str) -> bool:
    return not await accepts(server, key)


async def test_version_is_printed(run: Run) -> None:
    assert await run("version", DATABASE_URL="", REDIS_URL="") == (0, f"{auth1.__version__}\n", "")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
async def test_help_describes_each_command_with_an_example(run: Run, command: list[str]) -> None:
    ended = await run(*command, "--help")

    assert (ended.code, ended.err) == (0, "")
    assert f"\nexample:\n  auth1 {command[0]}" in ended.out
    assert ended.out.startswith(f"usage: auth1 {' '.join(command)} ")


async def test_help_lists_every_command(run: Run) -> None:
    ended = await run("--help")

    assert ended.code == 0
    for command in ("serve", "dev", "migrate", "tenants", "keys", "version"):
        assert f"\n    {command} " in ended.out


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["keys"], ["keys", "create", "--kind", "x", "--tenant", "t"]])
async def test_invalid_command_line_exits_with_2_and_prints_usage(run: Run, arguments: list[str]) -> None:
    ended = await run(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("usage: auth1")


async def test_migrate_check_lists_missing_migrations_and_changes_nothing(
    run: Run, postgres_server: PostgresServer
) -> None:
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute("create database auth1_cli")
    await connection.close()
    only_url = {"REDIS_URL": "", "JWT_SECRET": "", "DATABASE_URL": postgres_server.url("auth1_cli")}
    names = [*(migration.name for migration in migrations()), functions().schema]

    for _ in range(2):
        checked = await run("migrate", "--check", **only_url)
        assert (checked.code, checked.out) == (1, "".join(f"missing: {name}\n" for name in names))

    applied = await run("migrate", **only_url)
    assert applied == (0, "".join(f"applied: {name}\n" for name in names), "")

    for arguments in (["migrate", "--check"], ["migrate"]):
        assert await run(*arguments, **only_url) == (0, f"up to date: {len(migrations())} migrations\n", "")


async def test_migrate_rejects_edited_migrations(run: Run, postgres_server: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres_server.url())
    await connection.execute("create database auth1_edited")
    await connection.close()
    url = postgres_server.url("auth1_edited")
    assert (await run("migrate", DATABASE_URL=url)).code == 0
    connection = await asyncpg.connect(url)
    await connection.execute("update migrations set digest = 'another' where name = $1", migrations()[0].name)
    await connection.close()

    for arguments in (["migrate"], ["migrate", "--check"], ["serve"]):
        ended = await run(*arguments, DATABASE_URL=url, PORT=str(free_port()))
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("auth1: ")
        assert ended.err.endswith(f"migration {migrations()[0].name} was edited after it had been applied\n")


async def test_created_tenant_is_printed_as_text_and_json(run: Run) -> None:
    for_people = await run("tenants", "create", "My App", "--slug", new_slug())
    shown = dict(line.split(None, 1) for line in for_people.out.splitlines())
    assert list(shown) == ["tenant_id", "name", "slug", "api_key", "secret_key", "test_key", "jwt_secret"]
    assert shown["name"] == "My App"

    slug = new_slug()
    settings = ("--setting", "otp_length=8", "--setting", "sms_branding=MyApp", "--setting", "voip_blocking=false")
    made = (await run("tenants", "create", "Other App", "--slug", slug, *settings, "--json")).json()
    assert made["api_key"].startswith(f"auth1_pk_{slug}_")
    assert made["secret_key"].startswith(f"auth1_sk_{slug}_")
    assert made["test_key"].startswith(f"auth1_test_{slug}_")
    assert set(shown) < set(made)
    expected = {"otp_length": 8, "sms_branding": "MyApp", "voip_blocking": False}
    assert made["settings"] | expected == made["settings"]


async def test_tenants_are_listed_as_text_and_json(run: Run, slug: str) -> None:
    for_people = await run("tenants", "list")
    [line] = [line for line in for_people.out.splitlines() if slug in line]
    assert line.split() == [line.split()[0], slug, "active", "My", "App"]

    for_scripts = await run("tenants", "list", "--json")
    assert f'"slug":"{slug}"' in for_scripts.out


async def test_created_key_is_accepted_by_a_running_server(run: Run, server: Auth1, slug: str) -> None:
    for arguments in (["--kind", "pk"], ["--kind", "test"], ["--kind", "sk", "--json"]):
        ended = await run("keys", "create", "--tenant", slug, *arguments)
        assert (ended.code, ended.err) == (0, "")
        shown = ended.json() if "--json" in arguments else dict(line.split() for line in ended.out.splitlines())
        assert shown["api_key"].startswith(f"auth1_{arguments[1]}_{slug}_")
        assert shown["key_id"].startswith("key_")
        assert await accepts(server, shown["api_key"])


async def test_keys_are_listed_as_text_and_json(run: Run, slug: str) -> None:
    reported = await run("keys", "list", "--tenant", slug)
    listed = json.loads((await run("keys", "list", "--tenant", slug, "--json")).out)

    assert {key["kind"] for key in listed} == {"pk", "sk", "test"}
    assert [line.split()[:2] for line in reported.out.splitlines()] == [[key["key_id"], key["kind"]] for key in listed]
    assert all(key["hint"] in reported.out for key in listed)


async def test_created_key_is_limited_to_its_origins(run: Run, server: Auth1, slug: str) -> None:
    origins = ("--origin", "https://a.example.com", "--origin", "https://b.example.com")
    made = (await run("keys", "create", "--tenant", slug, "--kind", "pk", *origins, "--json")).json()

    for origin, status in (("https://b.example.com", 422), ("https://c.example.com", 403)):
        headers = {"x-api-key": made["api_key"], "origin": origin}
        answer = await server.client.post("/api/auth/request", json={"phone": "none"}, headers=headers)
        assert answer.status_code == status


@pytest.mark.parametrize("form", [[], ["--json"]])
async def test_revoked_key_is_rejected_by_a_running_server(run: Run, server: Auth1, slug: str, form: list[str]) -> None:
    made = (await run("keys", "create", "--tenant", slug, "--kind", "pk", "--json")).json()
    assert await accepts(server, made["api_key"])  # and now it is in the server's cache

    revoked = await run("keys", "revoke", made["key_id"], "--tenant", slug, *form)

    reported = '{"revoked":true}\n' if form else f"revoked: {made['key_id']}\n"
    assert revoked == (0, reported, "")
    assert await until(lambda: rejects(server, made["api_key"])) < CACHE_S / 2  # it did not simply forget the key
    assert await run("keys", "revoke", made["key_id"], "--tenant", slug, *form) == (0, reported, "")


async def test_rotated_key_and_successor_are_valid_during_the_grace_period(run: Run, server: Auth1, slug: str) -> None:
    old = (await run("keys", "create", "--tenant", slug, "--kind", "pk", "--json")).json()
    new = (await run("keys", "rotate", old["key_id"], "--tenant", slug, "--json")).json()
    assert await accepts(server, old["api_key"])
    assert await accepts(server, new["api_key"])

    ended = await run("keys", "rotate", new["key_id"], "--tenant", slug, "--grace-in", "0")
    shown = dict(line.split() for line in ended.out.splitlines())
    assert await accepts(server, shown["api_key"])

    assert await until(lambda: rejects(server, new["api_key"])) < CACHE_S / 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["tenants", "create", "X", "--slug", "{slug}"], "The slug {slug} is taken."),
        (["tenants", "create", "X", "--slug", "Not A Slug"], "  slug: "),
        (["tenants", "create", "", "--slug", "new"], "  name: "),
        (["tenants", "create", "X", "--slug", "new", "--setting", "otp_length=3"], "  settings.otp_length: "),
        (["tenants", "create", "X", "--slug", "new", "--setting", "nonsense=3"], "  settings.nonsense: "),
        (["keys", "create", "--tenant", "missing", "--kind", "pk"], "There is no tenant missing."),
        (["keys", "create", "--tenant", "{slug}", "--kind", "pk", "--origin", "example.com"], "  allowed_origins"),
        (["keys", "revoke", "key_nothing", "--tenant", "{slug}"], "The tenant has no API key with this id."),
        (["keys", "rotate", "key_nothing", "--tenant", "{slug}"], "The tenant has no API key with this id."),
        (["keys", "rotate", "key_nothing", "--tenant", "{slug}", "--grace-in", "-1"], "  grace_in: "),
    ],
)
async def test_rejected_command_exits_with_1_and_a_message(
    run: Run, slug: str, arguments: list[str], sentence: str
) -> None:
    ended = await run(*(argument.format(slug=slug) for argument in arguments))

    assert (ended.code, ended.out) == (1, ""), ended
    assert all(line.startswith("auth1: ") for line in ended.err.splitlines()), ended.err
    assert sentence.format(slug=slug) in ended.err


async def test_key_of_another_tenant_cannot_be_revoked(run: Run, server: Auth1, slug: str) -> None:
    other = new_slug()
    await run("tenants", "create", "Other", "--slug", other)
    made = (await run("keys", "create", "--tenant", other, "--kind", "pk", "--json")).json()

    assert (await run("keys", "revoke", made["key_id"], "--tenant", slug)).code == 1
    assert await accepts(server, made["api_key"])


@pytest.mark.parametrize(
    "command", [["serve"], ["tenants", "list"], ["keys", "create", "--tenant", "t", "--kind", "pk"]]
)
async def test_missing_variables_exit_with_2_and_are_all_listed(run: Run, command: list[str]) -> None:
    ended = await run(*command, DATABASE_URL="", REDIS_URL="", JWT_SECRET="")

    assert (ended.code, ended.out) == (2, "")
    assert sorted(ended.err.splitlines()) == [
        "auth1: DATABASE_URL is required: for example postgresql://auth1:password@localhost:5432/auth1_db",
        "auth1: JWT_SECRET is required: generate one: openssl rand -hex 32",
        "auth1: REDIS_URL is required: for example redis://localhost:6379",
    ]


async def test_migrate_requires_only_the_database(run: Run) -> None:
    ended = await run("migrate", DATABASE_URL="", REDIS_URL="", JWT_SECRET="")

    example = "postgresql://auth1:password@localhost:5432/auth1_db"
    assert ended == (2, "", f"auth1: DATABASE_URL is required: for example {example}\n")


@pytest.mark.parametrize("command", [["migrate"], ["migrate", "--check"], ["tenants", "list"]])
async def test_unavailable_database_is_reported_in_one_line(run: Run, command: list[str]) -> None:
    ended = await run(*command, DATABASE_URL=f"postgresql://auth1:database-secret@127.0.0.1:{free_port()}/x")

    assert (ended.code, ended.out) == (1, "")
    [line] = ended.err.splitlines()
    assert line.startswith("auth1: ")
    assert "database-secret" not in line


async def test_commands_work_without_redis(run: Run) -> None:
    ended = await run("tenants", "create", "X", "--slug", new_slug(), REDIS_URL=f"redis://127.0.0.1:{free_port()}")

    assert ended.code == 0
    assert "Traceback" not in ended.err
