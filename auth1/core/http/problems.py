"""Errors as `application/problem+json` (RFC 9457)."""

import msgspec

from auth1.api_error import CaptchaChallenge, PowChallenge
from auth1.core import schemas
from auth1.errors import ApiError, OAuthApiError

CONTENT_TYPE = b"application/problem+json"


class FieldProblem(msgspec.Struct):
    """One field of the body and what is wrong with it."""

    field: str
    message: str


class Problem(msgspec.Struct, omit_defaults=True):
    """The body of every error response. `retry_after` is in seconds."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[FieldProblem] | None = None
    attempts_remaining: int | None = None
    retry_after: int | None = None
    proof: PowChallenge | CaptchaChallenge | None = None
    channels: list[str] | None = None


def problem(api_error: ApiError, request_id: str) -> Problem:
    """Create the problem document of an error."""
    return Problem(
        type=f"urn:auth1:problem:{api_error.code}",
        title=api_error.code.replace("_", " ").capitalize(),
        status=api_error.status,
        detail=api_error.detail,
        code=api_error.code,
        request_id=request_id,
        errors=[FieldProblem(*error) for error in api_error.errors] or None,
        attempts_remaining=api_error.attempts_remaining,
        retry_after=api_error.retry_after,
        proof=api_error.proof,
        channels=list(api_error.channels) or None,
    )


def problem_response(api_error: ApiError, request_id: str) -> tuple[int, bytes, bytes]:
    """Return status, content type and body of an error response."""
    return api_error.status, CONTENT_TYPE, schemas.encode(problem(api_error, request_id))


class OAuthError(msgspec.Struct):
    """The body of an error response of an OAuth endpoint (RFC 6749, 5.2)."""

    error: str
    error_description: str


# OAuth's codes for errors of ours, by status; others are `invalid_request`.
_OAUTH_CODES = {
    403: "access_denied",
    429: "temporarily_unavailable",
    503: "temporarily_unavailable",
    500: "server_error",
}
_BAD_REQUESTS = (415, 422)  # RFC 6749 has 400 for them


def oauth_error(api_error: ApiError) -> tuple[int, bytes, bytes]:
    """Return status, content type and body of an error response of an OAuth endpoint."""
    error = (
        api_error.code
        if isinstance(api_error, OAuthApiError)
        else _OAUTH_CODES.get(api_error.status, "invalid_request")
    )
    status = 400 if api_error.status in _BAD_REQUESTS else api_error.status
    return status, b"application/json", msgspec.json.encode(OAuthError(error, api_error.detail))


def headers(api_error: ApiError) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error response."""
    named = [(name.lower().encode(), value.encode()) for name, value in api_error.headers.items()]
    if api_error.challenge is not None and "www-authenticate" not in api_error.headers:
        named.append((b"www-authenticate", api_error.challenge.encode()))
    if api_error.retry_after is not None:
        named.append((b"retry-after", b"%d" % api_error.retry_after))
    return named
