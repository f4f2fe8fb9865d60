"""Messages of HTTP/1.1 as bytes: requests are written, responses are parsed (RFC 9112). Nothing here does I/O.

The parser is strict and keeps within bounds. It replaces h11, which httpcore uses (`python -m bench.outbound --parser`
compares both). h11 is the oracle of its tests: whatever this parser accepts, h11 reads in the same way.

Stricter than the RFC: no folded headers, no bare CR or LF, no repeated Content-Length, and no transfer coding other
than `chunked`.
"""

import re
import sys
from collections.abc import Callable

import httpx

MAX_HEADERS = 100
MAX_HEAD_BYTES = 16 * 1024  # status lines, headers and trailers, those of interim responses included
MAX_LINE_BYTES = 256  # of the size of a chunk with its extensions

Headers = list[tuple[bytes, bytes]]

_METHOD = re.compile(r"[A-Z]{1,20}")
_TARGET = re.compile(rb"[!-~]+")
_HEADER_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+")
_BEGINNING = b"HTTP/1."
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[\t -~\x80-\xff]*)?")


class InvalidResponse(Exception):
    """The bytes are not an HTTP/1.1 response, or exceed a bound."""


class BodyTooLarge(InvalidResponse):
    """The body exceeds the bound. The status is known."""

    def __init__(self, status: int) -> None:
        super().__init__("response body is too large")
        self.status = status


def serialize(request: httpx.Request, *, to_proxy: bool = False, proxy_headers: Headers | None = None) -> bytes:
    """Return the bytes of a request; a plain proxy gets the whole URL. Raises LocalProtocolError: nothing was sent."""
    target = request.url.raw_path
    if to_proxy:
        target = b"%b://%b%b" % (request.url.raw_scheme, request.url.netloc, target)
    if request.method == "CONNECT":
        raise httpx.LocalProtocolError("CONNECT is not supported.")
    if not isinstance(request.stream, httpx.ByteStream):
        raise httpx.LocalProtocolError("Streamed request bodies are not supported.")
    body = b"".join(request.stream)
    headers = request.headers.raw
    _check_framing(headers, len(body))
    return write_head(request.method, target, headers + proxy_headers if proxy_headers else headers) + body


def write_head(method: str, target: bytes, headers: Headers) -> bytes:
    """Return a request line and headers. Raises LocalProtocolError."""
    if not _METHOD.fullmatch(method) or not _TARGET.fullmatch(target):
        raise httpx.LocalProtocolError("Invalid method or target of the request.")
    return b"%b %b HTTP/1.1\r\n%b\r\n" % (method.encode(), target, _write_headers(headers))


def _write_headers(headers: Headers) -> bytes:
    lines = b"".join([name + b": " + value + b"\r\n" for name, value in headers])
    names = b",".join([name for name, _ in headers])
    if not _HEADER_LINES.fullmatch(lines) or lines.count(b"\n") != len(headers) or b":" in names:
        raise httpx.LocalProtocolError("Invalid request: a header contains a forbidden character.")
    return lines


def _check_framing(headers: Headers, length: int) -> None:
    """Require one Host, and a Content-Length that matches the body. Raises LocalProtocolError."""
    hosts, lengths = 0, []
    for name, value in headers:
        match name.lower():
            case b"host":
                hosts += 1
            case b"content-length":
                lengths.append(value)
            case b"transfer-encoding" | b"upgrade":
                raise httpx.LocalProtocolError("Transfer-Encoding and Upgrade are not supported.")
    if hosts != 1:
        raise httpx.LocalProtocolError("The request needs one Host header.")
    if lengths != [b"%d" % length] and (lengths or length):
        raise httpx.LocalProtocolError("Content-Length does not match the body of the request.")


