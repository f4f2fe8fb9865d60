"""Calls of untrusted URLs: the address that was checked, no redirects, and bounds on time and size."""

import asyncio
import gzip
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

from auth1.core.outbound import resolver
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.guarded import Answer, GuardedClient
from tests.core.outbound.conftest import HOST
from tests.core.outbound.server import Behaviour, Peer, Server, respond, serve
from tests.support.certificates import make_certificate

pytestmark = pytest.mark.asyncio(loop_scope="function")

LOOPBACK = (ipaddress.ip_network("127.0.0.1/32"),)
BODY = b'{"type":"webhook.test"}'
HEADERS = {"content-type": "application/json"}
PATIENCE_S = 60.0


def answer_in_turn(*texts: str) -> Callable[[str, int], Awaitable[list[str]]]:
    """Return a resolver that gives each text's addresses in turn, and the last one for ever."""
    remaining = list(texts)

    async def resolve(host: str, port: int) -> list[str]:
        return (remaining.pop(0) if len(remaining) > 1 else remaining[0]).split()

    return resolve


async def post(
    url: str, *texts: str, tls: ssl.SSLContext | None = None, timeout_s: float = PATIENCE_S, keep_bytes: int = 1024
) -> Answer:
    client = GuardedClient(Guard(LOOPBACK, resolve=answer_in_turn(*texts or ("127.0.0.1",))), max_calls=2, tls=tls)
    try:
        return await client.post(url, BODY, HEADERS, timeout_s=timeout_s, keep_bytes=keep_bytes)
    finally:
        await client.close()


async def test_request_contains_body_headers_and_host(server_tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async with Server(server_tls) as server:
        answer = await post(f"https://{HOST}:{server.port}/hook?a=1", tls=trust)

        assert (answer.status, answer.error, answer.body, answer.is_success) == (200, None, b"ok", True)
        [head] = server.requests
        lines = head.decode().lower().split("\r\n")
        assert lines[0] == "post /hook?a=1 http/1.1"
        assert f"host: {HOST}:{server.port}" in lines
        assert f"content-length: {len(BODY)}" in lines
        assert "content-type: application/json" in lines
        assert not [line for line in lines if line.startswith(("cookie", "accept-encoding", "proxy"))]


async def test_certificate_of_another_name_is_a_tls_error(server_tls: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async with Server(server_tls) as server:
        assert (await post(f"https://other.test:{server.port}/", tls=trust)).error == "tls"
        assert server.requests == []


async def test_untrusted_certificate_and_plain_server_are_tls_errors(server_tls: ssl.SSLContext) -> None:
    async with Server(server_tls) as server:
        assert (await post(f"https://{HOST}:{server.port}/")).error == "tls"

    async def greet(peer: Peer) -> None:
        await peer.send(b"220 mail.test\r\n")
        await peer.wait_closed_by_client()

    async with Server(None, [greet]) as server:
        assert (await post(f"https://{HOST}:{server.port}/")).error == "tls"


@pytest.mark.parametrize("addresses", ["10.0.0.1", "169.254.169.254", "127.0.0.1 10.0.0.1", "::1", "127.0.0.2"])
async def test_address_that_is_not_allowed_gets_no_connection(addresses: str) -> None:
    async with Server() as canary:
        answer = await post(f"http://name.test:{canary.port}/", addresses)

        assert (answer.status, answer.error, answer.body) == (None, "address_not_allowed", b"")
        assert canary.connections == 0


async def test_name_that_changes_between_calls_reaches_no_canary() -> None:
    """The first call connects to the address of its check; the next one checks anew, kept connections or not."""
    async with Server() as server:
        guard = Guard(LOOPBACK, resolve=answer_in_turn("127.0.0.1", "127.0.0.2"))
        client = GuardedClient(guard, max_calls=2)
        url = f"http://name.test:{server.port}/"

        first = await client.post(url, BODY, HEADERS, timeout_s=PATIENCE_S)
        second = await client.post(url, BODY, HEADERS, timeout_s=PATIENCE_S)
        await client.close()

        assert (first.status, second.error) == (200, "address_not_allowed")
        assert len(server.requests) == 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["{canary}", "/relative", "//169.254.169.254/latest/", "http://169.254.169.254/"])
async def test_redirect_is_not_followed(status: int, location: str) -> None:
    async with Server() as canary:
        target = location.format(canary=canary.url).encode()
        redirect = b"HTTP/1.1 %d X\r\nlocation: %b\r\ncontent-length: 0\r\n\r\n" % (status, target)
        async with Server(None, [respond(redirect)]) as server:
            answer = await post(server.url)

            assert (answer.status, answer.error, answer.is_success) == (status, None, False)
            assert (canary.connections, server.connections) == (0, 1)


async def test_proxy_variables_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with Server() as proxy, Server() as server:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)

        assert (await post(server.url)).status == 200
        assert proxy.connections == 0


