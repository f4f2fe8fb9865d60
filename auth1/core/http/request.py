"""The request of a handler: its form, checked before its route is known, its body, and its possible responses."""

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qsl

import msgspec

from auth1.core.http.client_ip import network_of
from auth1.core.http.concurrency import PendingBody
from auth1.core.ids import new_id
from auth1.errors import BadRequest, NotFound, PayloadTooLarge, UnsupportedMediaType, UriTooLong

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
HTML = "text/html"
TEXT = "text/plain"
NDJSON = "application/x-ndjson"
CSV = "text/csv"
EVENT_STREAM = "text/event-stream"
PNG = "image/png"
MAX_BODY_BYTES = 16 * 1024
MAX_BODY_CHUNKS = 256
BODY_S = 5.0
MAX_HEADERS = 100
MAX_HEADER_BYTES = 16 * 1024
MAX_TARGET_BYTES = 2 * 1024  # unless a route says more
LONG_TARGET_BYTES = 8 * 1024  # of routes that get tokens or requests of other programs in their query
UTF_8 = ("utf-8", "utf8", "us-ascii", "ascii")  # of which ASCII is a part

_HOST = re.compile(rb"[A-Za-z0-9.\-:\[\]_]{1,255}")
# Access lists in front of us compare paths as bytes. No route needs an escape; clients do escape the colon of an id.
_PATH = re.compile(rb"(/(?!\.{1,2}(/|$))([A-Za-z0-9_.~:\-]|%3A)+)*/?")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9_.\-]{8,128}")

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Decode = Callable[[bytes], object]
Caller = TypeVar("Caller")


