"""The document: one operation for each route, and the schemas and refusals that they share."""

import inspect
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import msgspec

from auth1 import __version__
from auth1.core.http.problems import Problem
from auth1.core.http.request import CSV, FORM, HTML, JSON, NDJSON, TEXT
from auth1.core.http.router import Route
from auth1.idempotency import run_idempotent
from auth1.openapi import metadata
from auth1.openapi.errors import NO_JSON, Headers, Refusals
from auth1.openapi.examples import MissingExample, sample
from auth1.openapi.metadata import Json
from auth1.openapi.reach import Reached, reach
from auth1.openapi.schemas import components, parameters

_SEGMENT = {"type": "string", "pattern": r"^[A-Za-z0-9_:.\-]{1,64}$"}


class MissingMetadata(Exception):
    """A route lacks what its description needs; the message says what, and where to write it."""


def describe(routes: Sequence[Route]) -> Json:
    """Describe all routes. Raises MissingMetadata."""
    return _Document(routes).build()


def render(document: Json) -> bytes:
    """The document as it is committed and served."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


class _Document:
    def __init__(self, routes: Sequence[Route]) -> None:
        self._routes = routes
        kinds = list(_kinds(routes))
        references, self._schemas = components([*kinds, Problem])
        self._described = dict(zip(kinds, references[:-1], strict=True))
        self._headers = Headers()
        self._refusals = Refusals(self._headers)

    def build(self) -> Json:
        self._refusals.of_paths()
        paths: dict[str, Json] = {}
        sections: dict[str, metadata.Section] = {}
        for route in self._routes:
            section = _section(route)
            sections.setdefault(section.name, section)
            paths.setdefault(route.path, {})[route.method.lower()] = self._operation(route, section)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Auth1",
                "version": __version__,
                "summary": "Self-hosted phone and email authentication.",
                "description": metadata.INTRODUCTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
            "servers": [{"url": "/"}],
            "tags": [section._asdict() for section in sections.values()],
            "paths": paths,
            "components": {
                "schemas": self._schemas,
                "responses": dict(sorted(self._refusals.described.items())),
                "headers": self._headers.described(),
                "securitySchemes": metadata.SCHEMES,
            },
        }

    def _operation(self, route: Route, section: metadata.Section) -> Json:
        doc = inspect.getdoc(route.handler)
        if not doc:
            raise MissingMetadata(f"{route.method} {route.path}: its handler has no docstring")
        if (security := metadata.CREDENTIALS.get(route.guard.__name__)) is None:
            raise MissingMetadata(
                f"{route.method} {route.path}: say in CREDENTIALS of auth1/openapi/metadata.py"
                f" what the guard {route.guard.__name__} asks for"
            )
        summary, _, more = doc.partition("\n\n")
        around = [run_idempotent.once] if route.idempotent == "yes" else []
        reached = reach(route.guard, *around, route.handler)
        operation: Json = {
            "operationId": self._name(route),
            "tags": [section.name],
            "summary": " ".join(summary.split()).removesuffix("."),
        }
        if more:
            operation["description"] = more
        operation["security"] = security
        if reached.queries_by_hand:
            raise MissingMetadata(
                f"{route.method} {route.path}: {', '.join(sorted(reached.queries_by_hand))} reads the query by hand;"
                " use read_query(call, Struct) of auth1/core/http/query.py, which the description follows"
            )
        if given := [*_path_parameters(route), *_query_parameters(reached), *_header_parameters(reached)]:
            operation["parameters"] = given
        if route.body is not None:
            operation["requestBody"] = {"required": not route.body_optional, "content": self._body(route)}
        answers, refusals = self._answers(route, reached), self._refusals.of(route, reached)
        for status in answers.keys() & refusals.keys():
            refusals[status] = self._refusals.with_answer(answers[status], refusals[status])
        operation["responses"] = dict(sorted((answers | refusals).items()))
        return operation

    def _reference(self, kind: Any) -> Json:
        """The schema of an answer, of one form or of several."""
        members = _members(kind)
        return {"anyOf": [self._described[member] for member in members]} if len(members) > 1 else self._described[kind]

    def _name(self, route: Route) -> str:
        """The handler's name; made one of its kind where a handler has two routes, or two have one name."""
        name = route.handler.__name__
        same = [other for other in self._routes if other.handler.__name__ == name]
        if len(same) == 1:
            return name
        if len({other.handler for other in same}) > 1:
            name = f"{_slice(route)}_{name}"
        twins = [other for other in same if other.handler is route.handler]
        return f"{name}_as_operator" if len(twins) > 1 and route.path.startswith("/api/admin/") else name

    def _body(self, route: Route) -> Json:
        if route.body in NO_JSON:
            return NO_JSON[route.body]
        schema = self._described[route.body]
        if choices := schema.get("anyOf"):
            examples = {
                choice["$ref"].rpartition("/")[2]: {"value": self._sample(route, choice, sent=True)}
                for choice in choices
            }
            return {JSON: {"schema": schema, "examples": examples}}
        described = {"schema": schema, "example": self._sample(route, schema, sent=True)}
        return dict.fromkeys([JSON, FORM] if route.form else [JSON], described)

    def _sample(self, route: Route, schema: Json, *, sent: bool) -> Any:
        try:
            return sample(schema, self._schemas, sent=sent)
        except MissingExample as error:
            raise MissingMetadata(f"{route.method} {route.path}: {error}") from None

    def _answers(self, route: Route, reached: Reached) -> Json:
        """What it answers where nothing is refused."""
        answers: Json = {}
        for status, kind in _successes(route):
            answer = answers.setdefault(str(status), {"description": _MEANINGS.get(status, "Done.")})
            answer["headers"] = self._of_answer(route, reached, status)
            if kind is None:
                continue
            schema = _MEDIA.get(kind, {}) if isinstance(kind, str) else self._reference(kind)
            content = answer.setdefault("content", {}).setdefault(kind if isinstance(kind, str) else JSON, {})
            content["schema"] = schema
            if not isinstance(kind, str):
                content["example"] = self._sample(route, schema, sent=False)
        return answers

    def _of_answer(self, route: Route, reached: Reached, status: int) -> Json:
        named = {word.decode("latin-1") for word in reached.words}
        headers = [name for name in metadata.RESPONSE_HEADERS if name in named and name != "retry-after"]
        if route.path.startswith("/api/"):
            headers.append("cache-control")
        if status != 303 and "location" in headers:
            headers.remove("location")
        return self._headers.use(["x-request-id", *headers])


