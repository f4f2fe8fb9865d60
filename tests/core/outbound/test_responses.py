"""The parser of responses: exact, bounded, and equal to h11 for whatever it accepts."""

import itertools
from collections.abc import Sequence

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.core.outbound.http1 import (
    MAX_HEAD_BYTES,
    MAX_HEADERS,
    MAX_LINE_BYTES,
    BodyTooLarge,
    InvalidResponse,
    ResponseParser,
)
from tests.support.effort import effort

MAX_BODY = 1000


def parse(*pieces: bytes, method: str = "GET") -> ResponseParser | None:
    """Return the parser after a complete response; None where bytes are missing."""
    parser = ResponseParser(method, MAX_BODY)
    for number, piece in enumerate(pieces, start=1):
        if parser.feed(piece):
            assert number == len(pieces)
            return parser
    return None


def complete(*pieces: bytes, method: str = "GET") -> ResponseParser:
    parser = parse(*pieces, method=method)
    assert parser is not None
    return parser


def test_status_headers_and_body_are_parsed() -> None:
    parser = complete(b"HTTP/1.1 201 Created\r\nA: b\r\na:  c \t\r\nEmpty:\r\nContent-Length: 3\r\n\r\nabc")

    assert parser.status == 201
    assert parser.headers == [(b"A", b"b"), (b"a", b"c"), (b"Empty", b""), (b"Content-Length", b"3")]
    assert bytes(parser.body) == b"abc"
    assert parser.is_reusable