def parse_headers(data: bytes) -> Headers:
    """Return the headers of lines that end with CRLF. Raises InvalidResponse."""
    if not _HEADER_LINES.fullmatch(data):
        raise InvalidResponse("invalid header line")
    lines = data.split(b"\r\n")[:-1]
    if len(lines) > MAX_HEADERS:
        raise InvalidResponse("too many headers")
    parts = [line.partition(b":") for line in lines]
    return [(name, value.strip(b" \t")) for name, _, value in parts]


class ResponseParser:
    """Parses the response to one request.

    `feed` returns whether the response is complete. Afterwards `has_surplus` is whether bytes followed it, and
    `is_reusable` whether the connection may carry another request: the peer keeps it open, and nothing followed.
    A larger body is an error, or, with `truncates`, ends after `max_body_bytes`.
    """

    def __init__(self, method: str, max_body_bytes: int, *, truncates: bool = False) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body: bytes | bytearray = b""
        self.is_reusable = False
        self.has_surplus = False
        self._method = method
        self._max_body_bytes = max_body_bytes
        self._truncates = truncates
        self._head = b""  # an incomplete one
        self._head_bytes = 0  # of complete ones
        self._length: int | None = None  # of the body; None until the end of the connection
        self._chunks: ChunkedBody | None = None

    def feed(self, data: bytes) -> bool:
        """Parse more bytes. Raises InvalidResponse."""
        while not self.status:
            rest = self._take_head(data)
            if rest is None:
                return False
            data = rest
        return self._take_body(data)

    def end(self) -> bool:
        """Accept the end of the connection. Returns whether it completes the response."""
        return self.status > 0 and self._length is None and self._chunks is None

    def _take_head(self, data: bytes) -> bytes | None:
        """Parse a status line and headers; return what follows them, or None until they are complete.

        The status stays 0 after an interim response.
        """
        searched = max(len(self._head) - 3, 0)
        if self._head:
            data = self._head + data
        end = data.find(b"\r\n\r\n", searched)
        if not data.startswith(_BEGINNING[: len(data)]):
            raise InvalidResponse("response does not begin with HTTP/1.")
        if self._head_bytes + (len(data) if end < 0 else end) > MAX_HEAD_BYTES:
            raise InvalidResponse("response headers are too large")
        if end < 0:
            self._head = data
            return None
        self._head = b""
        self._head_bytes += end + 4
        line_end = data.find(b"\r\n")
        line = _STATUS_LINE.fullmatch(data, 0, line_end)
        if line is None:
            raise InvalidResponse("invalid status line")
        headers, status = parse_headers(data[line_end + 2 : end + 2]), int(line[2])
        if status == 101:
            raise InvalidResponse("unexpected change of protocol")
        if status >= 200:
            self.headers = headers
            self._read_framing(status, is_http_1_1=line[1] == b"1")
            self.status = status
        return data[end + 4 :]

    def _read_framing(self, status: int, is_http_1_1: bool) -> None:
        """Set the length of the body from the headers (RFC 9112, section 6.3)."""
        lengths, codings, options = [], [], []
        for name, value in self.headers:
            match name.lower():
                case b"content-length":
                    lengths.append(value)
                case b"transfer-encoding":
                    codings.append(value.lower())
                case b"connection":
                    options += [option.strip() for option in value.lower().split(b",")]
        self.is_reusable = is_http_1_1 and b"close" not in options
        if len(lengths) + len(codings) > 1:
            raise InvalidResponse("conflicting lengths of the body")
        if lengths and not _LENGTH.fullmatch(lengths[0]):
            raise InvalidResponse("invalid Content-Length")
        if codings and (codings != [b"chunked"] or not is_http_1_1):
            raise InvalidResponse("unknown Transfer-Encoding")
        if self._method == "HEAD" or status in (204, 304) or (self._method == "CONNECT" and status < 300):
            self._length = 0
        elif lengths:
            self._length = int(lengths[0])
            if self._length > self._max_body_bytes and not self._truncates:
                raise BodyTooLarge(status)
        elif codings:
            max_bytes = sys.maxsize if self._truncates else self._max_body_bytes
            self._chunks = ChunkedBody(max_bytes, MAX_HEAD_BYTES - self._head_bytes)

    def _take_body(self, data: bytes) -> bool:
        is_complete = self._collect(data)
        if self._truncates and len(self.body) > self._max_body_bytes:
            self.body = self.body[: self._max_body_bytes]
            self.is_reusable = False
            return True
        return is_complete

    def _collect(self, data: bytes) -> bool:
        if self._chunks is not None:
            is_complete = self._chunks.feed(data)
            if self._chunks.is_too_large:
                raise BodyTooLarge(self.status)
            self.body = self._chunks.body
            surplus = len(self._chunks.surplus)
        else:
            self.body = self.body + data if self.body else data
            if self._length is None:
                if len(self.body) > self._max_body_bytes and not self._truncates:
                    raise BodyTooLarge(self.status)
                return False
            surplus = len(self.body) - self._length
            is_complete = surplus >= 0
            if surplus > 0:
                self.body = self.body[: self._length]
            elif not is_complete and isinstance(self.body, bytes):
                self.body = bytearray(self.body)  # grows in place
        if is_complete and surplus:
            self.has_surplus = True
            self.is_reusable = False
        return is_complete


