"""Kept connections: reuse, ends of every kind, and requests that are never sent twice."""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from auth1.core.outbound import NOT_SENT, Transport
from tests.core.outbound.conftest import Open, Start
from tests.core.outbound.server import OK, Behaviour, Peer, Server, respond, serve, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="function")

POISON = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\npoison"


async def test_connection_is_reused(start_server: Start, open_client: Open) -> None:
    async with start_server() as server, open_client() as client:
        for number in range(5):
            response = await client.post(server.url, content=b"x" * number)
            assert (response.status_code, response.content) == (200, b"ok")

        assert server.connections == 1
        assert len(server.requests) == 5


async def test_most_recently_used_connection_is_taken_first(start_server: Start, open_client: Open) -> None:
    used: list[Peer] = []

    async def record(peer: Peer) -> None:
        while True:
            await peer.read()
            used.append(peer)
            await asyncio.sleep(0.05)
            await peer.send(OK)

    async with start_server(*[record] * 3) as server, open_client() as client:
        await asyncio.gather(*(client.get(server.url) for _ in range(3)))
        for _ in range(6):
            await client.get(server.url)

        assert server.connections == 3
        assert len(set(used[3:])) == 1


@pytest.mark.parametrize("end", [Peer.close, Peer.truncate, Peer.reset])
async def test_connection_that_ends_while_idle_is_replaced(
    start_server: Start, open_client: Open, end: Callable[[Peer], Awaitable[None]]
) -> None:
    async def answer_and_end(peer: Peer) -> None:
        await peer.read()
        await peer.send(OK)
        await asyncio.sleep(0.05)
        await end(peer)

    async with start_server(answer_and_end) as server, open_client() as client:
        await client.get(server.url)
        await wait_for(server.peers[0].writer.transport.is_closing)
        await asyncio.sleep(0.05)

        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


