"""Check every response of every test against the API description: status, error code, headers, media type and body."""

import copy
import json
from functools import cache
from typing import Any

import httpx
import jsonschema_rs

from auth1.core.http.router import Router
from auth1.errors import MethodNotAllowed, NotFound
from auth1.openapi.page import SNAPSHOT
from auth1.routes import ROUTES

HINT = "run `just openapi`; if it is still not described, auth1/openapi/metadata.py says how to"
# Error codes of responses without an operation.
NOWHERE = {"not_found", "method_not_allowed", "bad_request", "uri_too_long", "unavailable", "internal_error"}
OAUTH_NOWHERE = {"invalid_request", "temporarily_unavailable", "server_error"}
# Headers of HTTP itself, which no operation lists.
FREE = {"content-type", "content-length", "transfer-encoding", "connection", "date", "server", "vary", "allow"} | {
    "x-content-type-options"
}

# The errors that the tests of this process have seen: method, path of the route, code.
SEEN: set[tuple[str, str, str]] = set()

_router = Router(ROUTES)


@cache
def snapshot() -> dict[str, Any]:
    """Return the description as it is served."""
    document: dict[str, Any] = json.loads(SNAPSHOT.read_bytes())
    return document


async def hold(answer: httpx.Response) -> None:
    """Check a response; a hook for httpx."""
    if answer.request.method == "OPTIONS":
        return
    await answer.aread()
    check(answer.request.method, answer.request.url.path, answer)


def check(method: str, path: str, answer: httpx.Response) -> None:
    """Fail when a response has a status, code, body, field or header that the description lacks."""
    media_type = answer.headers.get("content-type", "").partition(";")[0]
    try:
        route = _router.find(method, path).route
    except (NotFound, MethodNotAllowed):
        if method != "HEAD":
            body = json.loads(answer.content)
            assert body["error"] in OAUTH_NOWHERE if _router.is_oauth(path) else body["code"] in NOWHERE
        return
    context = f"{method} {route.path} answered {answer.status_code}"
    verb = "get" if method == "HEAD" else method.lower()
    path = route.path
    response = described(path, verb, str(answer.status_code))
    assert response is not None, f"{context}, which is not described: {HINT}\n{answer.text}"
    _check_headers(context, response, answer)
    if method == "HEAD" or not answer.content:
        return
    # A page names no code: its status stands for the errors of that status.
    if media_type == "text/html":
        SEEN.update((method, path, error.code) for error in route.errors if error.status == answer.status_code)
    content = response.get("content", {})
    assert media_type in content, f"{context} in {media_type}, which is not described: {HINT}"
    if media_type == "application/json" or media_type.endswith("+json"):
        body = json.loads(answer.content)
        for error in validator(path, verb, str(answer.status_code), media_type).iter_errors(body):
            raise AssertionError(f"{context} with what is not described: {error.message}: {HINT}\n{answer.text[:2000]}")
    if route.oauth and answer.status_code >= 400 and media_type == "application/json":
        SEEN.add((method, path, "rate_limited" if answer.status_code == 429 else body["error"]))
    if media_type == "application/problem+json":
        code = body["code"]
        SEEN.add((method, path, code))
        assert code in operation_at(path, verb)["x-error-codes"], (
            f"{context} with the error {code}, which the route does not declare: add it to errors= in auth1/routes.py"
        )


def _check_headers(context: str, response: dict[str, Any], answer: httpx.Response) -> None:
    for name in set(answer.headers) - FREE:
        if not name.startswith("access-control-"):
            assert name in response.get("headers", {}), (
                f"{context} with the header {name}, which is not described: {HINT}"
            )
    for name, header in response.get("headers", {}).items():
        if resolve(header).get("required"):
            assert name in answer.headers, f"{context} without the header {name}"


@cache
def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Return the operation of each path and verb; an operator's path has the operation of the tenant's path."""
    found = {}
    for path, verbs in snapshot()["paths"].items():
        for verb, operation in verbs.items():
            found[path, verb] = operation
            for name in ("x-operator-path", "x-sandbox-path"):
                if name in operation:
                    found[operation[name], verb] = operation
    return found


def operation_at(path: str, verb: str) -> dict[str, Any]:
    """Return an operation."""
    return operations()[path, verb]


def described(path: str, verb: str, status: str) -> dict[str, Any] | None:
    """Return the description of one response; None without one."""
    response = operations().get((path, verb), {}).get("responses", {}).get(status)
    return None if response is None else resolve(response)


def resolve(thing: dict[str, Any]) -> dict[str, Any]:
    """Return the target of a reference inside the document."""
    if (reference := thing.get("$ref")) is None:
        return thing
    found: Any = snapshot()
    for name in reference.removeprefix("#/").split("/"):
        found = found[name]
    return dict(found)


@cache
def validator(path: str, verb: str, status: str, media_type: str) -> Any:
    """Return the validator of one response body."""
    response = described(path, verb, status)
    assert response is not None
    return of_schema(response["content"][media_type]["schema"])


def of_schema(schema: dict[str, Any]) -> Any:
    """Return a validator for a schema of the document that rejects unknown fields."""
    return _of_schema(json.dumps(schema, sort_keys=True))


@cache
def _of_schema(schema: str) -> Any:
    """Return the one validator of equal schemas: to make it takes longer than hundreds of responses."""
    whole = {**json.loads(schema), "components": {"schemas": _closed()}}
    return jsonschema_rs.validator_for(whole, validate_formats=True)


@cache
def _closed() -> dict[str, Any]:
    schemas = copy.deepcopy(snapshot()["components"]["schemas"])
    for schema in schemas.values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)
    return dict(schemas)
