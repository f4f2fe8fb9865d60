"""Requests as bytes: no header injection, one length, nothing sent when invalid."""

from collections.abc import AsyncIterator

import httpx
import pytest

from auth1.core.outbound import NOT_SENT
from auth1.core.outbound.http1 import serialize
from tests.core.outbound.conftest import Open
from tests.core.outbound.server import Server


async def test_request_is_written_as_http_1_1() -> None:
    request = httpx.Request("POST", "https://example.com/a b?c=d&e", headers={"X-Name": "value"}, content=b"body")

    assert serialize(request) == (
        b"POST /a%20b?c=d&e HTTP/1.1\r\nHost: example.com\r\nX-Name: value\r\nContent-Length: 4\r\n\r\nbody"
    )


@pytest.mark.parametrize(
    "headers",
    [
        [(b"a", b"b\r\nc: d")],
        [(b"a", b"b\nc: d")],
        [(b"a", b"b\rc: d")],
        [(b"a", b"b\0")],
        [(b"a\r\nb", b"c")],
        [(b"a: b", b"c")],
        [(b"", b"c")],
        [(b"a ", b"c")],
        [(b"host", b"one"), (b"host", b"two")],
        [(b"transfer-encoding", b"chunked")],
        [(b"upgrade", b"websocket")],
        [(b"content-length", b"5")],
        [(b"content-length", b"4"), (b"content-length", b"4")],
    ],
)
async def test_request_with_forbidden_headers_is_not_sent(
    open_client: Open, headers: list[tuple[bytes, bytes]]
) -> None:
    async with Server() as server, open_client() as client:
        with pytest.raises(httpx.LocalProtocolError) as caught:
            await client.post(server.url, headers=headers, content=b"body")

        assert isinstance(caught.value, NOT_SENT)
        assert server.connections == 0


@pytest.mark.parametrize("method", ["CONNECT", "GET /\r\n", "get x", ""])
async def test_request_with_a_forbidden_method_is_not_sent(open_client: Open, method: str) -> None:
    async with Server() as server, open_client() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.request(method, server.url)

        assert server.connections == 0


async def test_streamed_request_body_is_rejected(open_client: Open) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"a"

    async with Server() as server, open_client() as client:
        with pytest.raises(httpx.LocalProtocolError):
            await client.post(server.url, content=pieces())

        assert server.connections == 0


@pytest.mark.parametrize("url", ["ftp://127.0.0.1:{port}/", "ws://127.0.0.1:{port}/"])
async def test_other_schemes_are_not_supported(open_client: Open, url: str) -> None:
    async with Server() as server, open_client() as client:
        with pytest.raises(httpx.UnsupportedProtocol):
            await client.get(url.format(port=server.port))

        assert server.connections == 0
