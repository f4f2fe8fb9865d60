"""`auth1 users import` and `auth1 users export`."""

import os
from pathlib import Path

import asyncpg
import msgspec
import pytest

from tests.cli.conftest import Run, run
from tests.users.conftest import House, new_email

__all__ = ["run"]


def write(path: Path, *rows: object) -> str:
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    return str(path)


async def test_users_are_imported_and_exported(house: House, run: Run, tmp_path: Path) -> None:
    emails = [new_email() for _ in range(3)]
    file = write(tmp_path / "in.ndjson", *({"mail": email} for email in emails), {"mail": "nobody"})
    tenant = ("--tenant", house.tenant["slug"])

    brought = await run("users", "import", *tenant, "--map", "email=mail", file, "--json")

    assert brought.code == 1, "a line was rejected"
    assert brought.json() == {"created": 3, "existing": 0, "rejected": 1}
    assert f"{file}:4: This is not an email address" in brought.err
    assert "4 rows" in brought.err
    assert os.listdir(tmp_path) == ["in.ndjson"], "no checkpoint is left of what is finished"
    exported = await run("users", "export", *tenant, str(tmp_path / "out.csv"))
    assert exported.code == 0, exported.err
    assert "3 rows" in exported.err
    table = (tmp_path / "out.csv").read_text()
    assert all(email in table for email in emails)
    again = await run("users", "import", *tenant, str(tmp_path / "out.csv"))
    assert (again.code, again.out) == (0, "created 0  existing 3  rejected 0\n")
    printed = await run("users", "export", *tenant, "-")
    assert len(printed.out.splitlines()) == 3


async def test_an_import_goes_on_where_it_was_broken_off(
    house: House,
    run: Run,
    tmp_path: Path,
    database: asyncpg.Connection,
) -> None:
    file = write(tmp_path / "in.ndjson", *({"email": new_email()} for _ in range(1200)), {"email": "nobody"})
    size = (tmp_path / "in.ndjson").stat().st_size
    arguments = ("users", "import", "--tenant", house.tenant_id, file, "--resume", "--rejects", str(tmp_path / "no"))
    state = {"tenant": house.tenant_id, "size": size, "line": 1000, "created": 998, "existing": 1, "rejected": 1}
    beside = tmp_path / "in.ndjson.checkpoint"

    write(beside, {**state, "size": size + 1})
    assert "the file has changed" in (await run(*arguments)).err
    write(beside, state)
    went_on = await run(*arguments)

    assert (went_on.code, went_on.out) == (1, "created 1198  existing 1  rejected 2\n")
    assert (tmp_path / "no").read_text().startswith(f"{file}:1201: ")
    assert await database.fetchval("select count(*) from users where tenant_id = $1", house.tenant_id) == 200
    assert not beside.exists()
    skipped = await run("users", "import", "--tenant", house.tenant_id, file, "--skip", "1200")
    assert skipped.out == "created 0  existing 0  rejected 1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("import", "--tenant", "nobody", "FILE"), 1, "There is no tenant nobody"),
        (("import", "--tenant", "nobody", "/nowhere/file"), 1, "cannot be read"),
        (("import", "--tenant", "nobody", "FILE", "--from", "x"), 2, "--from: Must be one of auth0, cognito"),
        (("export", "--tenant", "nobody", "/nowhere/file"), 1, "cannot be written"),
    ],
    ids=str,
)
async def test_what_cannot_be_done_is_said(
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
