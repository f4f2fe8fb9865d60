"""Exhausted resources of the machine: file descriptors, and a full stdout pipe."""

import asyncio
import fcntl
import os
from contextlib import AsyncExitStack
from pathlib import Path

from tests.conftest import new_phone
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_http import RawHttp, head

DESCRIPTORS = 256
CONNECTIONS = 400
PIPE_BYTES = 4096  # the smallest that Linux makes
LOGINS = 15  # two requests each, of which each writes more than 150 bytes


async def log_in(server: Auth1, carrier: TwilioServer, key: str) -> bool:
    """Return whether a user can log in."""
    phone = new_phone()
    if (await server.ask(phone, key)).status_code != 200:
        return False
    return (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


async def test_server_recovers_from_file_descriptor_exhaustion(
    own_environment: dict[str, str], log: Path, carrier: TwilioServer, stack: AsyncExitStack
) -> None:
    few = ("sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh")
    async with Auth1(own_environment, log, prefix=few) as server:
        key = (await server.tenant())["api_key"]
        assert await log_in(server, carrier, key)

        connections = [await stack.enter_async_context(RawHttp(server.port)) for _ in range(CONNECTIONS)]
        await asyncio.gather(*(raw_http.send(head("GET", "/health/live")) for raw_http in connections))
        answers = [asyncio.create_task(raw_http.answer()) for raw_http in connections]
        # All that have room are answered and stay; the others wait for them to leave.
        await until(lambda: sum(answer.done() for answer in answers) > DESCRIPTORS // 2)
        for raw_http, answer in zip(connections, answers, strict=True):
            if answer.done():
                raw_http.hang_up()
        statuses = {got and got.status for got in await asyncio.gather(*answers)}
        assert statuses <= {200, 503, None}, statuses
        assert 200 in statuses
        for raw_http in connections:
            raw_http.hang_up()

        await until(lambda: log_in(server, carrier, key), explain=server.text)
        assert len(server.workers) == 1
        assert "Traceback" not in server.text()


async def test_full_stdout_pipe_does_not_block_requests(
    own_environment: dict[str, str], log: Path, carrier: TwilioServer
) -> None:
    reader, writer = os.pipe()
    try:
        fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        async with Auth1(own_environment, log, stdout=writer) as server:
            key = (await server.tenant())["api_key"]
            for _ in range(LOGINS):
                assert await log_in(server, carrier, key)
            assert await server.status("/health") == 200

            server.process.terminate()
            assert await server.exit_code() == 0

        # What came through shows that the rest did not: a line for each request was to be written.
        assert 0 < os.read(reader, 2 * PIPE_BYTES).count(b'"/api/auth/') < 2 * LOGINS
    finally:
        os.close(reader)
        os.close(writer)