@pytest.mark.parametrize("status", [b"200", b"200 ", b"200 OK", b"200 \xc3\xa9", b"599 x"])
def test_reason_phrase_is_optional(status: bytes) -> None:
    assert complete(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\n\r\n").status in (200, 599)


@pytest.mark.parametrize(
    "data",
    [
        b"SMTP ready\r\n\r\n",
        b"H\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.2 200 OK\r\n\r\n",
        b"HTTP/1.1  200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 600 OK\r\n\r\n",
        b"HTTP/1.1 \xb2\xb0\xb0 OK\r\n\r\n",
        b"HTTP/1.1 200 O\x00K\r\n\r\n",
        b"HTTP/1.1 200 OK\n\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
    ],
)
def test_invalid_status_line_is_rejected(data: bytes) -> None:
    with pytest.raises(InvalidResponse):
        parse(data)


@pytest.mark.parametrize(
    "line",
    [
        b"no colon",
        b": no name",
        b"name : value",
        b"na me: value",
        b"n\xc3\xa9: value",
        b"a: b\r\n folded",
        b"a: b\r\n\tfolded",
        b"a: b\rc: d",
        b"a: b\nc: d",
        b"a: \x00",
        b"a: \x7f",
        b"a: \x0b",
    ],
)
def test_invalid_header_line_is_rejected(line: bytes) -> None:
    with pytest.raises(InvalidResponse, match="header"):
        parse(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n" + line + b"\r\n\r\n")


@pytest.mark.parametrize(
    "lines",
    [
        b"content-length: 1\r\ncontent-length: 2",
        b"content-length: 1\r\nContent-Length: 1",
        b"content-length: 1, 1",
        b"content-length: +1",
        b"content-length: -1",
        b"content-length: 0x1",
        b"content-length: 1_0",
        b"content-length: \xb2",
        b"content-length:",
        b"content-length: " + b"1" * 5000,
        b"content-length: 1\r\ntransfer-encoding: chunked",
        b"transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        b"transfer-encoding: gzip, chunked",
        b"transfer-encoding: chunked, identity",
        b"transfer-encoding: xchunked",
        b"transfer-encoding:",
    ],
)
def test_unclear_body_length_is_rejected(lines: bytes) -> None:
    with pytest.raises(InvalidResponse):
        parse(b"HTTP/1.1 200 OK\r\n" + lines + b"\r\n\r\n0\r\n\r\n")


def test_chunked_response_of_http_1_0_is_rejected() -> None:
    with pytest.raises(InvalidResponse, match="Transfer-Encoding"):
        parse(b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "status"), [("HEAD", b"200"), ("GET", b"204"), ("GET", b"304"), ("POST", b"204"), ("CONNECT", b"200")]
)
def test_response_without_a_body_ends_after_its_headers(method: str, status: bytes) -> None:
    parser = complete(b"HTTP/1.1 " + status + b" X\r\ncontent-length: 5\r\n\r\n", method=method)

    assert bytes(parser.body) == b""
    assert parser.is_reusable


def test_interim_responses_are_skipped() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"

    parser = complete(interim + b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na")

    assert (parser.status, bytes(parser.body)) == (200, b"a")
    assert parser.headers == [(b"content-length", b"1")]


def test_endless_interim_responses_are_rejected() -> None:
    with pytest.raises(InvalidResponse, match="too large"):
        parse(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * MAX_HEAD_BYTES)


def test_header_bytes_are_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\na: "

    assert parse(head + b"a" * (MAX_HEAD_BYTES - len(head)) + b"\r\n\r\n")
    with pytest.raises(InvalidResponse, match="too large"):
        parse(head + b"a" * (MAX_HEAD_BYTES - len(head) + 1) + b"\r\n\r\n")
    with pytest.raises(InvalidResponse, match="too large"):
        parse(head + b"a" * MAX_HEAD_BYTES)


def test_header_count_is_bounded() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n"

    assert parse(head + b"a: b\r\n" * (MAX_HEADERS - 1) + b"\r\n")
    with pytest.raises(InvalidResponse, match="too many"):
        parse(head + b"a: b\r\n" * MAX_HEADERS + b"\r\n")


@pytest.mark.parametrize(
    "pieces",
    [
        [b"content-length: 1000\r\n\r\n", b"a" * 1000],
        [b"content-length: 1000\r\n\r\n", *[b"a"] * 1000],
        [
            b"transfer-encoding: chunked\r\n\r\n",
            b"1f4\r\n" + b"a" * 500 + b"\r\n",
            b"1F4\r\n",
            b"a" * 500,
            b"\r\n0\r\n\r\n",
        ],
    ],
)
def test_body_up_to_the_bound_is_accepted(pieces: list[bytes]) -> None:
    assert bytes(complete(b"HTTP/1.1 200 OK\r\n", *pieces).body) == b"a" * MAX_BODY


@pytest.mark.parametrize(
    "pieces",
    [
        [b"content-length: 1001\r\n\r\n"],
        [b"content-length: 999999999999999\r\n\r\n"],
        [b"transfer-encoding: chunked\r\n\r\n3e9\r\n"],
        [b"transfer-encoding: chunked\r\n\r\n3e8\r\n", b"a" * 1000, b"\r\n1\r\n"],
        [b"transfer-encoding: chunked\r\n\r\nffffffff\r\n"],
        [b"\r\n", b"a" * 1001],
    ],
)
def test_body_over_the_bound_is_rejected_with_its_status(pieces: list[bytes]) -> None:
    with pytest.raises(BodyTooLarge) as caught:
        parse(b"HTTP/1.1 418 X\r\n", *pieces)

    assert caught.value.status == 418


CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def test_chunks_extensions_and_trailers_are_read() -> None:
    parser = complete(CHUNKED + b"3;a=b\r\nabc\r\n2 \r\nde\r\n0;x\r\nTrailer: 1\r\n\r\n")

    assert bytes(parser.body) == b"abcde"
    assert parser.headers == [(b"transfer-encoding", b"chunked")]
    assert parser.is_reusable


@pytest.mark.parametrize(
    "data",
    [
        b"x\r\n",
        b"\r\n",
        b"-1\r\n",
        b"0x1\r\na\r\n",
        b"1\na\r\n",
        b"000000001\r\na\r\n0\r\n\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1;\x00\r\na\r\n",
        b"1;" + b"a" * MAX_LINE_BYTES,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\na: " + b"b" * MAX_HEAD_BYTES,
    ],
)
def test_invalid_chunk_is_rejected(data: bytes) -> None:
    with pytest.raises(InvalidResponse):
        parse(CHUNKED + data)


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
        b"HTTP/1.1 204 OK\r\n\r\nHTTP/1.1 200 OK\r\n",
        CHUNKED + b"0\r\n\r\n\r\n",
    ],
)
def test_bytes_after_the_response_forbid_reuse(data: bytes) -> None:
    parser = complete(data)

    assert parser.has_surplus
    assert not parser.is_reusable
    assert len(parser.body) <= 1


