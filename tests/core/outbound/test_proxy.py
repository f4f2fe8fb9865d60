"""Proxies: CONNECT tunnels for https, whole URLs for http, and credentials that stay with the proxy."""

import asyncio
import re
import ssl
from contextlib import suppress

import httpx
import pytest

from auth1.core.outbound import CONNECT_TO, NOT_SENT, Transport
from tests.core.outbound.conftest import HOST, Open
from tests.core.outbound.server import Behaviour, Peer, Server, respond

pytestmark = pytest.mark.asyncio(loop_scope="function")
CREDENTIALS = b"Basic dXNlcjpwQHNz"  # user:p@ss


def tunnel(response: bytes = b"HTTP/1.1 200 Connection established\r\n\r\n") -> Behaviour:
    """Connect to the port of the request on the loopback, and pass bytes on."""

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def behave(peer: Peer) -> None:
        head = await peer.read_head()
        target = re.match(rb"CONNECT [^ ]+:(\d+) HTTP/1.1\r\n", head)
        assert target is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", int(target[1]))
        await peer.send(response)
        try:
            await asyncio.gather(pipe(peer.reader, writer), pipe(reader, peer.writer))
        finally:
            writer.transport.abort()

    return behave


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
async def test_https_goes_through_a_tunnel(server_tls: ssl.SSLContext, open_client: Open, version: bytes) -> None:
    established = b"HTTP/" + version + b" 200 Connection established\r\n\r\n"
    async with Server(server_tls) as server, Server(None, [tunnel(established)]) as proxy:
        async with open_client(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}") as client:
            for _ in range(2):
                response = await client.get(server.url, headers={"authorization": "Bearer secret"})
                assert response.content == b"ok"

        [head] = proxy.requests
        assert head.startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)
        assert b"\r\nProxy-Authorization: " + CREDENTIALS + b"\r\n" in head
        assert b"secret" not in head
        assert len(server.requests) == 2
        assert server.connections == 1
        assert all(b"proxy-authorization" not in request.lower() for request in server.requests)


async def test_proxy_may_itself_use_tls(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async with Server(server_tls) as server, Server(server_tls, [tunnel()]) as proxy:
        async with open_client(proxy=f"https://127.0.0.1:{proxy.port}") as client:
            for _ in range(2):
                assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 1


async def test_http_through_a_proxy_names_the_whole_url(open_client: Open) -> None:
    async with Server() as proxy, open_client(proxy=f"http://user:p%40ss@127.0.0.1:{proxy.port}") as client:
        response = await client.post("http://service.test:8080/a?b=c", content=b"x")

        assert response.content == b"ok"
        [head] = proxy.requests
        assert head.startswith(b"POST http://service.test:8080/a?b=c HTTP/1.1\r\n")
        assert b"\r\nProxy-Authorization: " + CREDENTIALS + b"\r\n" in head
        assert b"\r\nhost: service.test:8080\r\n" in head.lower()


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nnope",
        b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nbytes of the proxy",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 20_000,
    ],
)
async def test_refused_tunnel_sends_nothing(server_tls: ssl.SSLContext, open_client: Open, response: bytes) -> None:
    async with Server(server_tls) as server, Server(None, [respond(response)]) as proxy:
        async with open_client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
            with pytest.raises(httpx.ProxyError) as caught:
                await client.post(server.url, content=b"one message")

            assert isinstance(caught.value, NOT_SENT)
            async with asyncio.timeout(300):
                await proxy.peers[0].is_closed_by_client.wait()
        assert server.connections == 0


async def test_silent_proxy_sends_nothing(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async def hang(peer: Peer) -> None:
        await peer.read_head()
        await peer.wait_closed_by_client()

    async with Server(server_tls) as server, Server(None, [hang]) as proxy:
        async with open_client(httpx.Timeout(30, connect=0.2), proxy=f"http://127.0.0.1:{proxy.port}") as client:
            with pytest.raises(NOT_SENT):
                await client.get(server.url)
            async with asyncio.timeout(300):
                await proxy.peers[0].is_closed_by_client.wait()
        assert server.connections == 0


async def test_certificate_is_verified_in_the_tunnel(server_tls: ssl.SSLContext, open_client: Open) -> None:
    async with Server(server_tls) as server, Server(None, [tunnel()]) as proxy:
        async with open_client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
            with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
                await client.get(f"https://other.test:{server.port}/")
        assert server.requests == []


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_tunnel_leads_to_the_given_address(server_tls: ssl.SSLContext, open_client: Open, scheme: str) -> None:
    tls = server_tls if scheme == "https" else None
    async with Server(tls) as server, Server(None, [tunnel()]) as proxy:
        async with open_client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
            response = await client.get(f"{scheme}://{HOST}:{server.port}/", extensions={CONNECT_TO: "127.0.0.1"})
            assert response.content == b"ok"

        assert proxy.requests[0].startswith(b"CONNECT 127.0.0.1:%d HTTP/1.1\r\n" % server.port)


@pytest.mark.parametrize("url", ["socks5://127.0.0.1", "socks9://127.0.0.1", "ftp://127.0.0.1", "127.0.0.1:3128"])
async def test_proxy_of_another_kind_is_a_configuration_error(url: str, trust: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match=r"proxy|Proxy|scheme"):
        Transport(tls=trust, proxy=url)


async def test_plain_proxy_response_is_a_response(open_client: Open) -> None:
    refused = b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n"
    async with Server(None, [respond(refused)]) as proxy, open_client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
        assert (await client.get("http://service.test/")).status_code == 407
