"""Clients that never read a response: other clients are served; memory and shutdown are bounded."""

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.faults.conftest import Launcher
from tests.faults.test_signals import FORCED
from tests.support.process import Auth1
from tests.support.raw_http import head

READERS = 2_300  # more than the server used to accept
PIPELINED = 10
MAX_GROWTH_BYTES = 150_000_000
OTHERS = 50
READER = "127.0.0.9"  # an address of its own: requests of one address limit each other


@pytest.fixture
def descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def send_unread(port: int, path: str, count: int) -> list[socket.socket]:
    """Open connections that send many requests each and read nothing."""
    loop = asyncio.get_running_loop()
    connections = []
    for _ in range(count):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.bind((READER, 0))
        connection.setblocking(False)
        await loop.sock_connect(connection, ("127.0.0.1", port))
        with suppress(BlockingIOError):
            connection.send(head("GET", path) * PIPELINED)
        connections.append(connection)
    return connections


def resident_bytes(server: Auth1) -> int:
    [worker] = server.workers
    return int(Path(f"/proc/{worker}/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.usefixtures("descriptors")
@pytest.mark.parametrize("path", ["/openapi.json", "/health/live"])
async def test_unread_responses_block_neither_others_nor_shutdown(module_launcher: Launcher, path: str) -> None:
    async with module_launcher() as server:
        assert await server.status(path) == 200
        before = resident_bytes(server)
        connections = await send_unread(server.port, path, READERS)
        try:
            assert {await server.status("/health/live") for _ in range(OTHERS)} == {200}
            assert (await server.tenant())["api_key"]
            assert resident_bytes(server) - before < MAX_GROWTH_BYTES

            server.process.terminate()
            assert await server.exit_code() == 0
            assert FORCED not in server.text()
        finally:
            for connection in connections:
                connection.close()
