"""Every refusal that Auth1 can answer: a closed set, documented in docs/errors-and-events.md.

A refusal is an exception class: its status and code are the contract, its docstring is the default message. Handlers
raise them; `core/http/problems.py` alone turns them into bytes (RFC 9457, `application/problem+json`).

    ApiError
      400 AuthorizationPending BadJson BadRequest InvalidCode NoActiveChallenge
      401 InvalidApiKey InvalidToken NotAuthenticated SessionRevoked TokenExpired TokenReused
      403 AdminDisabled CountryNotAllowed Forbidden OriginNotAllowed ReauthenticationRequired RequestBlocked
          TenantSuspended UserBanned
      404 NotFound   405 MethodNotAllowed   408 RequestTimeout   409 Conflict
      413 PayloadTooLarge   414 UriTooLong   415 UnsupportedMediaType
      422 ValidationFailed InvalidPhone InvalidEmail RecipientOptedOut IdempotencyKeyReused
      429 BudgetExceeded RateLimited ResendTooSoon TooManyAttempts
      500 InternalError
      502 DeliveryFailed   503 ChannelUnavailable Unavailable
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple


class FieldError(NamedTuple):
    """What is wrong with one field of the body or the query: its path (`settings.otp_length`) and a sentence."""

    field: str
    message: str


class ApiError(Exception):
    """The request was refused."""

    status: ClassVar[int]
    code: ClassVar[str]
    challenge: ClassVar[str | None] = None  # the WWW-Authenticate header of a 401 (RFC 9110, 11.6.1)

    def __init__(
        self,
        detail: str | None = None,
        *,
        errors: Sequence[FieldError] = (),
        attempts_remaining: int | None = None,
        retry_after: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say more than the class does: `retry_after` in whole seconds, `headers` beside the standing ones."""
        self.detail = detail or inspect.cleandoc(type(self).__doc__ or "").partition("\n\n")[0]
        self.errors = errors
        self.attempts_remaining = attempts_remaining
        self.retry_after = retry_after
        self.headers = headers or {}
        super().__init__(self.detail)


class AuthorizationPending(ApiError):
    """The link has not been confirmed yet; ask again in a moment.

    The code is that of RFC 8628 (3.5), for a client that polls.
    """

    status, code = 400, "authorization_pending"


class BadJson(ApiError):
    """The body is not valid JSON in UTF-8."""

    status, code = 400, "bad_json"


class BadRequest(ApiError):
    """The request is not well-formed HTTP for this service."""

    status, code = 400, "bad_request"


class InvalidCode(ApiError):
    """The code is wrong."""

    status, code = 400, "invalid_code"


class NoActiveChallenge(ApiError):
    """There is no code to answer: it has expired, was used already or was never asked for."""

    status, code = 400, "no_active_challenge"


class InvalidApiKey(ApiError):
    """The API key is unknown, expired or revoked."""

    status, code, challenge = 401, "invalid_api_key", "ApiKey"


class InvalidToken(ApiError):
    """The bearer token is not valid."""

    status, code, challenge = 401, "invalid_token", 'Bearer error="invalid_token"'


class NotAuthenticated(ApiError):
    """The credential that this route needs is missing."""

    status, code, challenge = 401, "not_authenticated", "ApiKey"


class SessionRevoked(ApiError):
    """The session of this token has ended; log in again."""

    status, code, challenge = 401, "session_revoked", 'Bearer error="invalid_token"'


class TokenExpired(ApiError):
    """The token has expired; refresh it."""

    status, code, challenge = 401, "token_expired", 'Bearer error="invalid_token"'


class TokenReused(ApiError):
    """This refresh token was used before; its session has been ended, in case it was stolen."""

    status, code, challenge = 401, "token_reused", 'Bearer error="invalid_token"'


class AdminDisabled(ApiError):
    """The admin API is off: the operator has not set ADMIN_TOKEN."""

    status, code = 403, "admin_disabled"


class CountryNotAllowed(ApiError):
    """Messages to this country are not allowed."""

    status, code = 403, "country_not_allowed"


class Forbidden(ApiError):
    """This credential may not do that."""

    status, code = 403, "forbidden"


class OriginNotAllowed(ApiError):
    """This API key may not be used from this web origin."""

    status, code = 403, "origin_not_allowed"


class ReauthenticationRequired(ApiError):
    """This needs a login that is not older than 5 minutes; log in again."""

    status, code = 403, "reauthentication_required"


class RequestBlocked(ApiError):
    """This request was blocked to prevent fraud."""

    status, code = 403, "request_blocked"


class TenantSuspended(ApiError):
    """This tenant is suspended."""

    status, code = 403, "tenant_suspended"


class UserBanned(ApiError):
    """This user may not log in."""

    status, code = 403, "user_banned"


class NotFound(ApiError):
    """There is nothing here."""

    status, code = 404, "not_found"


class MethodNotAllowed(ApiError):
    """This path does not answer that method; the Allow header names those it does."""

    status, code = 405, "method_not_allowed"


class RequestTimeout(ApiError):
    """The body did not arrive in time."""

    status, code = 408, "request_timeout"


class Conflict(ApiError):
    """This would contradict something that exists already."""

    status, code = 409, "conflict"


class PayloadTooLarge(ApiError):
    """The body is larger than 16 KiB."""

    status, code = 413, "payload_too_large"


class UriTooLong(ApiError):
    """The request target is longer than 2 KiB."""

    status, code = 414, "uri_too_long"


class UnsupportedMediaType(ApiError):
    """The body must be of the media type that this route takes, in UTF-8 and without a content encoding."""

    status, code = 415, "unsupported_media_type"


class ValidationFailed(ApiError):
    """What was sent is well-formed, but not what this route takes."""

    status, code = 422, "validation_failed"


class InvalidPhone(ApiError):
    """This is not a phone number that can receive a message; write it as +15551234567."""

    status, code = 422, "invalid_phone"


class InvalidEmail(ApiError):
    """This is not an email address that can receive a message."""

    status, code = 422, "invalid_email"


class RecipientOptedOut(ApiError):
    """The owner of this number has opted out of messages by replying STOP."""

    status, code = 422, "recipient_opted_out"


class IdempotencyKeyReused(ApiError):
    """This Idempotency-Key was used for another request; take a new one for each."""

    status, code = 422, "idempotency_key_reused"


class BudgetExceeded(ApiError):
    """What this tenant may send today is used up."""

    status, code = 429, "budget_exceeded"


class RateLimited(ApiError):
    """Too many requests."""

    status, code = 429, "rate_limited"


class ResendTooSoon(ApiError):
    """A code was sent a moment ago; wait before asking for another."""

    status, code = 429, "resend_too_soon"


class TooManyAttempts(ApiError):
    """Too many wrong codes."""

    status, code = 429, "too_many_attempts"


class InternalError(ApiError):
    """Something went wrong on our side; the request id finds it in the log."""

    status, code = 500, "internal_error"


class DeliveryFailed(ApiError):
    """No provider took the message."""

    status, code = 502, "delivery_failed"


class ChannelUnavailable(ApiError):
    """No provider is configured for this channel."""

    status, code = 503, "channel_unavailable"


class Unavailable(ApiError):
    """The service cannot answer right now; try again in a moment."""

    status, code = 503, "unavailable"


ALL: tuple[type[ApiError], ...] = tuple(ApiError.__subclasses__())
