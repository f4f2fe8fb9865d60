"""Header lines of HTTP/1.1: parsed strictly, and written without a chance of header injection."""

import re

MAX_HEADERS = 100

Headers = list[tuple[bytes, bytes]]

_LINES = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t -~\x80-\xff]*+\r\n)*+")


class InvalidResponse(Exception):
    """The bytes are not an HTTP/1.1 response, or exceed a bound."""


def parse_headers(data: bytes) -> Headers:
    """Return the headers of lines that end with CRLF. Raises InvalidResponse."""
    if not _LINES.fullmatch(data):
        raise InvalidResponse("invalid header line")
    lines = data.split(b"\r\n")[:-1]
    if len(lines) > MAX_HEADERS:
        raise InvalidResponse("too many headers")
    parts = [line.partition(b":") for line in lines]
    return [(name, value.strip(b" \t")) for name, _, value in parts]


def write_headers(headers: Headers) -> bytes:
    """Return header lines. Raises ValueError when a name or value contains a forbidden character."""
    lines = b"".join([name + b": " + value + b"\r\n" for name, value in headers])
    names = b",".join([name for name, _ in headers])
    if not _LINES.fullmatch(lines) or lines.count(b"\n") != len(headers) or b":" in names:
        raise ValueError("a header contains a forbidden character")
    return lines
