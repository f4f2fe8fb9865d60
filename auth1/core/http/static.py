"""A document that never changes while the process runs: made once, compressed once, sent to all from one object."""

import gzip
import hashlib
import re
from collections.abc import Sequence
from typing import Any

from auth1.core.http.request import Request, Response


class StaticDocument:
    """The bytes of a document, plain and compressed, and the entity tags of both."""

    def __init__(self, body: bytes, content_type: bytes, headers: Sequence[tuple[bytes, bytes]] = ()) -> None:
        self.content_type = content_type
        self.headers = headers
        self.plain, self.compressed = body, gzip.compress(body, mtime=0)
        digest = hashlib.sha256(body).hexdigest()[:32]
        self.plain_tag, self.compressed_tag = f'"{digest}"', f'"{digest}-gzip"'

    @property
    def size(self) -> int:
        """Return the memory of the document in bytes."""
        return len(self.plain) + len(self.compressed)


def respond(document: StaticDocument, request: Request[Any]) -> Response:
    """Respond with a document, or with 304 to a client that has it.

    The connection is closed after it: a client that sends many requests in one go and reads nothing gets one response.
    """
    compressed = accepts_gzip(request.header(b"accept-encoding"))
    tag = document.compressed_tag if compressed else document.plain_tag
    request.headers += [
        *document.headers,
        (b"cache-control", b"public, max-age=300"),
        (b"vary", b"accept-encoding"),
        (b"etag", tag.encode()),
        (b"connection", b"close"),
    ]
    known = {name.strip().removeprefix("W/") for name in (request.header(b"if-none-match") or "").split(",")}
    if tag in known or "*" in known:
        return Response(b"", 304)
    if compressed:
        request.headers.append((b"content-encoding", b"gzip"))
    return Response(document.compressed if compressed else document.plain, content_type=document.content_type)


def accepts_gzip(header: str | None) -> bool:
    """Read Accept-Encoding (RFC 9110, 12.5.3). Without the header the response is not compressed."""
    accepted = {}
    for item in (header or "").lower().split(","):
        coding, _, weight = item.partition(";")
        accepted[coding.strip()] = not re.fullmatch(r"\s*q\s*=\s*0(\.0*)?\s*", weight)
    return accepted.get("gzip", accepted.get("*", False))
