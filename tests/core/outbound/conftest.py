"""Fixtures of the transport's tests: real servers with and without TLS."""

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop

from auth1.core.outbound import Transport
from tests.core.outbound.server import Server
from tests.support.certificates import make_certificate

HOST = "service.test"
LOOP = "AUTH1_TEST_LOOP"  # the event loop of these tests


if os.environ.get(LOOP) == "uvloop":
    # Only in the process that test_uvloop.py starts: with this hook, session fixtures of all other tests start anew.
    def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate with its key, for the loopback and one host name."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(make_certificate("127.0.0.1", HOST))
    return file


@pytest.fixture(scope="session")
def server_tls(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


@pytest.fixture(scope="session")
def trust(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


@pytest.fixture(params=["plain", "tls"])
def any_tls(request: pytest.FixtureRequest, server_tls: ssl.SSLContext) -> ssl.SSLContext | None:
    return server_tls if request.param == "tls" else None


Open = Callable[..., Any]  # AsyncClient, with options of Transport
Start = Callable[..., Server]  # with behaviours


@pytest.fixture
def open_client(trust: ssl.SSLContext) -> Open:
    """Return a function that opens a client over the transport, for `async with`."""

    @asynccontextmanager
    async def open_one(timeout: httpx.Timeout | float = 30.0, **options: Any) -> AsyncIterator[httpx.AsyncClient]:
        transport = Transport(tls=trust, **options)
        async with httpx.AsyncClient(transport=transport, trust_env=False, timeout=timeout) as client:
            yield client

    return open_one


@pytest.fixture
def start_server(any_tls: ssl.SSLContext | None) -> Callable[..., Server]:
    """Return a constructor of servers, with and without TLS."""
    return lambda *behaviours: Server(any_tls, list(behaviours))
