"""Workers that die in any pattern: the service continues while one can start."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress

import httpx

from auth1.core.processes.supervisor import FIRST_DELAY_S, MAX_DELAY_S, MAX_FAILED_STARTS, Worker
from auth1.dev.postgres import PostgresServer
from tests.faults.conftest import Launcher
from tests.support.process import Auth1, until

DEATHS = 8


async def kill_as_they_appear(server: Auth1, deaths: int) -> None:
    """Kill each worker as soon as it appears, until a number have died."""
    killed: set[int] = set()

    def kill() -> bool:
        for pid in set(server.workers) - killed:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
        return len(killed) >= deaths

    await until(kill, explain=server.text)


async def answers(server: Auth1, path: str, status: int) -> bool:
    """Return whether a path responds with a status."""
    assert server.process.poll() is None, server.text()
    with suppress(httpx.TransportError):
        return await server.status(path) == status
    return False


async def test_service_survives_workers_killed_in_quick_succession(module_launcher: Launcher) -> None:
    async with module_launcher(WORKERS="2") as server:
        await kill_as_they_appear(server, DEATHS)

        await until(lambda: answers(server, "/health/ready", 200), explain=server.text)
        await until(lambda: len(server.workers) == 2, explain=server.text)
        died = server.lines("worker exited")
        assert len(died) >= DEATHS
        assert {line["signal"] for line in died} == {"SIGKILL"}
        server.process.terminate()
        assert await server.exit_code() == 0


async def test_worker_killed_without_a_database_serves_when_it_returns(
    module_launcher: Launcher, own_postgres: PostgresServer
) -> None:
    async with module_launcher() as server:
        own_postgres.stop()
        try:
            await kill_as_they_appear(server, 3)
            await until(lambda: answers(server, "/health/live", 200), explain=server.text)
            assert await server.status("/health/ready") == 503
            assert server.lines("database is unavailable")
        finally:
            own_postgres.start()

        await until(lambda: answers(server, "/health/ready", 200), explain=server.text)
        assert (await server.tenant())["api_key"]


async def test_queued_connections_are_answered_by_the_next_worker(module_launcher: Launcher) -> None:
    async with module_launcher() as server:
        [victim] = server.workers
        os.kill(victim, signal.SIGSTOP)  # connections wait in the queue of the socket
        waiting = [asyncio.create_task(server.status("/health/live")) for _ in range(20)]
        await asyncio.sleep(0.2)
        os.kill(victim, signal.SIGKILL)

        assert {await one for one in waiting} == {200}


async def test_workers_stop_when_their_supervisor_is_killed(module_launcher: Launcher) -> None:
    async with module_launcher(WORKERS="2") as server:
        workers = server.workers
        server.process.kill()
        await until(lambda: not any(is_running(pid) for pid in workers), explain=server.text)


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_delay_doubles_up_to_its_maximum() -> None:
    worker = Worker(0)
    delays = []
    for deaths in range(1, 12):
        worker.quick_exits = deaths
        delays.append(worker.delay_s())

    assert delays[:4] == [0.0, FIRST_DELAY_S, 2 * FIRST_DELAY_S, 4 * FIRST_DELAY_S]
    assert delays[-1] == MAX_DELAY_S


SCRIPT = """
import multiprocessing, os, sys
from auth1.core.telemetry.log import Log
from auth1.core.processes.supervisor import Supervisor

fork, log = multiprocessing.get_context("fork"), Log()
supervisor = Supervisor(lambda index: fork.Process(target=sys.exit, args=(1,)), 1, log)
can_start = supervisor.run(lambda: None)
log.close()
sys.exit(0 if can_start else 3)
"""


async def test_supervisor_gives_up_when_no_worker_can_start() -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", SCRIPT, stdout=subprocess.PIPE)
    output, _ = await process.communicate()

    assert process.returncode == 3
    assert output.count(b"worker exited") == MAX_FAILED_STARTS
