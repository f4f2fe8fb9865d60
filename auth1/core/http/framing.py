"""The form of a request: what is checked before its route is known."""

import re
from collections.abc import Mapping
from typing import Any

from auth1.errors import BadRequest, NotFound, UriTooLong

MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 2 * 1024

_HOST = re.compile(rb"[A-Za-z0-9.\-:\[\]_]{1,255}")
# Access lists in front of us compare paths as bytes. No route needs an escape; clients do escape the colon of an id.
_PATH = re.compile(rb"(/(?!\.{1,2}(/|$))([A-Za-z0-9_.~:\-]|%3A)+)*/?")


def check(scope: Mapping[str, Any], headers: Mapping[bytes, list[bytes]]) -> None:
    """Check the target's length and the headers. Raises UriTooLong or BadRequest."""
    if len(_raw_path(scope)) + len(scope["query_string"]) > MAX_TARGET_BYTES:
        raise UriTooLong
    size = sum(len(name) + len(value) for name, values in headers.items() for value in values)
    if len(scope["headers"]) > MAX_HEADERS or size > MAX_HEADER_BYTES:
        raise BadRequest("The headers are too many or too long.")
    hosts = headers.get(b"host", [])
    # HTTP/1.0 needs none, and load balancers check health so; granian says "1" and adds an empty one.
    absent = scope.get("http_version") in ("1.0", "1") and hosts in ([], [b""])
    if not absent and (len(hosts) != 1 or not _HOST.fullmatch(hosts[0])):
        raise BadRequest("Exactly one valid Host header is required.")
    codings = [coding.strip().lower() for coding in headers.get(b"transfer-encoding", ())]
    if codings and (codings != [b"chunked"] or b"content-length" in headers):
        raise BadRequest("Use Transfer-Encoding: chunked without Content-Length, or Content-Length alone.")


def check_path(scope: Mapping[str, Any]) -> None:
    """Check that the path is in its normal spelling. Raises NotFound."""
    if not _PATH.fullmatch(_raw_path(scope)):
        raise NotFound


def _raw_path(scope: Mapping[str, Any]) -> bytes:
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    return path
