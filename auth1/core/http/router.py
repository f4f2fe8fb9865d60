"""Find the route of a method and path. `routes.py` has the table of routes."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from auth1.core.http.request import MAX_TARGET_BYTES, BodyLimit, Decode, Response
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import ApiError, MethodNotAllowed, NotFound

DEADLINE_S = 2.0
_PARAMETER = re.compile(r"[A-Za-z0-9_:.\-]{1,64}")  # the characters of an id; other paths are not found

Handler = Callable[..., Awaitable[object]]
Body = Any  # a Struct, a union of Structs or a dict for JSON; Form, Upload, or None without a body


class Auth(NamedTuple):
    """The authentication of a route's caller, and what the API description says about it.

    `authenticate(services, request, rate_limit)` returns the caller and applies the route's rate limit.
    `security` lists alternative sets of credentials; an empty set needs none.
    """

    name: str
    authenticate: Callable[[Any, Any, ClientRateLimit | None], Awaitable[object]]
    security: tuple[tuple[str, ...], ...] = ()
    errors: tuple[type[ApiError], ...] = ()
    request_headers: tuple[str, ...] = ()
    responses: tuple[tuple[int, Any], ...] = ()  # that it sends instead of the handler, as in Route


class Route(NamedTuple):
    """One endpoint. It calls `handler(services, request, body, query)`, with body and query only where declared.

    `errors` are the errors of the handler; those of the other declarations are derived from them.
    """

    method: str
    path: str
    handler: Handler
    auth: Auth
    body: Body = None
    query: type[msgspec.Struct] | None = None
    rate_limit: ClientRateLimit | None = None
    errors: tuple[type[ApiError], ...] = ()
    body_optional: bool = False  # a request without a body counts as {} or an empty form
    form: bool = False  # the fields of the body may also be sent as a form
    limit: BodyLimit = BodyLimit()
    target_bytes: int = MAX_TARGET_BYTES  # of path and query
    status: int = 200
    deadline_s: float = DEADLINE_S
    quiet: bool = False  # probes and scrapes are logged at level debug
    # How Idempotency-Key is honoured: by the App around the handler, or by the handler itself.
    idempotent: Literal["no", "yes", "itself"] = "no"
    max_concurrent: int | None = None  # per limit key and worker, for requests that use much memory for long
    cors: bool = True  # web pages may read the response
    any_origin: bool = False  # web pages of all origins may call it, instead of those of `cors`; it reads no cookie
    oauth: bool = False  # errors have OAuth's form (RFC 6749, 5.2), also where a path beside it has no route
    page: bool = False  # HTML for people: its forms are posted with an Origin of `null`, which CORS does not govern
    on_error: Callable[[Any, ApiError], Response] | None = None  # renders the errors of a page for people
    # The responses of a handler that returns Response: status, and a Struct, a media type, or None without a body.
    responses: tuple[tuple[int, Any], ...] = ()
    request_headers: tuple[str, ...] = ()  # read by the handler
    response_headers: tuple[str, ...] = ()  # set by the handler
    decoders: Mapping[str, Decode] = {}  # of the body, by media type; the App fills them in


class Match(NamedTuple):
    """A route, and the value in the path for each `{name}`."""

    route: Route
    parameters: dict[str, str]


class _Node:
    """The end of a path, or of a part of it: its routes by method, and the segments that may follow."""

    __slots__ = ("fixed", "methods", "parameters")

    def __init__(self) -> None:
        self.methods: dict[str, Route] = {}
        self.fixed: dict[str, _Node] = {}
        self.parameters: dict[tuple[str, str], _Node] = {}  # by name and suffix, of {name} or {name}.png

    def child(self, segment: str) -> "_Node":
        """Return the node of a segment that follows; create it if there is none."""
        if not segment.startswith("{"):
            return self.fixed.setdefault(segment, _Node())
        name, _, suffix = segment[1:].partition("}")
        return self.parameters.setdefault((name, suffix), _Node())

    def find(self, segments: list[str], place: int, parameters: dict[str, str]) -> dict[str, Route] | None:
        """Return the routes of a path by its segments from a place on, and set the values of its parameters.

        A fixed segment has precedence over a parameter.
        """
        if place == len(segments):
            return self.methods or None
        segment = segments[place]
        node = self.fixed.get(segment)
        if node is not None and (methods := node.find(segments, place + 1, parameters)) is not None:
            return methods
        for (name, suffix), node in self.parameters.items():
            value = segment.removesuffix(suffix)
            if segment.endswith(suffix) and _PARAMETER.fullmatch(value):
                methods = node.find(segments, place + 1, parameters)
                if methods is not None:
                    parameters[name] = value
                    return methods
        return None


class Router:
    """Finds routes: by dictionary for paths without parameters, otherwise segment by segment."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._root = _Node()
        for route in routes:
            self._methods_at(route.path)[route.method] = route
        self._oauth_paths = tuple({route.path.partition("{")[0] for route in routes if route.oauth})
        self.exact_paths = frozenset(path.encode() for path in self._exact)

    def find(self, method: str, path: str) -> Match:
        """Find the route; HEAD finds GET's. Raises NotFound, or MethodNotAllowed with the Allow header."""
        methods, parameters = self._lookup(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowed(headers={"allow": self._allow(methods)})
        return Match(route, parameters)

    def options(self, path: str) -> tuple[str, bool, bool]:
        """Return the Allow header of a path, and whether web pages and pages of any origin may call it.

        Raises NotFound.
        """
        methods = self._lookup(path)[0]
        routes = methods.values()
        return self._allow(methods), all(route.cors for route in routes), all(route.any_origin for route in routes)

    def is_oauth(self, path: str) -> bool:
        """Return whether OAuth endpoints are below the start of a path, such as `/t/`. It may have no route."""
        return path.startswith(self._oauth_paths)

    def _lookup(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        if (methods := self._exact.get(path)) is not None:
            return methods, {}
        parameters: dict[str, str] = {}
        methods = self._root.find(path.split("/"), 0, parameters)
        if methods is None:
            raise NotFound("No route has this path.")
        return methods, parameters

    def _methods_at(self, path: str) -> dict[str, Route]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        node = self._root
        for segment in path.split("/"):
            node = node.child(segment)
        return node.methods

    @staticmethod
    def _allow(methods: dict[str, Any]) -> str:
        return ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))