class ChunkedBody:
    """Collects the data of a body in chunks (section 7.1). Extensions are ignored; trailers are checked and dropped.

    `feed` returns whether the body is complete. `surplus` is what follows it. `is_too_large` ends the parsing.
    """

    def __init__(self, max_bytes: int, max_trailer_bytes: int) -> None:
        self.body = bytearray()
        self.surplus = bytearray()  # during the parsing: bytes that are not parsed yet
        self.is_too_large = False
        self._max_bytes = max_bytes
        self._max_trailer_bytes = max_trailer_bytes
        self._remaining = 0  # bytes of the current chunk that have not arrived
        self._step: Callable[[bytearray], bool | None] = self._take_size

    def feed(self, data: bytes) -> bool:
        """Parse more bytes. Raises InvalidResponse."""
        self.surplus += data
        while True:
            outcome = self._step(self.surplus)  # None: the next step can begin; False: it needs more bytes
            if outcome is not None:
                return outcome

    def _take_size(self, buffer: bytearray) -> bool | None:
        end = buffer.find(b"\r\n", 0, MAX_LINE_BYTES)
        if end < 0:
            if len(buffer) >= MAX_LINE_BYTES:
                raise InvalidResponse("chunk line is too long")
            return False
        line = _CHUNK_LINE.fullmatch(bytes(buffer[:end]))
        if line is None:
            raise InvalidResponse("invalid chunk size")
        del buffer[: end + 2]
        self._remaining = int(line[1], 16)
        if len(self.body) + self._remaining > self._max_bytes:
            self.is_too_large = True
            return False
        self._step = self._take_data if self._remaining else self._take_trailers
        return None

    def _take_data(self, buffer: bytearray) -> bool | None:
        data = buffer[: self._remaining]
        self.body += data
        del buffer[: len(data)]
        self._remaining -= len(data)
        if self._remaining:
            return False
        if not buffer.startswith(b"\r\n"[: len(buffer)]):
            raise InvalidResponse("chunk is longer than its size")
        if len(buffer) < 2:
            return False
        del buffer[:2]
        self._step = self._take_size
        return None

    def _take_trailers(self, buffer: bytearray) -> bool:
        if buffer.startswith(b"\r\n"):
            del buffer[:2]
            return True
        end = buffer.find(b"\r\n\r\n")
        if (len(buffer) if end < 0 else end) > self._max_trailer_bytes:
            raise InvalidResponse("response trailers are too large")
        if end < 0:
            return False
        parse_headers(bytes(buffer[: end + 2]))
        del buffer[: end + 4]
        return True
