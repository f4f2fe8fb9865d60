"""Requests that two parsers could read in two ways, over a socket: nothing that follows is taken for a request.

`tests/core/http/test_framing.py` has the rules of the application; here the server's parser is before it.
"""

import secrets

import pytest

from auth1.core.http.request import MAX_HEADER_BYTES
from tests.support.process import Auth1, until
from tests.support.raw_http import RawHttp, head

REQUEST = "/api/auth/request"
LIVE = head("GET", "/health/live")
INNER = head("GET", "/health/live")
CHUNKED_INNER = b"0\r\n\r\n" + INNER


def framed(*lines: str, body: bytes = b"", method: str = "POST") -> bytes:
    """Return a request with these lines of framing."""
    start = [f"{method} {REQUEST} HTTP/1.1", "Host: localhost", "Content-Type: application/json", *lines]
    return "\r\n".join(start).encode() + b"\r\n\r\n" + body


AMBIGUOUS = {
    "length and chunks": framed("Content-Length: 4", "Transfer-Encoding: chunked", body=CHUNKED_INNER),
    "chunks and length": framed(
        "Transfer-Encoding: chunked", f"Content-Length: {len(CHUNKED_INNER)}", body=CHUNKED_INNER
    ),
    "two lengths": framed("Content-Length: 0", f"Content-Length: {len(INNER)}", body=INNER),
    "two lengths in a list": framed(f"Content-Length: 0, {len(INNER)}", body=INNER),
    "chunks twice": framed("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=CHUNKED_INNER),
    "chunks after an identity": framed("Transfer-Encoding: identity, chunked", body=CHUNKED_INNER),
    "chunks before gzip": framed("Transfer-Encoding: chunked, gzip", body=CHUNKED_INNER),
    "unknown coding": framed("Transfer-Encoding: xchunked", body=CHUNKED_INNER),
    "coding with a tab": framed("Transfer-Encoding:\tchunked", "Content-Length: 4", body=CHUNKED_INNER),
    "name with a space": framed("Transfer-Encoding : chunked", "Content-Length: 4", body=CHUNKED_INNER),
    "folded line": framed("Content-Length: 4", "X-One: 1", " Transfer-Encoding: chunked", body=CHUNKED_INNER),
    "signed length": framed(f"Content-Length: +{len(INNER)}", body=INNER),
    "negative length": framed("Content-Length: -1", body=INNER),
    "length beyond 64 bits": framed("Content-Length: 18446744073709551617", body=INNER),
    "size of a chunk beyond 64 bits": framed(
        "Transfer-Encoding: chunked", body=b"10000000000000001\r\n0\r\n\r\n" + INNER
    ),
    "size of a chunk with a sign": framed("Transfer-Encoding: chunked", body=b"+0\r\n\r\n" + INNER),
}


@pytest.mark.parametrize("request_bytes", AMBIGUOUS.values(), ids=AMBIGUOUS)
async def test_ambiguous_request_is_rejected_and_nothing_after_it_is_served(
    server: Auth1, request_bytes: bytes
) -> None:
    """One answer that rejects it, or none; then the connection is closed."""
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(request_bytes)
        await raw_http.send(LIVE)
        answer = await raw_http.answer()
        after = await raw_http.answer() if answer is not None else None

    assert answer is None or 400 <= answer.status < 500
    assert after is None


@pytest.mark.parametrize(
    "target",
    ["/health%2Flive", "/%68ealth/live", "/health/../health/live", "//health/live", "/health/live%00", "/health/live/"],
)
async def test_path_in_another_spelling_is_not_found(server: Auth1, target: str) -> None:
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        answer = await raw_http.answer()
        assert answer is not None
        assert (answer.status, answer.json["code"]) == (404, "not_found")
        await raw_http.send(LIVE)
        after = await raw_http.answer()

    assert after is None or after.status == 200, "closed, or in step"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW"])
async def test_unsupported_method_does_not_echo_the_request(server: Auth1, method: str) -> None:
    secret = secrets.token_hex(16)
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(head(method, REQUEST, x_secret=secret))
        answer = await raw_http.answer()
        assert answer is None or 400 <= answer.status < 500
        assert answer is None or secret.encode() not in answer.body
        await raw_http.send(LIVE)
        after = await raw_http.answer()

    assert after is None or after.status == 200, "closed, or in step"


async def test_headers_beyond_the_buffer_do_not_reach_the_application(server: Auth1) -> None:
    """The application has its own limit, whose answers are explained; the server's bounds the memory."""
    answers = {}
    for size in (MAX_HEADER_BYTES + 1, 64 * 1024):
        request_id = secrets.token_hex(16)
        async with RawHttp(server.port) as raw_http:
            await raw_http.send(head("GET", "/health/live", x_request_id=request_id, x_padding="x" * size))
            answers[request_id] = await raw_http.answer()
    small, large = answers
    async with RawHttp(server.port) as raw_http:  # its line follows theirs
        await raw_http.send(head("GET", "/nowhere", x_request_id=(last := secrets.token_hex(16))))
        await raw_http.answer()
    await until(lambda: last in logged(server), explain=server.text)

    explained, unexplained = answers[small], answers[large]
    assert explained is not None
    assert (explained.status, explained.json["code"]) == (400, "bad_request")
    assert unexplained is None or (400 <= unexplained.status < 500 and unexplained.body == b"")
    assert small in logged(server)
    assert large not in logged(server)


def logged(server: Auth1) -> set[str]:
    """Return the ids of the requests that the application has answered."""
    return {line["request_id"] for line in server.lines("request")}


async def test_http_2_preface_gets_no_http_2(server: Auth1) -> None:
    settings_frame = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings_frame)
        raw_http.end_input()
        answered = await raw_http.rest()

    assert answered == b"" or answered.startswith(b"HTTP/1."), answered
    assert b" 200 " not in answered


async def test_upgrade_to_http_2_is_ignored(server: Auth1) -> None:
    async with RawHttp(server.port) as raw_http:
        named = "Upgrade, HTTP2-Settings"
        await raw_http.send(
            head("GET", "/health/live", connection=named, upgrade="h2c", http2_settings="AAMAAABkAAQAAP__")
        )
        answer = await raw_http.answer()

    assert answer is not None
    assert answer.status == 200
