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


def problem(refusal: ApiError, request_id: str) -> Problem:
    """Create the problem document of an error."""
    return Problem(
        type=f"urn:auth1:problem:{refusal.code}",
        title=refusal.code.replace("_", " ").capitalize(),
        status=refusal.status,
        detail=refusal.detail,
        code=refusal.code,
        request_id=request_id,
        errors=[FieldProblem(*error) for error in refusal.errors] or None,
        attempts_remaining=refusal.attempts_remaining,
        retry_after=refusal.retry_after,
        proof=refusal.proof,
        channels=list(refusal.channels) or None,
    )


def problem_response(refusal: ApiError, request_id: str) -> tuple[int, bytes, bytes]:
    """Return status, content type and body of an error response."""
    return refusal.status, CONTENT_TYPE, schemas.encode(problem(refusal, request_id))


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


def oauth_error(refusal: ApiError) -> tuple[int, bytes, bytes]:
    """Return status, content type and body of an error response of an OAuth endpoint."""
    error = refusal.code if isinstance(refusal, OAuthApiError) else _OAUTH_CODES.get(refusal.status, "invalid_request")
    status = 400 if refusal.status in _BAD_REQUESTS else refusal.status
    return status, b"application/json", msgspec.json.encode(OAuthError(error, refusal.detail))


def headers(refusal: ApiError) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error response."""
    named = [(name.lower().encode(), value.encode()) for name, value in refusal.headers.items()]
    if refusal.challenge is not None and "www-authenticate" not in refusal.headers:
        named.append((b"www-authenticate", refusal.challenge.encode()))
    if refusal.retry_after is not None:
        named.append((b"retry-after", b"%d" % refusal.retry_after))
    return named
