"""Files of a PostgreSQL with migrated databases, made once for all processes of the tests.

To copy them takes a tenth of the time of `initdb` and the migrations.
"""

import fcntl
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import asyncpg
import pytest

from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer
from tests.support.relaxed import relax_fraud_rules

TEMPLATES = {True: "auth1_template_relaxed", False: "auth1_template"}
NO_SETTINGS: Mapping[str, str] = {}


class PostgresFiles:
    """The files of a stopped server whose databases are templates, with and without relaxed fraud rules."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def server(self, data_dir: Path, settings: Mapping[str, str] = NO_SETTINGS) -> PostgresServer:
        """Return a server with a copy of the files, to be started."""
        data_dir.mkdir(exist_ok=True)
        subprocess.run(["cp", "-a", self._directory / "data", data_dir / "data"], check=True)
        return PostgresServer(data_dir, durable=False, settings=settings)


async def make_postgres_files(factory: pytest.TempPathFactory) -> PostgresFiles:
    """Make the files, or wait until another process of the same run has made them."""
    base = factory.getbasetemp()
    directory = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "postgres_files"
    directory.mkdir(exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (directory / "complete").exists():
            await _make(directory)
            (directory / "complete").touch()
    return PostgresFiles(directory)


async def _make(directory: Path) -> None:
    with PostgresServer(directory, durable=False) as server:
        connection = await asyncpg.connect(server.url())
        plain, relaxed = TEMPLATES[False], TEMPLATES[True]
        await connection.execute(f"create database {plain}")
        await migrate(server.url(plain))
        await connection.execute(f"create database {relaxed} template {plain} strategy file_copy")
        await connection.close()
        await relax_fraud_rules(server.url(relaxed))


async def new_database(server: PostgresServer, name: str, *, is_relaxed: bool = True) -> str:
    """Create a migrated database on a server with these files; return its URL.

    Tests of the fraud rules need one that is not relaxed.
    """
    connection = await asyncpg.connect(server.url())
    try:
        await connection.execute(f"create database {name} template {TEMPLATES[is_relaxed]} strategy file_copy")
    finally:
        await connection.close()
    return server.url(name)
