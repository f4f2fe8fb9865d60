"""`auth1 users import` and `auth1 users export`."""

import os
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tests.cli.conftest import Run, run
from tests.users.conftest import UserAdmin, new_email

__all__ = ["run"]


NOTHING = {"read": 0, "created": 0, "existing": 0, "skipped": 0, "rejected": 0, "unverified": 0}


def write(path: Path, *rows: object) -> str:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return str(path)


async def test_command_imports_and_exports_users(admin: UserAdmin, run: Run, tmp_path: Path) -> None:
    emails = [new_email() for _ in range(3)]
    file = write(tmp_path / "in.ndjson", *({"mail": email} for email in emails), {"mail": "invalid"})
    tenant = ("--tenant", admin.tenant["slug"])

    imported = await run("users", "import", *tenant, "--map", "email=mail", file, "--json")

    assert imported.code == 1, "a line was rejected"
    assert imported.json() == {**NOTHING, "read": 4, "created": 3, "rejected": 1}
    assert f"{file}:4: Must be an email address" in imported.err
    assert "4 rows" in imported.err
    assert os.listdir(tmp_path) == ["in.ndjson"], "no checkpoint is left of what is finished"
    exported = await run("users", "export", *tenant, str(tmp_path / "out.csv"))
    assert exported.code == 0, exported.err
    assert "3 rows" in exported.err
    table = (tmp_path / "out.csv").read_text()
    assert all(email in table for email in emails)
    again = await run("users", "import", *tenant, str(tmp_path / "out.csv"))
    assert (again.code, again.out) == (0, "read 3  created 0  existing 3  skipped 0  rejected 0  unverified 0\n")
    printed = await run("users", "export", *tenant, "-")
    assert len(printed.out.splitlines()) == 3


async def test_resume_continues_an_interrupted_import(
    admin: UserAdmin,
    run: Run,
    tmp_path: Path,
    database: asyncpg.Connection,
) -> None:
    file = write(tmp_path / "in.ndjson", *({"email": new_email()} for _ in range(1200)), {"email": "invalid"})
    size = (tmp_path / "in.ndjson").stat().st_size
    arguments = ("users", "import", "--tenant", admin.tenant_id, file, "--resume", "--rejects", str(tmp_path / "no"))
    state = {
        "tenant": admin.tenant_id,
        "size": size,
        "line": 1000,
        "read": 1000,
        "created": 998,
        "existing": 1,
        "rejected": 1,
    }
    beside = tmp_path / "in.ndjson.checkpoint"

    write(beside, {**state, "size": size + 1})
    assert "the file has changed" in (await run(*arguments)).err
    write(beside, state)
    resumed = await run(*arguments)

    assert (resumed.code, resumed.out) == (
        1,
        "read 1201  created 1198  existing 1  skipped 0  rejected 2  unverified 0\n",
    )
    assert (tmp_path / "no").read_text().startswith(f"{file}:1201: ")
    assert await database.fetchval("select count(*) from users where tenant_id = $1", admin.tenant_id) == 200
    assert not beside.exists()
    skipped = await run("users", "import", "--tenant", admin.tenant_id, file, "--skip", "1200")
    assert skipped.out == "read 1201  created 0  existing 0  skipped 1200  rejected 1  unverified 0\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("import", "--tenant", "unknown", "FILE"), 1, "There is no tenant unknown"),
        (("import", "--tenant", "unknown", "/nowhere/file"), 1, "cannot be read"),
        (("import", "--tenant", "unknown", "FILE", "--from", "x"), 2, "--from: Must be one of auth0, cognito"),
        (("export", "--tenant", "unknown", "/nowhere/file"), 1, "cannot be written"),
    ],
    ids=str,
)
async def test_command_reports_what_it_cannot_do(
    run: Run,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    file = write(tmp_path / "file.ndjson")

    ended = await run("users", *(file if argument == "FILE" else argument for argument in arguments))

    assert ended.code == code
    assert words in ended.err
    assert "Traceback" not in ended.err
