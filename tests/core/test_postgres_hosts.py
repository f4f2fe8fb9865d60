"""Connecting to one of several hosts: a busy host is waited for, and others are tried beside it."""

import asyncio
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from auth1.core.postgres import hosts as hosts_module
from auth1.core.postgres.hosts import Hosts
from tests.support.process import until

URL = "postgresql://user@busy:5432,other:5432/database"


class Server:
    """A host that accepts a connection when it is ready, or raises an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ready = asyncio.Event()
        self.error = error
        self.attempts = 0
        self.terminated = 0

    async def connect(self) -> SimpleNamespace:
        self.attempts += 1
        await self.ready.wait()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(server=self, terminate=self._terminate)

    def _terminate(self) -> None:
        self.terminated += 1


Serve = Callable[..., None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Replace asyncpg's connecting by servers."""

    def serve(**servers: Server) -> None:
        async def connect(url: str, **_: Any) -> SimpleNamespace:
            return await servers[url.partition("@")[2].partition(":")[0]].connect()

        monkeypatch.setattr(asyncpg, "connect", connect)
        monkeypatch.setattr(hosts_module, "HEAD_START", 0.001)

    return serve


async def test_busy_host_is_waited_for_while_the_other_is_tried(serve: Serve) -> None:
    busy, other = Server(), Server(ConnectionRefusedError())
    other.ready.set()
    serve(busy=busy, other=other)

    connecting = asyncio.create_task(Hosts(URL).connect(60.0))
    await until(lambda: other.attempts == 1)
    busy.ready.set()

    assert (await connecting).server is busy  # type: ignore[attr-defined]  # a server of this file
    assert busy.attempts == 1


async def test_unused_connection_of_the_other_host_is_closed(serve: Serve) -> None:
    busy, other = Server(), Server()
    serve(busy=busy, other=other)

    connecting = asyncio.create_task(Hosts(URL).connect(60.0))
    await until(lambda: other.attempts == 1)
    other.ready.set()
    busy.ready.set()
    chosen = (await connecting).server  # type: ignore[attr-defined]  # a server of this file

    assert chosen in (busy, other)
    assert busy.terminated + other.terminated <= 1
    assert chosen.terminated == 0


async def test_host_that_served_last_is_tried_alone(serve: Serve) -> None:
    busy, other = Server(ConnectionRefusedError()), Server()
    busy.ready.set()
    other.ready.set()
    serve(busy=busy, other=other)
    hosts = Hosts(URL)

    for _ in range(3):
        assert (await hosts.connect(60.0)).server is other  # type: ignore[attr-defined]  # a server of this file

    assert (busy.attempts, other.attempts) == (1, 3)


async def test_error_of_a_host_is_raised_when_all_fail(serve: Serve) -> None:
    busy, other = Server(ConnectionRefusedError("one")), Server(ConnectionRefusedError("two"))
    busy.ready.set()
    other.ready.set()
    serve(busy=busy, other=other)

    with pytest.raises(ConnectionRefusedError):
        await Hosts(URL).connect(60.0)


async def test_hosts_that_do_not_respond_raise_a_timeout(serve: Serve) -> None:
    busy, other = Server(), Server()
    serve(busy=busy, other=other)

    with pytest.raises(TimeoutError):
        await Hosts(URL).connect(0.04)

    assert (busy.attempts, other.attempts) == (1, 1)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TimeoutError(), "no answer from busy:5432,other:5432"),
        (ConnectionRefusedError(111, "refused"), "no server listens at busy:5432,other:5432"),
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('127.0.0.1', 1)"),
            "no server listens at busy:5432,other:5432",
        ),
        (OSError(113, "Connect call failed ('10.0.0.1', 5432)"), "no route to busy:5432,other:5432"),
        (OSError(101, "Connect call failed ('10.0.0.1', 5432)"), "no route to busy:5432,other:5432"),
        (
            OSError("Multiple exceptions: [Errno 113] Connect call failed ('10.0.0.1', 1)"),
            "no route to busy:5432,other:5432",
        ),
        (OSError(99, "Connect call failed ('::1', 1)"), "[Errno 99] Connect call failed ('::1', 1)"),
        (socket.gaierror(-2, "unknown"), "the host name in busy:5432,other:5432 cannot be resolved"),
        (asyncpg.CannotConnectNowError("the database system is starting up"), "the database system is starting up"),
        (OSError(), "OSError"),
    ],
)
def test_failure_reason_names_host_and_cause_but_no_password(error: Exception, reason: str) -> None:
    url = URL.replace("user@", "user:database-secret@")

    assert Hosts(url).failure_reason(error) == reason


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("postgresql:///database?host=db.internal", "db.internal"),
        ("postgresql:///database?host=/run/postgresql", "/run/postgresql"),
        ("postgresql:///database", "the socket"),
    ],
)
def test_failure_reason_names_the_host_of_the_query(url: str, names: str) -> None:
    assert Hosts(url).failure_reason(TimeoutError()) == f"no answer from {names}"
