"""The request of a handler, its possible responses, and the reading of its body."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping
from typing import Any, Generic, NamedTuple, TypeVar
from urllib.parse import parse_qsl

import msgspec

from auth1.core.http import client_ip
from auth1.errors import BadRequest, PayloadTooLarge, RequestTimeout, UnsupportedMediaType

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
TEXT = "text/plain"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
PNG = "image/png"
MAX_BODY_BYTES = 16 * 1024
MAX_BODY_CHUNKS = 256
BODY_S = 5.0
UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")  # of which ASCII is a part

Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Caller = TypeVar("Caller")


class ClientDisconnected(Exception):
    """The client closed the connection before the end of its request. Nothing happened, and no response is sent."""


class BodyLimit(NamedTuple):
    """The maximum size of a body and the time to read it, as small as the route allows."""

    max_bytes: int = MAX_BODY_BYTES
    seconds: float = BODY_S

    @property
    def pieces(self) -> int:
        """Pieces of 64 bytes are small enough; smaller ones would only keep us busy."""
        return MAX_BODY_CHUNKS * self.max_bytes // MAX_BODY_BYTES


class Stream(NamedTuple):
    """A response that is larger than memory: sent piece by piece, as fast as the client reads.

    Raise errors before the first piece: after it the status is 200. A stream that fails later closes the connection, so
    that no client takes a part for the whole.
    """

    pieces: AsyncGenerator[bytes, None]
    content_type: bytes
    length: int | None = None


class Response(NamedTuple):
    """A response that is more than a Struct."""

    body: msgspec.Struct | bytes
    status: int = 200
    content_type: bytes = b"application/json"


class ReplayedResponse(Exception):
    """The stored response to an earlier identical request, which is sent again."""

    def __init__(self, answer: Response) -> None:
        super().__init__("answered before")
        self.answer = answer


class Form(NamedTuple):
    """The body of a route that takes a form: its decoded pairs, in their order."""

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def decode(cls, raw: bytes) -> "Form":
        """Read a form. Raises BadRequest unless it is a form in UTF-8."""
        try:
            return cls(tuple(parse_qsl(raw.decode(), keep_blank_values=True, errors="strict")))
        except ValueError:
            raise BadRequest("The body is not a form in UTF-8.") from None

    def value(self, name: str) -> str | None:
        """Return the last value of a name."""
        return dict(self.pairs).get(name)


class Upload(NamedTuple):
    """The body of a route that takes a file, unchanged, with its media type."""

    media_type: str
    raw: bytes


class Image(NamedTuple):
    """The body of a route that takes a PNG image."""

    raw: bytes


class Request(Generic[Caller]):
    """The request of a handler.

    `log`: fields of the log line; `headers`: headers of the response; `origins`: the origins that may read it, if the
    caller limits them; `limit_key`: the key of concurrency limits."""

    __slots__ = (
        "caller",
        "client",
        "client_is_certain",
        "cors",
        "headers",
        "limit_key",
        "log",
        "method",
        "origins",
        "parameters",
        "query_string",
        "request_headers",
        "request_id",
    )

    def __init__(self, method: str, request_id: str, request_headers: dict[bytes, list[bytes]], query: bytes) -> None:
        self.method = method
        self.request_id = request_id
        self.request_headers = request_headers
        self.query_string = query
        self.parameters: dict[str, str] = {}
        self.headers: list[tuple[bytes, bytes]] = []
        self.log: dict[str, object] = {}
        self.client = ""
        self.client_is_certain = True
        self.cors = True
        self.limit_key = ""
        self.origins: tuple[str, ...] = ()
        self.caller: Caller

    @property
    def network(self) -> str | None:
        """The network of the client, as stored in the database."""
        return client_ip.network_of(self.client)

    def header(self, name: bytes) -> str | None:
        """Return the value of a header that may occur once. Raises BadRequest when it occurs twice."""
        values = self.request_headers.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise BadRequest(f"The header {name.decode()} was sent twice.")
        return values[0].decode("latin-1")


def is_bodiless(request: Request[Any]) -> bool:
    """Whether a request has no body at all (RFC 9112, 6.3)."""
    return b"transfer-encoding" not in request.request_headers and request.header(b"content-length") in (None, "0")


def _parse_content_type(text: str) -> tuple[str, str]:
    """Return media type and charset in lower case. Other parameters are ignored (RFC 9110, 8.3.1)."""
    media_type, *parameters = text.lower().split(";")
    named = (parameter.partition("=") for parameter in parameters)
    charset = next((value for name, _, value in named if name.strip() == "charset"), "utf-8")
    return media_type.strip(), charset.strip().strip("\"'")


async def read_body(
    request: Request[Any], receive: Receive, media_types: Collection[str], limit: BodyLimit
) -> tuple[str, bytes]:
    """Read a body within its route's limit; return its media type and bytes.

    Raises UnsupportedMediaType, PayloadTooLarge, RequestTimeout, or ClientDisconnected when the client disconnects.
    """
    media_type, charset = _parse_content_type(request.header(b"content-type") or "")
    codings = [coding.strip().lower() for coding in request.request_headers.get(b"content-encoding", [b"identity"])]
    if media_type not in media_types or charset not in UTF_8 or codings != [b"identity"]:
        expected = " or ".join(media_types)
        raise UnsupportedMediaType(f"The body must be {expected}, in UTF-8 and without a content encoding.")
    length = request.header(b"content-length") or "0"
    if not length.isascii() or not length.isdigit():
        raise BadRequest("Content-Length is not a number.")
    too_large = f"The body is larger than {limit.max_bytes // 1024} KiB."
    if len(length) > 18 or int(length) > limit.max_bytes:  # int() rejects thousands of digits
        raise PayloadTooLarge(too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(limit.seconds):
            for _ in range(limit.pieces):
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnected
                body += message.get("body", b"")
                if len(body) > limit.max_bytes:
                    raise PayloadTooLarge(too_large)
                if not message.get("more_body", False):
                    return media_type, bytes(body)
    except TimeoutError:
        raise RequestTimeout from None
    raise PayloadTooLarge("The body came in too many pieces.")