_MEANINGS = {
    200: "As asked.",
    201: "Made.",
    202: "Taken.",
    204: "Done; there is nothing to say.",
    303: "Go on there.",
    304: "Not modified.",
    400: "It did not work; the page says why.",
    503: "Not well.",
}


_MEDIA: dict[str, Json] = {kind: {"type": "string"} for kind in (CSV, HTML, NDJSON, TEXT)} | {JSON: {"type": "object"}}


def _successes(route: Route) -> Sequence[tuple[int, Any]]:
    """Status and kind of each answer that is no refusal."""
    kind = get_type_hints(route.handler).get("return")
    if "content_type" in getattr(kind, "_fields", ()):  # Response, or another of its kind
        if not route.answers:
            name = getattr(kind, "__name__", kind)
            raise MissingMetadata(
                f"{route.method} {route.path}: its handler returns {name}; say its answers= on the route"
            )
        return route.answers
    if kind is NoneType:
        return [(204, None)]
    if kind is None:
        raise MissingMetadata(f"{route.method} {route.path}: its handler does not say what it returns")
    return [(route.status, kind)]


def _kinds(routes: Sequence[Route]) -> Iterator[Any]:
    """Every kind of body that is sent or answered, once."""
    seen: list[Any] = []
    for route in routes:
        answers = (member for _, kind in _successes(route) for member in _members(kind))
        for kind in [route.body, *answers]:
            if kind is not None and kind not in NO_JSON and not isinstance(kind, str) and kind not in seen:
                seen.append(kind)
    yield from seen


def _members(kind: Any) -> tuple[Any, ...]:
    """The forms of an answer that has more than one; msgspec can describe no union of Structs without tags."""
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _slice(route: Route) -> str:
    return route.handler.__module__.split(".")[1]


def _section(route: Route) -> metadata.Section:
    elsewhere = (section for pattern, section in metadata.ELSEWHERE.items() if fnmatchcase(route.path, pattern))
    name = next(elsewhere, None) or _slice(route)
    return metadata.SECTIONS.get(name) or metadata.Section(name.capitalize(), f"{name.capitalize()}.")


def _path_parameters(route: Route) -> Iterator[Json]:
    for segment in route.path.split("/"):
        if segment.startswith("{"):
            name = segment.strip("{}")
            if name not in metadata.PARAMETERS:
                raise MissingMetadata(
                    f"{route.method} {route.path}: say in PARAMETERS of auth1/openapi/metadata.py what {{{name}}} is"
                )
            description, example = metadata.PARAMETERS[name]
            yield {
                "name": name,
                "in": "path",
                "required": True,
                "description": description,
                "schema": _SEGMENT,
                "example": example,
            }


def _query_parameters(reached: Reached) -> Iterator[Json]:
    for kind in reached.queries:
        yield from parameters(kind)


def _header_parameters(reached: Reached) -> Iterator[Json]:
    for name in sorted(header.decode("latin-1") for header in reached.read):
        if name in metadata.CREDENTIAL_HEADERS or name in metadata.OF_HTTP:
            continue
        if name not in metadata.REQUEST_HEADERS:
            raise MissingMetadata(f"say in REQUEST_HEADERS of auth1/openapi/metadata.py what the header {name} is for")
        yield {
            "name": name,
            "in": "header",
            "description": metadata.REQUEST_HEADERS[name],
            "schema": {"type": "string"},
        }
