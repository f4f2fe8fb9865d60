"""Bytes of one HTTP/1.1 response -> status, headers, body: strict and within bounds (RFC 9112).

It replaces h11, which httpcore uses (`python -m bench.outbound --parser` compares both). h11 is the oracle of its
tests: whatever this parser accepts, h11 reads in the same way.

Stricter than the RFC: no folded headers, no bare CR or LF, no repeated Content-Length, and no transfer coding other
than `chunked`.
"""

import re

from auth1.core.outbound.chunks import ChunkedBody
from auth1.core.outbound.headers import Headers, InvalidResponse, parse_headers

__all__ = ["BodyTooLarge", "InvalidResponse", "ResponseParser"]

MAX_HEAD_BYTES = 16 * 1024  # status lines, headers and trailers, those of interim responses included

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t -~\x80-\xff]*)?")
_LENGTH = re.compile(rb"[0-9]{1,15}")
_BEGINNING = b"HTTP/1."


class BodyTooLarge(InvalidResponse):
    """The body exceeds the bound. The status is known."""

    def __init__(self, status: int) -> None:
        super().__init__("response body is too large")
        self.status = status


class ResponseParser:
    """Parses the response to one request.

    `feed` returns whether the response is complete. Afterwards `has_surplus` is whether bytes followed it, and
    `is_reusable` whether the connection may carry another request: the peer keeps it open, and nothing followed.
    """

    def __init__(self, method: str, max_body_bytes: int) -> None:
        self.status = 0
        self.headers: Headers = []
        self.body: bytes | bytearray = b""
        self.is_reusable = False
        self.has_surplus = False
        self._method = method
        self._max_body_bytes = max_body_bytes
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
            if self._length > self._max_body_bytes:
                raise BodyTooLarge(status)
        elif codings:
            self._chunks = ChunkedBody(self._max_body_bytes, MAX_HEAD_BYTES - self._head_bytes)

    def _take_body(self, data: bytes) -> bool:
        if self._chunks is not None:
            is_complete = self._chunks.feed(data)
            if self._chunks.is_too_large:
                raise BodyTooLarge(self.status)
            self.body = self._chunks.body
            surplus = len(self._chunks.surplus)
        else:
            self.body = self.body + data if self.body else data
            if self._length is None:
                if len(self.body) > self._max_body_bytes:
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
