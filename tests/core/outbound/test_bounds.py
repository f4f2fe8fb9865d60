"""Bounds: one deadline, sizes, requests at once, waiting requests; cancellation leaves nothing behind."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from auth1.core.outbound import NOT_SENT, ResponseTooLarge
from tests.core.outbound.conftest import Open, Start
from tests.core.outbound.server import OK, Peer, Server, respond, wait_for

pytestmark = pytest.mark.asyncio(loop_scope="function")


def trickle(beginning: bytes, piece: bytes) -> Callable[[Peer], object]:
    """Answer one request; then send a piece again and again, faster than any timeout between two reads."""

    async def behave(peer: Peer) -> None:
        await peer.read()
        await peer.send(OK)
        await peer.read()
        await peer.send(beginning)
        closed = asyncio.create_task(peer.wait_closed_by_client())
        while not closed.done():
            await peer.send(piece)
            await asyncio.sleep(0.02)

    return behave


@pytest.mark.parametrize(
    ("beginning", "piece"),
    [
        (b"", b""),
        (b"HTTP/1.1 200 OK\r\n", b"a: b\r\n"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", b""),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n", b"a"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"a"),
    ],
)
async def test_slow_response_ends_at_the_deadline(
    start_server: Start, open_client: Open, beginning: bytes, piece: bytes
) -> None:
    async with start_server(trickle(beginning, piece)) as server, open_client() as client:
        await client.get(server.url)
        async with asyncio.timeout(300):
            with pytest.raises(httpx.ReadTimeout, match="possibly sent"):
                await client.get(server.url, timeout=0.3)
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"


async def test_deadline_includes_the_time_to_connect_and_to_wait(start_server: Start, open_client: Open) -> None:
    async def answer_late(peer: Peer) -> None:
        await peer.read()
        await asyncio.sleep(0.4)
        await peer.send(OK)
        await asyncio.sleep(60)

    timeout = httpx.Timeout(0.6, pool=30)
    async with start_server(answer_late, answer_late) as server, open_client(timeout, max_connections=1) as client:
        loop = asyncio.get_running_loop()
        started = loop.time()
        outcomes = await asyncio.gather(*(client.get(server.url) for _ in range(2)), return_exceptions=True)

        assert loop.time() - started < 20
        assert sum(isinstance(outcome, httpx.TimeoutException) for outcome in outcomes) >= 1


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 507 X\r\ncontent-length: 2001\r\n\r\n",
        b"HTTP/1.1 507 X\r\ntransfer-encoding: chunked\r\n\r\n" + b"3e8\r\n" + b"a" * 1000 + b"\r\n3e9\r\n",
        b"HTTP/1.1 507 X\r\n\r\n" + b"a" * 2001,
    ],
)
async def test_too_large_body_is_an_error_with_its_status(start_server: Start, open_client: Open, data: bytes) -> None:
    async with start_server(respond(data)) as server, open_client(max_body_bytes=2000) as client:
        with pytest.raises(ResponseTooLarge, match="possibly sent") as caught:
            await client.get(server.url)

        assert caught.value.status_code == 507
        async with asyncio.timeout(300):
            await server.peers[0].is_closed_by_client.wait()


async def test_requests_and_connections_at_once_are_bounded(start_server: Start, open_client: Open) -> None:
    at_once, most = 0, 0

    async def count(peer: Peer) -> None:
        nonlocal at_once, most
        while True:
            await peer.read()
            at_once += 1
            most = max(most, at_once)
            await asyncio.sleep(0.02)
            at_once -= 1
            await peer.send(OK)

    async with start_server(*[count] * 12) as server, open_client(max_connections=3) as client:
        responses = await asyncio.gather(*(client.get(server.url) for _ in range(12)))

        assert {response.status_code for response in responses} == {200}
        assert most == 3
        assert server.connections == 3


async def hang(peer: Peer) -> None:
    await peer.read()
    await peer.wait_closed_by_client()


async def test_request_that_waits_too_long_is_not_sent(start_server: Start, open_client: Open) -> None:
    timeout = httpx.Timeout(30, pool=0.1)
    async with start_server(hang) as server, open_client(timeout, max_connections=1) as client:
        first = asyncio.create_task(client.get(server.url))
        await wait_for(lambda: len(server.requests) == 1)

        with pytest.raises(httpx.PoolTimeout, match="not sent"):
            await client.get(server.url)

        assert len(server.requests) == 1
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        assert (await client.get(server.url)).content == b"ok"


async def test_too_many_waiting_requests_are_rejected_at_once(start_server: Start, open_client: Open) -> None:
    async with start_server(hang) as server, open_client(60, max_connections=1, max_waiting=2) as client:
        tasks = [asyncio.create_task(client.get(server.url)) for _ in range(3)]
        await wait_for(lambda: len(server.requests) == 1)

        async with asyncio.timeout(300):
            with pytest.raises(httpx.PoolTimeout, match="not sent"):
                await client.get(server.url)

        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_waiting_requests_proceed_in_order(start_server: Start, open_client: Open) -> None:
    async with start_server() as server, open_client(max_connections=1) as client:
        await asyncio.gather(*(client.get(f"{server.url}{number}") for number in range(6)))

        assert [head.split()[1] for head in server.requests] == [b"/%d" % number for number in range(6)]


@pytest.mark.parametrize("data", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n"])
async def test_failed_requests_release_their_slots(start_server: Start, open_client: Open, data: bytes) -> None:
    async with start_server(*[respond(data)] * 3) as server, open_client(10, max_connections=1) as client:
        for _ in range(3):
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(server.url)

        assert (await client.get(server.url)).content == b"ok"


async def test_cancelled_request_closes_its_connection(start_server: Start, open_client: Open) -> None:
    async with start_server(hang, hang) as server, open_client(max_connections=1) as client:
        for peers in range(2):
            task = asyncio.create_task(client.get(server.url))
            await wait_for(lambda peers=peers: len(server.requests) > peers)  # type: ignore[misc]  # its default
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(300):
                await server.peers[peers].is_closed_by_client.wait()

        assert (await client.get(server.url)).content == b"ok"


async def test_cancelled_handshake_closes_the_connection(open_client: Open) -> None:
    async def never_shake_hands(peer: Peer) -> None:
        await peer.wait_closed_by_client()

    async with Server(None, [never_shake_hands] * 2) as server, open_client(max_connections=1) as client:
        url = server.url.replace("http:", "https:")
        task = asyncio.create_task(client.get(url))
        await wait_for(lambda: server.connections == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(httpx.ConnectTimeout, match="not sent"):
            await client.get(url, timeout=httpx.Timeout(30, connect=0.2))

        for peer in server.peers:
            async with asyncio.timeout(300):
                await peer.is_closed_by_client.wait()


async def test_cancelled_waiting_requests_release_their_slots(start_server: Start, open_client: Open) -> None:
    """Cancel waiting requests at the moment when slots are passed on to them."""
    async with start_server() as server, open_client(10, max_connections=2) as client:
        for delay in range(12):
            tasks = [asyncio.create_task(client.get(server.url)) for _ in range(6)]
            for _ in range(delay):
                await asyncio.sleep(0)
            for task in tasks[1::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        responses = await asyncio.gather(*(client.get(server.url) for _ in range(4)))
        assert {response.content for response in responses} == {b"ok"}


async def test_idle_connection_of_another_server_makes_room(start_server: Start, open_client: Open) -> None:
    async with start_server() as one, start_server() as other, open_client(10, max_connections=1) as client:
        for _ in range(3):
            assert (await client.get(one.url)).content == b"ok"
            assert (await client.get(other.url)).content == b"ok"

        assert (one.connections, other.connections) == (3, 3)
        await wait_for(lambda: all(peer.writer.is_closing() for peer in one.peers))


async def test_timeouts_before_the_request_are_not_sent_errors(start_server: Start, open_client: Open) -> None:
    async with start_server() as server, open_client(max_connections=1) as client:
        with pytest.raises(NOT_SENT):
            await client.get(server.url.replace(str(server.port), "1"))
        assert server.requests == []
