"""A real PgBouncer in transaction mode in front of a PostgreSQL server; every database is reached through it."""

import os
import shutil
import struct
from collections.abc import Mapping
from pathlib import Path
from signal import SIGINT
from subprocess import Popen

from auth1.dev.postgres import READY_FOR_QUERY, USER, VERSION_3, PostgresServer
from auth1.dev.processes import HOST, exchange, launch
from auth1.dev.server import LocalServer

# Debian installs it where only root's PATH leads.
PROGRAM = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
IS_MISSING = PROGRAM is None
IS_WANTED = os.environ.get("AUTH1_TEST_PGBOUNCER") == "1"  # `just test-pgbouncer`


class PgBouncer(LocalServer):
    """PgBouncer for all databases of a server. Few connections, so that clients change them often."""

    name = "PgBouncer"
    stop_signal = SIGINT

    def __init__(self, data_dir: Path, postgres: PostgresServer, *, ignored: str = "", connections: int = 6) -> None:
        super().__init__(data_dir, None)
        self._postgres = postgres
        self._ignored = ignored
        self._connections = connections

    def url(self, database: str) -> str:
        return self.route(self._postgres.url(database))

    def route(self, url: str) -> str:
        """Return a URL of the server as one through PgBouncer; other URLs stay."""
        direct, through = f"{HOST}:{self._postgres.port}", f"{HOST}:{self.port}"
        return url.replace(f"@{direct}/", f"@{through}/")

    def routed(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of an application that reaches PostgreSQL through PgBouncer."""
        changed = dict(environment)
        for name in ("DATABASE_URL", "DATABASE_READ_URL"):
            if name in changed:
                changed[name] = self.route(changed[name])
        if changed != dict(environment):
            changed["DATABASE_STATEMENT_CACHE_SIZE"] = "0"
        return changed

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        assert PROGRAM is not None, "pgbouncer is not installed"
        config = self.data_dir / "pgbouncer.ini"
        config.write_text(
            f"[databases]\n* = host={HOST} port={self._postgres.port} user={USER}\n[pgbouncer]\n"
            f"listen_addr = {HOST}\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\nadmin_users = {USER}\n"
            f"pool_mode = transaction\ndefault_pool_size = {self._connections}\nmax_client_conn = 900\n"
            f"ignore_startup_parameters = {self._ignored}\n"
        )
        # It rejects root, and changes its user when it has read the file.
        user = ["-u", "nobody"] if os.geteuid() == 0 else []
        return launch([PROGRAM, *user, str(config)], log=self.log, keep_open=[lock], death_signal=self.stop_signal)

    def _answers(self, pid: int, port: int) -> bool:
        del pid
        body = struct.pack("!I", VERSION_3) + f"user\0{USER}\0database\0postgres\0\0".encode()
        return READY_FOR_QUERY in exchange(port, struct.pack("!I", len(body) + 4) + body, READY_FOR_QUERY)
