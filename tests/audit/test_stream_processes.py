"""Streams of the program as it is run: two workers, raw sockets, SIGTERM."""

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

from auth1.core.http.streaming import SEND_S
from tests.audit.conftest import AuditLog
from tests.audit.streams import SocketStream
from tests.faults.test_signals import FORCED
from tests.support.process import Auth1, until

LARGE = '{"changed": ["' + "x" * 15_000 + '"]}'


async def test_streams_of_two_workers_resume_and_end_at_sigterm(
    audit_log: AuditLog, environment: dict[str, str], tmp_path: Path
) -> None:
    changed = environment | {"DATABASE_URL": audit_log.url, "WORKERS": "2"}
    async with Auth1(changed, tmp_path / "log") as auth1, AsyncExitStack() as stack:
        tenant = await auth1.tenant()
        tenant_id, key = tenant["tenant_id"], tenant["secret_key"]
        clients = [await stack.enter_async_context(SocketStream(auth1.port, key)) for _ in range(4)]

        async def counted() -> bool:
            return await auth1.metric("auth1_event_streams") == len(clients)

        await until(counted)
        ids = await audit_log.add(tenant_id, 6)
        for client in clients:
            assert await client.wait_for(6) == ids
        for client in clients[:2]:
            async with SocketStream(auth1.port, key, last_id=client.messages[2].id) as resumed:
                assert await resumed.wait_for(3) == ids[3:]
        ids += await audit_log.add(tenant_id, 60, data=LARGE)  # more than the buffers between a client and the worker
        silent = await stack.enter_async_context(SocketStream(auth1.port, key, last_id=ids[5]))
        await silent.until_stalled()

        auth1.process.send_signal(signal.SIGTERM)
        await asyncio.gather(*(client.read_all() for client in clients))
        for client in clients:
            assert client.is_complete
            assert client.retry_ms
            assert [message.id for message in client.messages] == ids[: len(client.messages)]
        assert await auth1.exit_code() == 0
        assert FORCED not in auth1.text()
        assert "Traceback" not in auth1.text()
        await silent.read_all()
        assert not silent.is_complete


async def test_client_that_never_reads_is_ended_and_its_place_freed(
    audit_log: AuditLog, environment: dict[str, str], tmp_path: Path
) -> None:
    changed = environment | {"DATABASE_URL": audit_log.url}
    async with Auth1(changed, tmp_path / "log") as auth1:
        tenant = await auth1.tenant()
        async with SocketStream(auth1.port, tenant["secret_key"]) as silent:
            ids = await audit_log.add(tenant["tenant_id"], 60, data=LARGE)

            def ended() -> bool:  # by the worker, or by the kernel, whose limit it is after twice the time
                return any(line.get("broken") in ("unread", "client") for line in auth1.lines("request"))

            assert await until(ended) > SEND_S / 2
            await silent.read_all()
            got = [message.id for message in silent.messages]
            assert not silent.is_complete
            assert got == ids[: len(got)]
            assert len(got) < len(ids)
        async with SocketStream(auth1.port, tenant["secret_key"], last_id=silent.last_id) as resumed:
            assert await resumed.wait_for(len(ids) - len(got)) == ids[len(got) :]

            async def freed() -> bool:
                return await auth1.metric("auth1_event_streams") == 1

            await until(freed)
