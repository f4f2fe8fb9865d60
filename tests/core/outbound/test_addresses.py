"""Addresses and certificates: the host is verified even where its address is given."""

import asyncio
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from auth1.core.outbound import CONNECT_TO, NOT_SENT, Transport, tls_context
from auth1.core.outbound.addresses import MAX_ADDRESSES, connect_first, find_addresses
from tests.core.outbound.conftest import HOST, Open
from tests.core.outbound.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="function")
LOOPBACK = {CONNECT_TO: "127.0.0.1"}


async def test_given_address_replaces_the_lookup(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async with Server(server_tls) as server, open_client() as client:
        response = await client.get(f"https://{HOST}:{server.port}/a", extensions=LOOPBACK)

        assert response.content == b"ok"
        [head] = server.requests
        assert f"host: {HOST}:{server.port}".encode() in head.lower()


async def test_certificate_of_another_host_is_rejected(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async with Server(server_tls) as server, open_client() as client:
        with pytest.raises(httpx.ConnectError, match="not sent") as caught:
            await client.get(f"https://other.test:{server.port}/", extensions=LOOPBACK)

        assert "CERTIFICATE_VERIFY_FAILED" in str(caught.value)
        assert server.requests == []


async def test_untrusted_certificate_is_rejected(server_tls: ssl.SSLContext) -> None:
    async with Server(server_tls) as server, httpx.AsyncClient(transport=Transport()) as client:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await client.get(server.url)

        assert server.requests == []


@pytest.mark.parametrize("address", ["localhost", "127.1", "", "127.0.0.1:80", "[::1]"])
async def test_given_address_must_be_an_ip_address(open_client: Open, address: str) -> None:
    async with Server() as server, open_client() as client:
        with pytest.raises(NOT_SENT):
            await client.get(server.url, extensions={CONNECT_TO: address})

        assert server.connections == 0


async def test_authorities_of_ssl_cert_file_are_trusted(
    server_tls: ssl.SSLContext, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_context.cache_clear()
    try:
        async with Server(server_tls) as server, httpx.AsyncClient(transport=Transport()) as client:
            assert (await client.get(server.url)).status_code == 200
    finally:
        tls_context.cache_clear()


async def test_connection_is_not_shared_between_given_addresses(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async with Server(server_tls) as server, open_client() as client:
        url = f"https://{HOST}:{server.port}/"
        await client.get(url, extensions=LOOPBACK)
        with pytest.raises(httpx.ConnectError):
            await client.get(url)  # the name has no address of its own
        with pytest.raises(NOT_SENT):
            await client.get(url, extensions={CONNECT_TO: "127.0.0.2"}, timeout=httpx.Timeout(20, connect=2))

        assert len(server.requests) == 1


@pytest.fixture
def unresponsive() -> Iterator[tuple[str, int]]:
    """Return an address where no connection is accepted or refused: the queue of its socket is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = []
        for _ in range(3):
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(listener.getsockname())
            filling.append(client)
        yield listener.getsockname()
        for client in filling:
            client.close()


async def test_unresponsive_address_is_a_connect_timeout(open_client: Open, unresponsive: tuple[str, int]) -> None:
    async with open_client(httpx.Timeout(30, connect=0.3)) as client:
        async with asyncio.timeout(300):
            with pytest.raises(httpx.ConnectTimeout, match="not sent"):
                await client.get(f"http://127.0.0.1:{unresponsive[1]}/")


async def test_refused_connection_is_a_connect_error(open_client: Open, unused_tcp_port: int) -> None:
    async with open_client() as client:
        with pytest.raises(httpx.ConnectError, match="not sent"):
            await client.get(f"http://127.0.0.1:{unused_tcp_port}/")


async def test_unknown_host_is_a_connect_error(open_client: Open) -> None:
    async with open_client() as client:
        with pytest.raises(NOT_SENT):
            await client.get("http://no-such-host.invalid/")


@pytest.mark.parametrize("first", ["refused", "unresponsive"])
async def test_next_address_is_tried(unresponsive: tuple[str, int], unused_tcp_port: int, first: str) -> None:
    async with Server() as server, asyncio.timeout(300):
        ports = [unresponsive[1] if first == "unresponsive" else unused_tcp_port, server.port]

        with await connect_first([(socket.AF_INET, ("127.0.0.1", port)) for port in ports]) as connected:
            assert connected.getpeername() == ("127.0.0.1", server.port)


async def test_error_of_the_last_address_is_raised(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await connect_first([(socket.AF_INET, ("127.0.0.1", unused_tcp_port))] * 2)
    with pytest.raises(OSError, match="no address"):
        await connect_first([])


async def test_addresses_of_both_families_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    four = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{n}", 80)) for n in range(20)]
    six = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", 80, 0, n)) for n in range(2)]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: six + four)
    if type(asyncio.get_running_loop()).__module__ == "uvloop":
        return  # it does not use the function of the socket module

    found = await find_addresses("two-families.test", 80)

    families = [family for family, _ in found]
    assert families[:4] == [socket.AF_INET6, socket.AF_INET] * 2
    assert len(found) == MAX_ADDRESSES
