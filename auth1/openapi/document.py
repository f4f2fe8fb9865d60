"""Build the OpenAPI 3.1 document from the table of routes and the Structs that they declare."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from functools import partial
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import msgspec

from auth1 import __version__
from auth1.authn.own_hosts import ISSUER_PATH
from auth1.core.http.problems import OAuthError, Problem
from auth1.core.http.request import CSV, EVENT_STREAM, FORM, HTML, JSON, NDJSON, PNG, TEXT, Form, Image, Upload
from auth1.core.http.router import Route
from auth1.openapi import errors, metadata
from auth1.openapi.examples import MissingExample, sample
from auth1.openapi.metadata import Json
from auth1.openapi.schemas import components, parameters

_SEGMENT = {"type": "string", "pattern": r"^[A-Za-z0-9_:.\-]{1,64}$"}
_DESCRIPTIONS = {
    200: "OK",
    201: "Created",
    202: "Accepted",
    204: "No content",
    303: "See other",
    304: "Not modified",
    308: "The issuer has another address.",
    400: "The page says what is wrong.",
    403: "The page says why this is not possible.",
    422: "The page says what to change.",
    503: "Unhealthy",
}
_TEXT = {"type": "string"}
_MEDIA: dict[str, Json] = {
    CSV: _TEXT,
    EVENT_STREAM: _TEXT,
    HTML: _TEXT,
    NDJSON: _TEXT,
    TEXT: _TEXT,
    PNG: {},
    JSON: {"type": "object"},
}
_FILES: dict[Any, Json] = {
    Form: {FORM: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}},
    Image: {PNG: {"schema": {}}},
    Upload: {  # any bytes are a file; the response names the lines that are not users
        NDJSON: {"schema": {}, "example": '{"email":"ada@example.com","external_id":"42"}\n'},
        CSV: {"schema": {}, "example": "email,external_id\r\nada@example.com,42\r\n"},
    },
}


class MissingMetadata(Exception):
    """A route lacks something that its description needs. The message says what to add, and where."""


def describe(routes: Sequence[Route]) -> Json:
    """Describe all routes. Raises MissingMetadata."""
    return _Document(routes).build()


def render(document: Json) -> bytes:
    """Return the document as it is committed and served."""
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


class _Document:
    def __init__(self, routes: Sequence[Route]) -> None:
        self._operations = _operations(routes)
        kinds = list(_kinds(routes))
        shared = [Problem, *([OAuthError] if any(route.oauth for route in routes) else [])]
        references, self._schemas = components([*kinds, *shared])
        self._references: dict[Any, Json] = dict(zip([*kinds, *shared], references, strict=True))
        self._headers = {name for status in range(600) for name in errors.response_headers(status)}

    def build(self) -> Json:
        paths: dict[str, Json] = {}
        sections: dict[str, metadata.Section] = {}
        for route, *others in self._operations:
            section = _section(route)
            sections.setdefault(section.name, section)
            operation = self._operation(route, others) | {"tags": [section.name]}
            paths.setdefault(route.path, {})[route.method.lower()] = operation
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
                "responses": errors.responses(),
                "headers": {name: _header(name) for name in sorted(self._headers)},
                "securitySchemes": metadata.SCHEMES,
            },
        }

    def _operation(self, route: Route, others: list[Route]) -> Json:
        """Describe a handler at its first route. `others` are those of the operator or the sandbox to the same one."""
        doc = inspect.getdoc(route.handler)
        if not doc:
            raise _missing(route, "its handler has no docstring")
        summary, _, more = doc.partition("\n\n")
        operation: Json = {"operationId": self._name(route), "summary": " ".join(summary.split()).removesuffix(".")}
        if others:
            operation["x-sandbox-path" if route.oauth else "x-operator-path"] = others[0].path
        if more:
            operation["description"] = more
        operation["security"] = [{scheme: [] for scheme in needed} for needed in route.auth.security]
        if described := [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)]:
            operation["parameters"] = described
        if route.body is not None:
            operation["requestBody"] = {"required": not route.body_optional, "content": self._body(route)}
        found = {error for one in (route, *others) for error in (*errors.derived_errors(one), *one.errors)}
        codes = errors.oauth_codes(found) if route.oauth else errors.codes_by_status(found)
        respond: Callable[[int, list[str]], Json] = errors.reference
        if route.oauth:
            respond = errors.oauth_response
        elif route.on_error is not None:
            respond = partial(errors.page_response, below_issuer=route.path.startswith(ISSUER_PATH))
        described_errors = {str(status): respond(status, listed) for status, listed in codes.items()}
        operation["responses"] = self._responses(route, codes, described_errors)
        operation["x-error-codes"] = sorted({code for listed in codes.values() for code in listed})
        return operation

    def _name(self, route: Route) -> str:
        """Return the handler's name, with its package where two handlers share a name."""
        name = route.handler.__name__
        same = {other.handler for other, *_ in self._operations if other.handler.__name__ == name}
        return name if len(same) == 1 else f"{_package(route)}_{name}"

    def _body(self, route: Route) -> Json:
        if route.body in errors.FILES:
            return _FILES[route.body]
        schema = self._references[route.body]
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
            raise _missing(route, str(error)) from None

    def _responses(self, route: Route, codes: dict[int, list[str]], described: dict[str, Json]) -> Json:
        for status, kind in _successes(route):
            response = described.get(str(status))
            if response is None or "$ref" in response:
                response = described[str(status)] = self._success(route, status, codes.get(status, []))
            if kind is None:
                continue
            media_type = kind if isinstance(kind, str) else JSON
            content = response.setdefault("content", {}).setdefault(media_type, {})
            content["schema"] = _MEDIA[kind] if isinstance(kind, str) else self._reference(kind)
            if not isinstance(kind, str):
                content["example"] = self._sample(route, content["schema"], sent=False)
        return dict(sorted(described.items()))

    def _success(self, route: Route, status: int, codes: list[str]) -> Json:
        """Describe a response without its content, and the errors that share its status."""
        headers = [
            "x-request-id",
            *_response_headers(route, status),
            *(errors.response_headers(status) if codes else ()),
        ]
        self._headers.update(headers)
        response: Json = {
            "description": _DESCRIPTIONS[status],
            "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(headers)},
        }
        if codes:
            response["description"] += "\n\n" + ", ".join(f"`{code}`" for code in codes)
            response["content"] = {errors.PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        return response

    def _reference(self, kind: Any) -> Json:
        """Return the schema of a response of one form or of several."""
        references = [self._references[member] for member in _members(kind)]
        return references[0] if len(references) == 1 else {"anyOf": references}


def _missing(route: Route, what: str) -> MissingMetadata:
    return MissingMetadata(f"{route.method} {route.path}: {what}")


def _operations(routes: Sequence[Route]) -> list[list[Route]]:
    """Return the routes of each operation: a handler with two paths is described once, at the first."""
    by_handler: dict[Any, list[Route]] = {}
    for route in routes:
        by_handler.setdefault(route.handler, []).append(route)
    return list(by_handler.values())


def _successes(route: Route) -> Sequence[tuple[int, Any]]:
    """Return status and kind of each response that is no error."""
    kind = get_type_hints(route.handler).get("return")
    if "content_type" in getattr(kind, "_fields", ()):  # Response, or Stream
        if not route.responses:
            raise _missing(route, f"its handler returns {getattr(kind, '__name__', kind)}; declare responses=")
        return [*route.responses, *route.auth.responses]
    if kind is NoneType:
        return [(204, None), *route.auth.responses]
    if kind is None:
        raise _missing(route, "its handler does not say what it returns")
    return [(route.status, kind), *route.auth.responses]


def _kinds(routes: Sequence[Route]) -> Iterator[Any]:
    """Yield each kind of body once."""
    seen: list[Any] = []
    for route in routes:
        returned = (member for _, kind in _successes(route) for member in _members(kind))
        for kind in [route.body, *returned]:
            if kind is not None and kind not in errors.FILES and not isinstance(kind, str) and kind not in seen:
                seen.append(kind)
    yield from seen


def _members(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union; msgspec can describe no union of Structs without tags."""
    return get_args(kind) if isinstance(kind, UnionType) else (kind,)


def _package(route: Route) -> str:
    return route.handler.__module__.split(".")[1]


def _section(route: Route) -> metadata.Section:
    elsewhere = (section for pattern, section in metadata.ELSEWHERE.items() if fnmatchcase(route.path, pattern))
    name = next(elsewhere, None) or _package(route)
    return metadata.SECTIONS.get(name) or metadata.Section(name.capitalize(), f"{name.capitalize()}.")


def _path_parameters(route: Route) -> Iterator[Json]:
    for segment in route.path.split("/"):
        if segment.startswith("{"):
            name = segment.lstrip("{").partition("}")[0]
            if name not in metadata.PARAMETERS:
                raise _missing(route, f"describe {{{name}}} in PARAMETERS of auth1/openapi/metadata.py")
            description, example = metadata.PARAMETERS[name]
            described = {"description": description, "schema": _SEGMENT, "example": example}
            yield {"name": name, "in": "path", "required": True, **described}


def _query_parameters(route: Route) -> Iterator[Json]:
    if route.query is not None:
        yield from parameters(route.query)


def _header_parameters(route: Route) -> Iterator[Json]:
    idempotency = ("idempotency-key",) if route.idempotent != "no" else ()
    for name in sorted({*route.auth.request_headers, *route.request_headers, *idempotency}):
        if name not in metadata.REQUEST_HEADERS:
            raise _missing(route, f"describe the header {name} in REQUEST_HEADERS of auth1/openapi/metadata.py")
        described = {"description": metadata.REQUEST_HEADERS[name], "schema": {"type": "string"}}
        yield {"name": name, "in": "header", **described}


def _response_headers(route: Route, status: int) -> Iterator[str]:
    yield from route.response_headers
    if route.path.startswith("/api/"):
        yield "cache-control"
    if route.rate_limit is not None or any("testKey" in needed for needed in route.auth.security):
        yield from ("ratelimit-policy", "ratelimit")
    if route.idempotent != "no":
        yield "idempotent-replayed"
    if route.page:
        yield from ("content-security-policy", "referrer-policy")
    if status in (303, 308):
        yield "location"


def _header(name: str) -> Json:
    schema = {"type": "integer", "minimum": 1} if name == "retry-after" else {"type": "string"}
    header: Json = {"description": metadata.RESPONSE_HEADERS[name], "schema": schema}
    return header | ({"required": True} if name in ("x-request-id", "www-authenticate") else {})
