"""A stream over a real connection, and its deadline."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

import httpx
import msgspec
import pytest

from auth1.core.http import streaming
from auth1.core.http.concurrency import SHARES, ConcurrencyLimiter
from auth1.core.http.request import Stream
from auth1.errors import Unavailable
from tests.cli.conftest import server
from tests.support.polling import until
from tests.support.process import Auth1
from tests.users.conftest import UserAdmin, new_email

__all__ = ["server"]


async def test_unread_stream_ends_at_its_deadline() -> None:
    made, closed = 0, False

    async def pieces() -> AsyncGenerator[bytes, None]:
        nonlocal made, closed
        try:
            while True:
                made += 1
                yield b"x"
        finally:
            closed = True

    async def receive() -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        await asyncio.Event().wait()

    stream = Stream(pieces(), b"text/plain")

    assert await streaming.send_all(stream, receive, send, 0.01, asyncio.Event()) == "deadline"
    assert (made, closed) == (1, True)


@pytest.mark.parametrize("stopping", [False, True])
async def test_stalled_stream_ends_before_its_deadline(monkeypatch: pytest.MonkeyPatch, stopping: bool) -> None:
    monkeypatch.setattr(streaming, "FINISHING_SEND_S" if stopping else "SEND_S", 0.0)
    finishing = asyncio.Event()
    if stopping:
        finishing.set()

    async def pieces() -> AsyncGenerator[bytes, None]:
        yield b"x"

    async def never(*message: object) -> Any:
        await asyncio.Event().wait()

    stream = Stream(pieces(), b"text/plain")

    assert await streaming.send_all(stream, never, never, 3600.0, finishing) == "unread"


async def test_stream_that_waits_for_its_source_is_not_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "SEND_S", 0.0)

    async def pieces() -> AsyncGenerator[bytes, None]:
        await asyncio.sleep(3 * streaming.CHECK_S)
        yield b"x"

    async def never() -> Mapping[str, Any]:
        await asyncio.Event().wait()
        return {}

    async def send(message: dict[str, Any]) -> None:
        pass

    stream = Stream(pieces(), b"text/plain")

    assert await streaming.send_all(stream, never, send, 3600.0, asyncio.Event()) is None


@pytest.mark.parametrize("hang_up", [False, True])
async def test_export_is_streamed_over_a_real_connection(server: Auth1, admin: UserAdmin, hang_up: bool) -> None:
    count = 3000 if hang_up else 700
    rows = [{"email": new_email(), "metadata": {"x": "y" * 1500}} for _ in range(count)]
    for start in range(0, count, 2000):
        raw = b"".join(msgspec.json.encode(row) + b"\n" for row in rows[start : start + 2000])
        assert (await admin.upload(raw)).status_code == 200
    headers = {"x-api-key": admin.tenant["secret_key"], "x-request-id": f"stream-{admin.tenant_id}"}

    async with (
        httpx.AsyncClient(base_url=server.url, headers=headers) as client,
        client.stream("GET", "/api/tenant/users/export") as answer,
    ):
        assert answer.headers["transfer-encoding"] == "chunked"
        found = 0
        async for line in answer.aiter_lines():
            found += 1
            assert msgspec.json.decode(line)["email"]
            if hang_up:
                break

    async def reported() -> bool:
        lines = [line for line in server.text().splitlines() if headers["x-request-id"] in line]
        return any(('"broken":"client"' in line) == hang_up for line in lines)

    assert await until(reported)
    assert found == (1 if hang_up else count)


async def test_concurrent_imports_are_limited_to_two_per_tenant(admin: UserAdmin) -> None:
    begun, go_on = asyncio.Semaphore(0), asyncio.Event()

    async def slow() -> AsyncGenerator[bytes, None]:
        begun.release()
        await go_on.wait()
        yield msgspec.json.encode({"email": new_email()})

    async def upload() -> httpx.Response:
        return await admin.call("POST", "/import", content=slow(), headers={"content-type": "application/x-ndjson"})

    under_way = [asyncio.create_task(upload()) for _ in range(2)]
    for _ in under_way:
        await begun.acquire()

    rejected = await admin.upload(b"")

    assert (rejected.status_code, rejected.json()["code"], rejected.headers["retry-after"]) == (503, "unavailable", "5")
    other = UserAdmin(admin.api, admin.twilio, await admin.api.tenant())
    assert (await other.upload(b"")).status_code == 200
    go_on.set()
    assert [(await one).json()["created"] for one in under_way] == [1, 1]
    assert (await admin.upload(b"")).status_code == 200


async def test_completed_export_releases_its_concurrency_limit(admin: UserAdmin) -> None:
    for _ in range(3):
        assert (await admin.call("GET", "/export")).status_code == 200
        assert (await admin.call("GET", "/export", params={"format": "xml"})).status_code == 422


def test_concurrency_limit_of_a_worker_applies_to_all_tenants() -> None:
    limiter = ConcurrencyLimiter()
    tenants = ["a", "a", "b", "b", "c", "c", "d", "e"]  # the fourth leaves one to another
    assert len(tenants) == SHARES * 2
    held = [limiter.enter("/", f"tn_{tenant}", 2) for tenant in tenants]
    for tenant in ("d", "x"):
        with pytest.raises(Unavailable):
            limiter.enter("/", f"tn_{tenant}", 2)
    held.append(limiter.enter("/other", "tn_x", 2))
    assert limiter.keys == len(set(tenants)) + 3
    for key in held:
        limiter.leave(key)
    limiter.enter("/", "tn_x", 2)
    assert limiter.keys == 2