async def test_cookie_and_compressed_body_are_left_alone() -> None:
    packed = gzip.compress(b"x" * 100_000)
    first = b"HTTP/1.1 200 OK\r\nset-cookie: a=b\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed)

    async def behave(peer: Peer) -> None:
        await peer.read()
        await peer.send(first + packed)
        await serve(peer)

    async with Server(None, [behave]) as server:
        client = GuardedClient(Guard(LOOPBACK), max_calls=1)
        answer = await client.post(server.url, BODY, HEADERS, timeout_s=PATIENCE_S)
        await client.post(server.url, BODY, HEADERS, timeout_s=PATIENCE_S)
        await client.close()

        assert answer.body == packed
        assert b"cookie" not in server.requests[1].lower()


def flood(head: bytes, *, chunk: bytes = b"x" * 65536) -> Behaviour:
    """Answer with ten megabytes."""

    async def behave(peer: Peer) -> None:
        await peer.read()
        await peer.send(head)
        for _ in range(160):
            await peer.send(chunk)
        await peer.wait_closed_by_client()

    return behave


@pytest.mark.parametrize("keep_bytes", [1024, 4096])
@pytest.mark.parametrize(
    "behaviour",
    [
        flood(b"HTTP/1.1 201 X\r\ncontent-length: 10485760\r\n\r\n"),
        flood(b"HTTP/1.1 201 X\r\n\r\n"),
        flood(b"HTTP/1.1 201 X\r\ntransfer-encoding: chunked\r\n\r\n", chunk=b"10000\r\n" + b"x" * 65536 + b"\r\n"),
        flood(b"HTTP/1.1 201 X\r\ntransfer-encoding: chunked\r\n\r\na00000\r\n"),  # one chunk of all
    ],
)
async def test_large_answer_is_cut_off(behaviour: Behaviour, keep_bytes: int) -> None:
    async with Server(None, [behaviour]) as server:
        answer = await post(server.url, keep_bytes=keep_bytes)

        assert (answer.status, answer.error, answer.is_truncated) == (201, None, True)
        assert answer.body == b"x" * keep_bytes
        async with asyncio.timeout(PATIENCE_S):
            await server.peers[0].is_closed_by_client.wait()


async def test_connection_of_a_cut_off_answer_is_not_used_again() -> None:
    large = b"HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n" + b"x" * 70_000
    async with Server(None, [respond(large)]) as server:
        client = GuardedClient(Guard(LOOPBACK), max_calls=1)
        for _ in range(2):
            assert (await client.post(server.url, BODY, HEADERS, timeout_s=PATIENCE_S)).status == 200
        await client.close()

        assert server.connections == 2


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 17_000,
        b"HTTP/1.1 200 OK\r\n" + b"x: a\r\n" * 200 + b"\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"HTTP/1.1 101 X\r\nupgrade: websocket\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    ],
)
async def test_invalid_answer_is_a_bad_answer(data: bytes) -> None:
    async with Server(None, [respond(data)]) as server:
        answer = await post(server.url)

        assert (answer.status, answer.error) == (None, "bad_answer")


