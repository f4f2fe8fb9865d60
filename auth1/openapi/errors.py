"""Error responses: the errors of a route, and one shared response for each status."""

from http import HTTPStatus
from typing import Any

import msgspec

from auth1 import errors
from auth1.core.http.problems import CONTENT_TYPE, OAuthError, oauth_error, problem
from auth1.core.http.request import HTML, JSON, Form, Image, Upload
from auth1.core.http.router import Route
from auth1.errors import ApiError
from auth1.oauth_errors import InsufficientScope
from auth1.openapi import metadata
from auth1.openapi.metadata import Json

PROBLEM = CONTENT_TYPE.decode()
_OAUTH_ERROR: Json = {JSON: {"schema": {"$ref": "#/components/schemas/OAuthError"}}}
FILES: tuple[Any, ...] = (Form, Image, Upload)  # bodies that are not JSON

_ANY_REQUEST = (errors.BadRequest, errors.UriTooLong, errors.Unavailable, errors.InternalError)
_ANY_BODY = (errors.UnsupportedMediaType, errors.PayloadTooLarge, errors.RequestTimeout)
_JSON_BODY = (errors.BadJson, errors.ValidationFailed)
_IDEMPOTENT = (errors.Conflict, errors.IdempotencyKeyReused, errors.ValidationFailed)
_NAMES = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "RequestTimeout",
    409: "Conflict",
    413: "ContentTooLarge",
    414: "UriTooLong",
    415: "UnsupportedMediaType",
    421: "MisdirectedRequest",
    422: "UnprocessableContent",
    429: "TooManyRequests",
    500: "InternalServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
}
_RETRY_AFTER = (400, 409, 429, 502, 503)
_REPLAYED = (422, 502, 503)  # an Idempotency-Key may repeat them


def derived_errors(route: Route) -> set[type[ApiError]]:
    """Return the errors that follow from the declarations of a route: its credentials, rate limit, query and body."""
    found: set[type[ApiError]] = {*_ANY_REQUEST, *route.auth.errors}
    if route.rate_limit is not None:
        found.add(errors.RateLimited)
    if not route.page and not route.any_origin:
        found.add(errors.OriginNotAllowed)
    if "{" in route.path:
        found.add(errors.NotFound)  # a value that cannot be an id
    if route.query is not None:
        found.add(errors.ValidationFailed)
    if route.body is not None:
        found.update(_ANY_BODY if route.body in FILES else (*_ANY_BODY, *_JSON_BODY))
    if route.idempotent != "no":
        found.update(_IDEMPOTENT)
    return found


def oauth_codes(found: set[type[ApiError]]) -> dict[int, list[str]]:
    """Return the codes of an OAuth endpoint's errors by status, both in order."""
    by_status: dict[int, set[str]] = {}
    for error in found:
        status, _, body = oauth_error(error())
        by_status.setdefault(status, set()).add(msgspec.json.decode(body, type=OAuthError).error)
    return {status: sorted(codes) for status, codes in sorted(by_status.items())}


def oauth_response(status: int, codes: list[str]) -> Json:
    """Return an error response of an OAuth endpoint."""
    headers: Json = {name: {"$ref": f"#/components/headers/{name}"} for name in response_headers(status)}
    if InsufficientScope.code in codes:
        challenge = "With `insufficient_scope`: the scope that is needed (RFC 6750, 3)."
        headers["www-authenticate"] = {"description": challenge, "schema": {"type": "string"}}
    return {"description": ", ".join(f"`{code}`" for code in codes), "headers": headers, "content": _OAUTH_ERROR}


def page_response(status: int, codes: list[str], *, below_issuer: bool) -> Json:
    """Return an error response of a page for people.

    A request that does not reach it gets a problem document, or an OAuth error below an issuer.
    """
    content: Json = {HTML: {"schema": {"type": "string"}}}
    if any(error.status == status for error in (*_ANY_REQUEST, errors.NotFound)):
        content |= _OAUTH_ERROR if below_issuer else {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    headers = [*response_headers(status), "content-security-policy", "referrer-policy"]
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in headers},
        "content": content,
    }


def codes_by_status(found: set[type[ApiError]]) -> dict[int, list[str]]:
    """Return the codes of errors by status, both in order."""
    by_status: dict[int, list[str]] = {}
    for error in sorted(found, key=lambda one: (one.status, one.code)):
        by_status.setdefault(error.status, []).append(error.code)
    return by_status


def reference(status: int, codes: list[str]) -> Json:
    """Return the response of an operation: the shared one, with the codes of this operation."""
    return {
        "$ref": f"#/components/responses/{_NAMES[status]}",
        "description": ", ".join(f"`{code}`" for code in codes),
    }


def responses() -> dict[str, Json]:
    """Return the shared response of each status."""
    by_status: dict[int, list[type[ApiError]]] = {}
    for error in sorted(errors.ALL, key=lambda one: (one.status, one.code)):
        by_status.setdefault(error.status, []).append(error)
    return {_NAMES[status]: _response(status, found) for status, found in by_status.items()}


def response_headers(status: int) -> list[str]:
    """Return the headers that an error response of a status may have."""
    headers = ["x-request-id", "cache-control", "ratelimit-policy", "ratelimit"]
    headers += ["allow"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []
    headers += ["www-authenticate"] if status == HTTPStatus.UNAUTHORIZED else []
    headers += ["retry-after"] if status in _RETRY_AFTER else []
    headers += ["idempotent-replayed"] if status in _REPLAYED else []
    return headers


def _response(status: int, found: list[type[ApiError]]) -> Json:
    first = found[0](retry_after=30) if status == HTTPStatus.TOO_MANY_REQUESTS else found[0]()
    return {
        "description": "\n".join(f"- `{error.code}`: {error().detail}" for error in found),
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in response_headers(status)},
        "content": {
            PROBLEM: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "example": msgspec.to_builtins(problem(first, metadata.REQUEST_ID)),
            }
        },
    }