class ClientDisconnected(Exception):
    """The client closed the connection before the end of its request. No response is sent."""


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
    that no client takes a part for the whole. `lasts_s` is for streams that wait for their source: they may last so
    many seconds whatever the deadline of their route, and do not count as requests in progress.
    """

    pieces: AsyncGenerator[bytes, None]
    content_type: bytes
    length: int | None = None
    lasts_s: float | None = None


class Response(NamedTuple):
    """A response that is more than a Struct."""

    body: msgspec.Struct | bytes
    status: int = 200
    content_type: bytes = b"application/json"


class EarlyResponse(Exception):
    """A response that a guard or a handler sends instead of its result."""

    def __init__(self, answer: Response) -> None:
        super().__init__("answered early")
        self.answer = answer


class ReplayedResponse(EarlyResponse):
    """The stored response to an earlier identical request, which is sent again."""


class Site(Protocol):
    """A host with paths of its own: `find_path` maps one to the path of its route."""

    @property
    def host(self) -> str:
        """Return its name."""

    def find_path(self, path: str) -> str:
        """Return the path of the route that serves a path of this host."""


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

    `request_headers`: by name, of a repeated one the last; `headers`: of the response; `log`: fields of the log line;
    `origins`: those that may read it, if the caller limits them; `network`: that of the client, as stored in the
    database; `deadline`: in the loop's time, of a request with a body; `limit_key`, `held`: the key of concurrency
    limits, and the key of the limit that was entered; `pending_body`: while it is received; `on_end`: called when the
    response has ended or failed; `site`: the host, if it has paths of its own; `path`: of the route."""

    __slots__ = (
        "_pairs",
        "_repeated",
        "caller",
        "client",
        "client_is_certain",
        "cors",
        "deadline",
        "headers",
        "held",
        "limit_key",
        "log",
        "method",
        "network",
        "on_end",
        "origins",
        "parameters",
        "path",
        "pending_body",
        "query_string",
        "request_headers",
        "request_id",
        "site",
        "target_bytes",
    )

    def __init__(self, scope: Scope) -> None:
        self.method: str = scope["method"]
        self.query_string: bytes = scope["query_string"]
        self._pairs: Sequence[tuple[bytes, bytes]] = scope["headers"]
        self.request_headers: dict[bytes, bytes] = dict(self._pairs)
        self._repeated = len(self.request_headers) != len(self._pairs)
        wanted_id = self.values(b"x-request-id")[:1]
        has_id = bool(wanted_id) and _REQUEST_ID.fullmatch(wanted_id[0]) is not None
        self.request_id = wanted_id[0].decode() if has_id else new_id("req")
        self.parameters: dict[str, str] = {}
        self.path = ""
        self.site: Site | None = None
        self.headers: list[tuple[bytes, bytes]] = []
        self.log: dict[str, object] = {}
        self.client = self.limit_key = ""
        self.network: str | None = None
        self.client_is_certain = self.cors = True
        self.held: tuple[str, str] | None = None
        self.on_end: Callable[[], None] | None = None
        self.pending_body: PendingBody | None = None
        self.target_bytes = 0
        self.deadline = float("inf")
        self.origins: tuple[str, ...] = ()
        self.caller: Caller

    def set_client(self, address: str) -> None:
        """Set the address of the client, and its network."""
        self.client, self.network = address, network_of(address)

    def header(self, name: bytes) -> str | None:
        """Return the value of a header that may occur once. Raises BadRequest when it occurs twice."""
        value = self.request_headers.get(name)
        if value is None:
            return None
        if self._repeated and len(self.values(name)) > 1:
            raise BadRequest(f"The header {name.decode()} was sent twice.")
        return value.decode("latin-1")

    def values(self, name: bytes) -> list[bytes]:
        """Return all values of a header, in their order."""
        if name not in self.request_headers:
            return []
        return (
            [value for known, value in self._pairs if known == name] if self._repeated else [self.request_headers[name]]
        )

    def grouped_headers(self) -> dict[bytes, list[bytes]]:
        """Return all headers, by name."""
        return {name: self.values(name) for name in self.request_headers}

    def check_target(self, max_bytes: int) -> None:
        """Raise UriTooLong when path and query are longer than the route allows."""
        if self.target_bytes > max_bytes:
            raise UriTooLong

    def check_form(self, scope: Scope, known_paths: Collection[bytes]) -> None:
        """Check the target and the headers. `known_paths` need no check of their spelling.

        Raises UriTooLong, BadRequest, and NotFound where the path is not in its normal spelling.
        """
        path: bytes = scope.get("raw_path") or scope["path"].encode()
        self.target_bytes = len(path) + len(self.query_string)
        self.check_target(LONG_TARGET_BYTES if len(path) <= MAX_TARGET_BYTES else 0)  # only queries may be long
        size = sum([len(name) + len(value) for name, value in self._pairs])
        if len(self._pairs) > MAX_HEADERS or size > MAX_HEADER_BYTES:
            raise BadRequest("The headers are too many or too long.")
        hosts = self.values(b"host")
        # HTTP/1.0 needs none, and load balancers check health so; granian says "1" and adds an empty one.
        absent = hosts in ([], [b""]) and scope.get("http_version") in ("1.0", "1")
        if not absent and (len(hosts) != 1 or not _HOST.fullmatch(hosts[0])):
            raise BadRequest("Exactly one valid Host header is required.")
        if b"transfer-encoding" in self.request_headers:
            # granian hides a Content-Length after it, and a request with both must be the last (RFC 9112, 6.1).
            self.headers.append((b"connection", b"close"))
            codings = [coding.strip().lower() for coding in self.values(b"transfer-encoding")]
            if codings != [b"chunked"] or b"content-length" in self.request_headers:
                raise BadRequest("Use Transfer-Encoding: chunked without Content-Length, or Content-Length alone.")
        if path not in known_paths and not _PATH.fullmatch(path):
            raise NotFound


def is_bodiless(request: Request[Any]) -> bool:
    """Return whether a request has no body at all (RFC 9112, 6.3)."""
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

    The caller limits the time. Raises UnsupportedMediaType, BadRequest, PayloadTooLarge, or ClientDisconnected when the
    client disconnects.
    """
    content_type = request.header(b"content-type") or ""
    media_type, charset = (JSON, "utf-8") if content_type == JSON else _parse_content_type(content_type)
    codings = [coding.strip().lower() for coding in request.values(b"content-encoding")]
    if media_type not in media_types or charset not in UTF_8 or codings not in ([], [b"identity"]):
        expected = " or ".join(media_types)
        raise UnsupportedMediaType(f"The body must be {expected}, in UTF-8 and without a content encoding.")
    length = request.header(b"content-length") or "0"
    if not length.isascii() or not length.isdigit():
        raise BadRequest("Content-Length is not a number.")
    too_large = f"The body is larger than {limit.max_bytes // 1024} KiB."
    if len(length) > 18 or int(length) > limit.max_bytes:  # int() rejects thousands of digits
        raise PayloadTooLarge(too_large)
    body = bytearray()
    for _ in range(limit.pieces):
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnected
        piece: bytes = message.get("body", b"")
        if len(body) + len(piece) > limit.max_bytes:
            raise PayloadTooLarge(too_large)
        if not message.get("more_body", False):
            return media_type, bytes(body + piece) if body else piece
        body += piece
    raise PayloadTooLarge("The body came in too many pieces.")