async def test_end_that_the_event_loop_has_not_seen_is_noticed(open_client: Open) -> None:
    """The peer closes while the event loop is busy: no callback has run when the next request begins."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    end, ended = threading.Event(), threading.Event()

    def answer_twice() -> None:
        for _ in range(2):
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(OK)
                end.wait(30)
            ended.set()

    thread = threading.Thread(target=answer_twice, daemon=True)
    thread.start()
    async with open_client() as client:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        await client.get(url)
        end.set()
        assert ended.wait(30)
        time.sleep(0.05)  # noqa: ASYNC251  # the busy loop

        assert (await client.get(url)).content == b"ok"
    thread.join(30)
    listener.close()


@pytest.mark.parametrize("end", [Peer.close, Peer.truncate, Peer.reset])
async def test_connection_lost_after_the_request_is_possibly_sent(
    start_server: Start, open_client: Open, end: Callable[[Peer], Awaitable[None]]
) -> None:
    async def read_and_end(peer: Peer) -> None:
        await peer.read()
        await end(peer)

    async with start_server(read_and_end) as server, open_client() as client:
        with pytest.raises(httpx.ReadError, match="possibly sent") as caught:
            await client.post(server.url, content=b"one message")

        assert not isinstance(caught.value, NOT_SENT)
        assert len(server.requests) == 1
        assert (await client.get(server.url)).content == b"ok"


async def test_request_on_a_reused_connection_is_not_repeated(start_server: Start, open_client: Open) -> None:
    async def answer_once(peer: Peer) -> None:
        await peer.read()
        await peer.send(OK)
        await peer.read()
        await peer.close()

    async with start_server(answer_once) as server, open_client() as client:
        await client.get(server.url)
        with pytest.raises(httpx.ReadError, match="possibly sent"):
            await client.post(server.url, content=b"one message")
        await asyncio.sleep(0.1)

        assert [head.split()[0] for head in server.requests] == [b"GET", b"POST"]


async def test_half_closed_connection_is_not_reused(open_client: Open) -> None:
    async def answer_and_half_close(peer: Peer) -> None:
        await peer.read()
        await peer.send(OK)
        peer.writer.write_eof()
        await peer.wait_closed_by_client()

    async with Server(None, [answer_and_half_close]) as server, open_client() as client:
        await client.get(server.url)
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


async def test_half_close_without_a_response_fails_at_once(open_client: Open) -> None:
    async def half_close(peer: Peer) -> None:
        await peer.read()
        peer.writer.write_eof()
        await peer.wait_closed_by_client()

    async with Server(None, [half_close]) as server, open_client(timeout=60) as client:
        async with asyncio.timeout(300):
            with pytest.raises(httpx.ReadError, match="possibly sent"):
                await client.get(server.url)


async def test_early_response_ends_the_connection(start_server: Start, open_client: Open) -> None:
    async def answer_early(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\nno")
        await asyncio.sleep(60)

    async with start_server(answer_early) as server, open_client() as client:
        response = await client.post(server.url, content=b"x" * 16_000_000)

        assert (response.status_code, response.content) == (413, b"no")
        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


@pytest.mark.parametrize("pieces", [[OK + POISON], [OK, POISON], [OK + b"\r\n"], [OK, b"\0"]])
async def test_bytes_beyond_a_response_do_not_reach_the_next_one(
    start_server: Start, open_client: Open, pieces: list[bytes]
) -> None:
    async with start_server(respond(*pieces)) as server, open_client() as client:
        assert (await client.get(server.url)).content == b"ok"
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 2


async def test_connection_close_in_the_response_is_obeyed(start_server: Start, open_client: Open) -> None:
    closing = respond(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok")
    async with start_server(closing) as server, open_client() as client:
        await client.get(server.url)
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()


async def test_interim_responses_are_skipped(start_server: Start, open_client: Open) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    async with start_server(respond(interim, interim + OK)) as server, open_client() as client:
        response = await client.post(server.url, content=b"x")

        assert (response.status_code, response.content) == (200, b"ok")


@pytest.mark.parametrize(
    "data",
    [
        b"SMTP ready\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nx\r\n",
        b"HTTP/1.1 200 OK\r\na: " + b"b" * 20_000,
    ],
)
async def test_invalid_response_ends_the_connection(start_server: Start, open_client: Open, data: bytes) -> None:
    async with start_server(respond(data)) as server, open_client() as client:
        with pytest.raises(httpx.RemoteProtocolError, match="possibly sent"):
            await client.get(server.url)
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"


async def test_response_in_single_bytes_is_complete(start_server: Start, open_client: Open) -> None:
    async def drip(peer: Peer) -> None:
        await peer.read()
        for byte in b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        await serve(peer)

    async with start_server(drip) as server, open_client() as client:
        assert (await client.get(server.url)).content == b"ok"
        assert (await client.get(server.url)).content == b"ok"
        assert server.connections == 1


UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nwhole"
WITH_LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nwhole"


def write_and(data: bytes, end: Callable[[Peer], Awaitable[None]]) -> Behaviour:
    async def behave(peer: Peer) -> None:
        await peer.read()
        await peer.send(data)
        await end(peer)

    return behave


@pytest.mark.parametrize("end", [Peer.close, Peer.truncate])
async def test_response_with_a_length_needs_no_close_notify(
    server_tls: ssl.SSLContext, open_client: Open, end: Callable[[Peer], Awaitable[None]]
) -> None:
    async with Server(server_tls, [write_and(WITH_LENGTH, end)]) as server, open_client() as client:
        assert (await client.get(server.url)).content == b"whole"


async def test_body_until_close_is_complete_with_close_notify(start_server: Start, open_client: Open) -> None:
    async with start_server(write_and(UNTIL_CLOSE, Peer.close)) as server, open_client() as client:
        assert (await client.get(server.url)).content == b"whole"
        assert (await client.get(server.url)).content == b"ok"


async def test_body_until_close_is_truncated_without_close_notify(
    server_tls: ssl.SSLContext, open_client: Open
) -> None:
    async with Server(server_tls, [write_and(UNTIL_CLOSE, Peer.truncate)]) as server, open_client() as client:
        with pytest.raises(httpx.ReadError, match="possibly sent"):
            await client.get(server.url)


async def test_body_until_close_is_truncated_by_a_reset(open_client: Open) -> None:
    async with Server(None, [write_and(UNTIL_CLOSE, Peer.reset)]) as server, open_client() as client:
        with pytest.raises(httpx.ReadError, match="possibly sent"):
            await client.get(server.url)


@pytest.mark.parametrize("end", [Peer.close, Peer.truncate])
async def test_end_inside_a_body_with_a_length_is_an_error(
    start_server: Start, open_client: Open, end: Callable[[Peer], Awaitable[None]]
) -> None:
    async with start_server(write_and(WITH_LENGTH[:-1], end)) as server, open_client() as client:
        with pytest.raises(httpx.ReadError, match="possibly sent"):
            await client.get(server.url)


async def test_idle_connection_is_closed_after_its_time(start_server: Start, open_client: Open) -> None:
    async def answer_and_wait(peer: Peer) -> None:
        await peer.read()
        await peer.send(OK)
        await peer.wait_closed_by_client()

    behaviours = [answer_and_wait, answer_and_wait]
    async with start_server(*behaviours) as server, open_client(keep_alive_s=0.1) as client:
        await asyncio.gather(client.get(server.url), client.get(server.url))
        for peer in server.peers:
            async with asyncio.timeout(300):
                await peer.is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"


async def test_closed_transport_ends_idle_and_active_connections(start_server: Start, trust: ssl.SSLContext) -> None:
    async def hang(peer: Peer) -> None:
        await peer.read()
        await peer.wait_closed_by_client()

    transport = Transport(tls=trust)
    async with start_server(hang) as server, httpx.AsyncClient(transport=transport, trust_env=False) as client:
        active = asyncio.create_task(client.get(server.url))
        await wait_for(lambda: len(server.requests) == 1)
        await client.get(server.url)
        assert server.connections == 2

        await transport.aclose()

        with pytest.raises(httpx.ReadError, match="possibly sent"):
            await active
        with pytest.raises(httpx.ConnectError, match="not sent"):
            await client.get(server.url)
        for peer in server.peers:
            async with asyncio.timeout(300):
                await peer.is_closed_by_client.wait()
