"""A server and the process, terminal and thread that started it."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from auth1.dev import processes
from auth1.dev.postgres import PostgresServer
from auth1.dev.processes import exchange, wait_until
from auth1.dev.redis import RedisServer
from tests.dev.conftest import Parent

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")


@pytest.mark.parametrize("act", ["serve", "freeze"])
def test_servers_end_with_a_killed_parent(
    tmp_path: Path, act: str, parent: Callable[..., Parent], state: Callable[[int], str]
) -> None:
    victim = parent(tmp_path, act)
    pids = [int(pid) for pid in victim.line().split()[:2]]
    pids += [child for pid in pids for child in processes.children(pid)]
    assert len(pids) > 5
    assert all(map(state, pids))
    victim.kill()
    assert wait_until(lambda: not any(map(state, pids)), 10)
    assert "database system is shut down" in (tmp_path / "postgres" / "server.log").read_text()  # in order


def test_incomplete_database_of_a_killed_parent_is_created_again(
    tmp_path: Path, parent: Callable[..., Parent], query: Callable[[str, str], object]
) -> None:
    half = tmp_path / "postgres" / "data.new"
    victim = parent(tmp_path, "initdb")
    assert wait_until((half / "base").exists, 10)
    victim.kill()
    assert wait_until(lambda: not processes.is_locked(tmp_path / "postgres" / "server.lock"), 10)
    # What initdb leaves when it, too, gets no time to clean up.
    (half / "base").mkdir(parents=True, exist_ok=True)
    (half / "PG_VERSION").write_text("18\n")
    with PostgresServer(tmp_path / "postgres", durable=False) as server:
        assert query(server.url(), "SELECT 1") == 1
        assert not half.exists()


def test_ctrl_c_reaches_the_parent_only(
    tmp_path: Path, parent: Callable[..., Parent], query: Callable[[str, str], object]
) -> None:
    interrupted = parent(tmp_path, "outlive_ctrl_c")
    assert interrupted.line() == "started"
    os.killpg(interrupted.process.pid, signal.SIGINT)
    postgres_url, redis_port = interrupted.line().split()
    assert query(postgres_url, "SELECT 1") == 1
    assert exchange(int(redis_port), b"PING\r\n", b"\r\n") == b"+PONG\r\n"
    assert interrupted.end("\n") == ""
    assert interrupted.process.returncode == 0


def test_server_outlives_its_starting_thread(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    thread = threading.Thread(target=server.start)
    thread.start()
    task = Path(f"/proc/self/task/{thread.native_id}")
    thread.join()
    try:
        assert wait_until(lambda: not task.exists(), 5)
        assert exchange(server.port, b"PING\r\n", b"\r\n") == b"+PONG\r\n"  # by now a signal would have been handled
        assert "SIGTERM" not in server.log.read_text()
    finally:
        server.stop()
