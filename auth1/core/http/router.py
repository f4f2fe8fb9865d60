"""Method and path to a route. `routes.py` is the table; this finds the line."""

import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

from auth1.core.http.request import BodyLimit
from auth1.errors import MethodNotAllowed, NotFound

DEADLINE_S = 2.0
_PARAMETER = re.compile(r"[A-Za-z0-9_:.\-]{1,64}")  # what an id can be; anything else is not found


Handler = Callable[..., Awaitable[object]]
Body = Any  # what JSON is decoded into (a Struct, a union of them, a dict), Form, Upload, or None: there is no body


class Route(NamedTuple):
    """One endpoint. The guard says who calls (or refuses) before the body is read; the handler does the work."""

    method: str
    path: str
    handler: Handler
    guard: Callable[..., Awaitable[object]]
    body: Body = None
    body_optional: bool = False  # nothing at all counts as {}
    form: bool = False  # the same fields may come as a form
    limit: BodyLimit = BodyLimit()
    status: int = 200
    deadline_s: float = DEADLINE_S
    quiet: bool = False  # probes and scrapes are logged at level debug
    # Whether Idempotency-Key is honoured: by the App around the handler, or by the handler itself.
    idempotent: Literal["no", "yes", "itself"] = "no"
    max_concurrent: int | None = None  # how many a party may have under way in a worker: what holds much for long
    page: bool = False  # for people: what they post has an Origin that CORS has no say over, `null` or our own
    # What a handler that returns Response answers: status, and a Struct, a media type or None for no body.
    answers: tuple[tuple[int, Any], ...] = ()


class Match(NamedTuple):
    """A route and what stands in its path for each `{name}`."""

    route: Route
    parameters: dict[str, str]


class Router:
    """Finds routes: by dictionary where a path has no parameters, else by its segments."""

    def __init__(self, routes: Sequence[Route]) -> None:
        self._exact: dict[str, dict[str, Route]] = {}
        self._patterns: list[tuple[list[str], dict[str, Route]]] = []
        for route in routes:
            self._methods_at(route.path)[route.method] = route

    def find(self, method: str, path: str) -> Match:
        """Find the route; HEAD finds GET's. Raises NotFound, or MethodNotAllowed with the Allow header."""
        methods, parameters = self._lookup(path)
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            raise MethodNotAllowed(headers={"allow": self._allow(methods)})
        return Match(route, parameters)

    def allow(self, path: str) -> str:
        """What OPTIONS answers in Allow. Raises NotFound."""
        return self._allow(self._lookup(path)[0])

    def _lookup(self, path: str) -> tuple[dict[str, Route], dict[str, str]]:
        if (methods := self._exact.get(path)) is not None:
            return methods, {}
        segments = path.split("/")
        for pattern, methods in self._patterns:
            if (parameters := _match(pattern, segments)) is not None:
                return methods, parameters
        raise NotFound

    def _methods_at(self, path: str) -> dict[str, Route]:
        if "{" not in path:
            return self._exact.setdefault(path, {})
        pattern = path.split("/")
        for known, methods in self._patterns:
            if known == pattern:
                return methods
        self._patterns.append((pattern, {}))
        return self._patterns[-1][1]

    @staticmethod
    def _allow(methods: dict[str, Any]) -> str:
        return ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))


def _match(pattern: list[str], segments: list[str]) -> dict[str, str] | None:
    if len(pattern) != len(segments):
        return None
    parameters = {}
    for expected, actual in zip(pattern, segments, strict=True):
        if expected.startswith("{"):
            if not _PARAMETER.fullmatch(actual):
                return None
            parameters[expected.strip("{}")] = actual
        elif expected != actual:
            return None
    return parameters
