"""SIGTERM: requests in progress complete, and the program always stops."""

import asyncio
import os
import random
import signal
from contextlib import suppress
from pathlib import Path

import httpx
import pytest

from auth1.core.processes.supervisor import KILL_AFTER_S
from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.support.process import START_S, Auth1, until
from tests.support.providers.twilio import Request, TwilioServer, take

STARTS = 20
FORCED = "did not stop in time"  # what is logged of a worker that had to be killed


async def refuses_connections(server: Auth1) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    except ConnectionRefusedError:
        return True
    writer.close()
    return False


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_requests_in_progress_complete_on_sigterm(
    module_launcher: Launcher, carrier: TwilioServer, workers: str
) -> None:
    stopping = asyncio.Event()
    phones = [new_phone() for _ in range(5)]

    async def answer_while_stopping(request: Request, writer: asyncio.StreamWriter) -> None:
        await stopping.wait()
        await take(request, writer)

    async with module_launcher(WORKERS=workers) as server:
        key = (await server.tenant())["api_key"]
        carrier.behaviour = answer_while_stopping
        under_way = [asyncio.create_task(server.ask(phone, key)) for phone in phones]
        await until(lambda: len(carrier.requests) == len(phones))

        server.process.send_signal(signal.SIGTERM)
        with suppress(AssertionError):  # the program itself waits for Twilio no longer than 2 s
            await until(lambda: refuses_connections(server), 1.0)
        stopping.set()

        answers = [(answer.status_code, answer.json()["status"]) for answer in await asyncio.gather(*under_way)]
        assert answers == [(200, "sent")] * len(phones)
        assert await server.exit_code() == 0
        assert "Traceback" not in server.text()
        assert await refuses_connections(server)


async def test_idle_and_partial_connections_do_not_delay_shutdown(module_launcher: Launcher) -> None:
    async with module_launcher() as server:
        kept = httpx.AsyncClient(base_url=server.url, trust_env=False)
        assert (await kept.get("/health/live")).status_code == 200
        _, half = await asyncio.open_connection("127.0.0.1", server.port)
        half.write(b"POST /api/auth/request HTTP/1.1\r\nHost: x\r\n")
        await half.drain()

        server.process.send_signal(signal.SIGTERM)

        assert await server.exit_code() == 0
        assert FORCED not in server.text()
        half.close()
        await kept.aclose()


async def test_worker_that_stops_is_not_ready(module_launcher: Launcher) -> None:
    """A request that began to arrive before the signal is still served."""
    async with module_launcher() as server:
        key = (await server.tenant())["api_key"].encode()
        # It is in progress until its body is complete, and the worker waits for it.
        _, unfinished = await asyncio.open_connection("127.0.0.1", server.port)
        unfinished.write(b"POST /api/auth/request HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\n" % key)
        unfinished.write(b"Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{")
        reader, probe = await asyncio.open_connection("127.0.0.1", server.port)
        probe.write(b"GET /health/ready HTTP/1.1\r\nHost: x\r\n")
        await asyncio.gather(unfinished.drain(), probe.drain())
        assert (await server.client.get("/health/ready")).json() == {"ready": True, "reason": None}

        server.process.send_signal(signal.SIGTERM)
        await until(lambda: refuses_connections(server))
        probe.write(b"\r\n")
        answer = await reader.read()

        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b'{"ready":false,"reason":"stopping"}' in answer
        unfinished.close()
        probe.close()
        assert await server.exit_code() == 0


async def test_ctrl_c_stops_the_server(module_launcher: Launcher) -> None:
    async with module_launcher(WORKERS="2") as server:
        os.killpg(server.process.pid, signal.SIGINT)  # as a terminal does: to all of them at once
        assert await server.exit_code() == 0
        assert "Traceback" not in server.text()
        assert FORCED not in server.text()


async def test_ctrl_c_stops_workers_during_startup(module_launcher: Launcher) -> None:
    """Workers receive two signals before they serve: one of the terminal and one of the parent."""
    server = module_launcher(WORKERS="2")
    server.spawn()
    try:
        await until(lambda: len(server.workers) == 2, explain=server.text)
        os.killpg(server.process.pid, signal.SIGINT)
        assert await server.exit_code() == 0
        assert "Traceback" not in server.text()
        assert FORCED not in server.text()
    finally:
        server.end()
        await server.client.aclose()


async def test_sigterm_at_any_moment_of_startup_stops_the_server(module_launcher: Launcher, tmp_path: Path) -> None:
    """Includes the time in which workers are forked and start."""
    four_at_a_time = asyncio.Semaphore(4)

    async def start_and_stop(number: int) -> None:
        async with four_at_a_time:
            # The test owns the directory, because a process that is killed early cannot remove its own.
            shared = {"WORKERS": "2", "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} if number % 2 else {}
            process = module_launcher(new_interpreter=True, **shared)
            process.spawn()
            try:
                await asyncio.sleep(random.Random(number).uniform(0.0, 1.2))
                process.process.send_signal(signal.SIGTERM)
                code = await process.exit_code(KILL_AFTER_S + START_S)
                # Killed by the signal before it had a handler, or ended in order.
                assert code in (-signal.SIGTERM, 0), process.text()
                assert "Traceback" not in process.text()
                assert FORCED not in process.text()
            finally:
                process.end()
                await process.client.aclose()

    await asyncio.gather(*(start_and_stop(number) for number in range(STARTS)))