@pytest.mark.parametrize(
    ("head", "is_reusable"),
    [
        (b"HTTP/1.1 200 OK\r\n", True),
        (b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n", True),
        (b"HTTP/1.1 200 OK\r\nConnection: Close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection: x, close\r\n", False),
        (b"HTTP/1.1 200 OK\r\nconnection: x\r\nconnection: close\r\n", False),
        (b"HTTP/1.0 200 OK\r\n", False),
    ],
)
def test_reuse_follows_version_and_connection_header(head: bytes, is_reusable: bool) -> None:
    assert complete(head + b"content-length: 0\r\n\r\n").is_reusable is is_reusable


def test_body_without_a_length_ends_with_the_connection() -> None:
    parser = ResponseParser("GET", MAX_BODY)

    assert not parser.end()
    assert not parser.feed(b"HTTP/1.1 200 OK\r\n\r\nab")
    assert not parser.feed(b"c")
    assert parser.end()
    assert bytes(parser.body) == b"abc"


@pytest.mark.parametrize("data", [b"content-length: 3\r\n\r\nab", b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n"])
def test_end_inside_a_body_with_a_length_is_no_response(data: bytes) -> None:
    parser = ResponseParser("GET", MAX_BODY)

    assert not parser.feed(b"HTTP/1.1 200 OK\r\n" + data)
    assert not parser.end()


LINES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 204\r\n",
        b"content-length: 3\r\n",
        b"Content-Length:0\r\n",
        b"transfer-encoding: chunked\r\n",
        b"Connection: close\r\n",
        b"a: b \r\n",
        b"a:\t\xff\r\n",
        b" folded\r\n",
        b"a b: c\r\n",
        b"\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n",
        b"1;x=y\r\na\r\n",
        b"0\r\n\r\n",
        b"0\r\nt: u\r\n\r\n",
        b"\n",
        b"\r",
        b"\x00",
    ]
)
WELL_FORMED = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\na: b\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n1;x=y\r\na\r\n0\r\nt: u\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404\r\ncontent-length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n",
    ]
)


@st.composite
def responses(draw: st.DrawFn) -> bytes:
    """Return well-formed responses with a changed byte, or pieces of responses in any order."""
    if draw(st.booleans()):
        return b"HTTP/1.1 200 OK\r\n" + b"".join(draw(st.lists(LINES, max_size=8)))
    data = bytearray(draw(WELL_FORMED))
    data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data)


def by_h11(data: bytes, method: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Return the status, headers and body of a response as h11 reads it."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    status, headers, body = 0, [], b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        assert event is not h11.NEED_DATA
        if isinstance(event, h11.Response):
            status, headers = event.status_code, list(event.headers)
        elif isinstance(event, h11.Data):
            body += event.data
    return status, headers, body


def feed_all(parser: ResponseParser, pieces: Sequence[bytes]) -> str:
    try:
        for number, piece in enumerate(pieces):
            if parser.feed(piece):
                return "complete" if number == len(pieces) - 1 else "early"
    except InvalidResponse as error:
        return type(error).__name__
    return "incomplete"


@settings(max_examples=effort(150, 3000), deadline=None, derandomize=True)
@given(responses(), st.sampled_from(["GET", "HEAD"]))
def test_accepted_response_is_equal_in_h11(data: bytes, method: str) -> None:
    parser = ResponseParser(method, MAX_BODY)
    if feed_all(parser, [data]) != "complete":
        return

    headers = [(name.lower(), value) for name, value in parser.headers]
    if headers.count((b"transfer-encoding", b"Chunked")):
        headers = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in headers]
    status, their_headers, body = by_h11(data, method)
    assert (parser.status, headers, bytes(parser.body)) == (status, their_headers, body)


@settings(max_examples=effort(150, 3000), deadline=None, derandomize=True)
@given(responses(), st.lists(st.integers(0, 120), max_size=6))
def test_split_of_the_bytes_does_not_change_the_result(data: bytes, cuts: list[int]) -> None:
    whole, split = ResponseParser("GET", MAX_BODY), ResponseParser("GET", MAX_BODY)
    places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]

    expected = feed_all(whole, [data])
    outcome = feed_all(split, pieces)

    if outcome == "early":  # what follows a complete response is surplus, in one piece or in several
        assert expected == "complete"
        assert whole.has_surplus
    else:
        assert outcome == expected
    if expected == "complete":
        assert (split.status, split.headers, bytes(split.body)) == (whole.status, whole.headers, bytes(whole.body))
