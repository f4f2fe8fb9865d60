"""A PostgreSQL as compose.yaml creates it: role and database of ops/postgres, with passwords."""

import os
import subprocess
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer, find_programs
from tests.support.postgres_files import PostgresFiles

SCRIPTS = Path(__file__).parents[2] / "ops/postgres"
PASSWORD = "0123456789abcdef" * 4
# Passwords are checked, but for the superuser of the test.
ACCESS = "host all superuser 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n"


@dataclass
class ComposePostgres:
    """A server with the role and database of ops/postgres/init.sql."""

    server: PostgresServer
    password: str = PASSWORD

    @property
    def url(self) -> str:
        """Return Auth1's DATABASE_URL."""
        return f"postgresql://auth1:{self.password}@127.0.0.1:{self.server.port}/auth1_db"

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of the PostgreSQL programs in the docs."""
        programs = f"{find_programs()}{os.pathsep}{os.environ['PATH']}"
        return {"PATH": programs, "PGHOST": "127.0.0.1", "PGPORT": str(self.server.port), "PGUSER": "superuser"}

    def psql(self, script: Path) -> None:
        """Run a script as the postgres image does."""
        options = ["--set=ON_ERROR_STOP=1", "--no-psqlrc", "--dbname=postgres", f"--file={script}"]
        environment = self.environment | {"POSTGRES_PASSWORD": self.password}
        done = subprocess.run(
            [find_programs() / "psql", *options], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
async def compose_postgres(
    postgres_files: PostgresFiles, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[ComposePostgres]:
    """Start a server, free the name auth1 (its superuser's, in tests), and run the scripts."""
    folder = tmp_path_factory.mktemp("compose_postgres")
    with postgres_files.server(folder) as server:
        made = ComposePostgres(server)
        connection = await asyncpg.connect(server.url())
        await connection.execute("create role superuser superuser login")
        await connection.execute(f"create role postgres superuser login password '{PASSWORD}'")
        await connection.close()
        # The test server's first superuser has the name auth1, which belongs to the role of init.sql.
        connection = await asyncpg.connect(server.url().replace("auth1@", "superuser@"))
        await connection.execute("alter role auth1 rename to bootstrap")
        for script in ("init.sql", "lock-superuser.sql"):
            made.psql(SCRIPTS / script)
        (folder / "data/pg_hba.conf").write_text(ACCESS)
        await connection.execute("select pg_reload_conf()")
        await connection.close()
        yield made