@pytest.mark.parametrize("end", ["close", "reset"])
@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab"])
async def test_closed_connection_is_a_connection_error(end: str, sent: bytes) -> None:
    async def behave(peer: Peer) -> None:
        await peer.read()
        await peer.send(sent)
        await getattr(peer, end)()

    async with Server(None, [behave]) as server:
        assert (await post(server.url)).error == "connection"


async def test_port_without_listener_is_a_connection_error() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        assert (await post(f"http://127.0.0.1:{unused.getsockname()[1]}/")).error == "connection"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n"])
async def test_trickling_answer_ends_at_the_deadline(head: bytes) -> None:
    async def trickle(peer: Peer) -> None:
        await peer.read()
        await peer.send(head)
        while True:
            await peer.send(b"x" if b"\r\n\r\n" in head else b"")
            await asyncio.sleep(0.02)

    async with Server(None, [trickle]) as server:
        answer = await post(server.url, timeout_s=0.2)

        assert answer.error == "timeout"
        assert answer.ms >= 190


async def test_host_that_is_not_found_is_a_dns_error() -> None:
    async def fail(host: str, port: int) -> list[str]:
        raise socket.gaierror

    client = GuardedClient(Guard(resolve=fail), max_calls=1)
    answer = await client.post("https://name.test/", BODY, HEADERS, timeout_s=PATIENCE_S)

    assert answer.error == "dns"


async def test_lookup_that_hangs_ends_at_the_deadline() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    client = GuardedClient(Guard(resolve=hang), max_calls=1)
    answer = await client.post("https://name.test/", BODY, HEADERS, timeout_s=0.05)

    assert answer.error == "dns"


async def test_next_checked_address_is_tried_when_the_first_does_not_listen() -> None:
    network = (ipaddress.ip_network("127.0.0.0/30"),)
    async with Server() as server:
        client = GuardedClient(Guard(network, resolve=answer_in_turn("127.0.0.2 127.0.0.1")), max_calls=1)
        answer = await client.post(f"http://name.test:{server.port}/", BODY, HEADERS, timeout_s=PATIENCE_S)
        await client.close()

        assert answer.status == 200


async def test_calls_at_once_are_bounded() -> None:
    async def hang(peer: Peer) -> None:
        await peer.wait_closed_by_client()

    async with Server(None, [hang]) as server:
        client = GuardedClient(Guard(LOOPBACK), max_calls=1)
        first = asyncio.create_task(client.post(server.url, BODY, HEADERS, timeout_s=PATIENCE_S))
        while not server.connections:  # noqa: ASYNC110  # the state of a server
            await asyncio.sleep(0.01)
        second = await client.post(server.url, BODY, HEADERS, timeout_s=PATIENCE_S)
        first.cancel()
        await client.close()

        assert second.error == "connection"


async def test_retry_after_is_returned() -> None:
    data = b"HTTP/1.1 429 X\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n"
    async with Server(None, [respond(data)]) as server:
        answer = await post(server.url)

        assert (answer.status, answer.retry_after) == (429, "120")


async def test_resolver_finds_a_name_and_reports_an_unknown_one() -> None:
    assert "127.0.0.1" in await resolver.resolve("localhost", 443)
    with pytest.raises(OSError, match=r"."):
        await resolver.resolve("name.invalid", 443)
    with pytest.raises(OSError, match=r"."):
        await resolver.resolve("a" * 64 + ".test", 443)


async def test_lookups_at_once_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolver, "MAX_LOOKUPS", 0)

    with pytest.raises(OSError, match="Too many"):
        await resolver.resolve("localhost", 443)


async def test_certificate_of_an_unknown_authority_is_a_tls_error(
    trust: ssl.SSLContext, tmp_path_factory: pytest.TempPathFactory
) -> None:
    file = tmp_path_factory.mktemp("other") / "server.pem"
    file.write_bytes(make_certificate("127.0.0.1", HOST))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    async with Server(context) as server:
        assert (await post(f"https://{HOST}:{server.port}/", tls=trust)).error == "tls"
