"""Every error that Auth1 can return: a closed set, documented in docs/errors-and-events.md.

An error is an exception class. Its status and code are the contract, its docstring is the default message. Handlers
raise them; only `core/http/problems.py` turns them into bytes (RFC 9457, `application/problem+json`).

    ApiError
      400 AuthorizationPending BadJson BadRequest InvalidCode NoActiveChallenge
      401 InvalidApiKey InvalidToken NotAuthenticated SessionRevoked TokenExpired TokenReused
      403 AdminDisabled CountryNotAllowed Forbidden HookDenied OriginNotAllowed ProofRequired ReauthenticationRequired
          RequestBlocked TenantSuspended UserBanned
      404 NotFound   405 MethodNotAllowed   408 RequestTimeout   409 Conflict
      413 PayloadTooLarge   414 UriTooLong   415 UnsupportedMediaType   421 TenantMoved
      422 ValidationFailed InvalidPhone InvalidEmail RecipientOptedOut IdempotencyKeyReused
      429 BudgetExceeded RateLimited ResendTooSoon TooManyAttempts
      500 InternalError
      502 DeliveryFailed   503 ChannelUnavailable Unavailable

OAuth endpoints have errors of their own (OAUTH), and send all errors in OAuth's form.
"""

from auth1.api_error import ApiError as ApiError
from auth1.api_error import FieldError as FieldError
from auth1.api_error import OAuthApiError as OAuthApiError
from auth1.oauth_errors import InsufficientScope as InsufficientScope
from auth1.oauth_errors import InvalidAccessToken as InvalidAccessToken
from auth1.oauth_errors import InvalidClient as InvalidClient
from auth1.oauth_errors import InvalidGrant as InvalidGrant
from auth1.oauth_errors import InvalidScope as InvalidScope
from auth1.oauth_errors import RequestNotSupported as RequestNotSupported
from auth1.oauth_errors import UnauthorizedClient as UnauthorizedClient
from auth1.oauth_errors import UnmetAuthenticationRequirements as UnmetAuthenticationRequirements
from auth1.oauth_errors import UnsupportedGrantType as UnsupportedGrantType
from auth1.oauth_errors import UnsupportedResponseType as UnsupportedResponseType


class AuthorizationPending(ApiError):
    """The link has not been confirmed yet; retry.

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
    """There is no active code: it has expired, has been used, or was never requested."""

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
    """The session of this token is revoked or expired; sign in again."""

    status, code, challenge = 401, "session_revoked", 'Bearer error="invalid_token"'


class TokenExpired(ApiError):
    """The token has expired; refresh it."""

    status, code, challenge = 401, "token_expired", 'Bearer error="invalid_token"'


class TokenReused(ApiError):
    """This refresh token has been used before; its session is revoked in case the token was stolen."""

    status, code, challenge = 401, "token_reused", 'Bearer error="invalid_token"'


class AdminDisabled(ApiError):
    """The admin API is off: the operator has not set ADMIN_TOKEN."""

    status, code = 403, "admin_disabled"


class CountryNotAllowed(ApiError):
    """Messages to this country are not allowed."""

    status, code = 403, "country_not_allowed"


class Forbidden(ApiError):
    """This credential does not allow the request."""

    status, code = 403, "forbidden"


class HookDenied(ApiError):
    """The application does not allow this."""

    status, code = 403, "hook_denied"


class OriginNotAllowed(ApiError):
    """This API key may not be used from this web origin."""

    status, code = 403, "origin_not_allowed"


class ProofRequired(ApiError):
    """Send the request again with a `proof` that solves this one."""

    status, code = 403, "proof_required"


class ReauthenticationRequired(ApiError):
    """This needs a sign-in of the last 5 minutes; sign in again."""

    status, code = 403, "reauthentication_required"


class RequestBlocked(ApiError):
    """This request was blocked to prevent fraud."""

    status, code = 403, "request_blocked"


class TenantSuspended(ApiError):
    """This tenant is suspended."""

    status, code = 403, "tenant_suspended"


class UserBanned(ApiError):
    """This user is banned."""

    status, code = 403, "user_banned"


class NotFound(ApiError):
    """Not found."""

    status, code = 404, "not_found"


class MethodNotAllowed(ApiError):
    """This path does not support the method; see the Allow header."""

    status, code = 405, "method_not_allowed"


class RequestTimeout(ApiError):
    """The body did not arrive in time."""

    status, code = 408, "request_timeout"


class Conflict(ApiError):
    """Conflicts with an existing resource."""

    status, code = 409, "conflict"


class PayloadTooLarge(ApiError):
    """The body is larger than 16 KiB."""

    status, code = 413, "payload_too_large"


class UriTooLong(ApiError):
    """The path and query are longer than this route allows."""

    status, code = 414, "uri_too_long"


class UnsupportedMediaType(ApiError):
    """The body must have a media type that this route accepts, in UTF-8 and without a content encoding."""

    status, code = 415, "unsupported_media_type"


class TenantMoved(ApiError):
    """This tenant is served by another installation of Auth1.

    The status is that of a request to the wrong server (RFC 9110, 15.5.20), so that a proxy can send it on.
    """

    status, code = 421, "tenant_moved"


class ValidationFailed(ApiError):
    """Validation failed."""

    status, code = 422, "validation_failed"


class InvalidPhone(ApiError):
    """Must be a phone number that can receive messages, with + and country code and without spaces: +15551234567."""

    status, code = 422, "invalid_phone"


class InvalidEmail(ApiError):
    """Must be an email address that can receive messages."""

    status, code = 422, "invalid_email"


class RecipientOptedOut(ApiError):
    """The owner of this number has opted out of messages by replying STOP."""

    status, code = 422, "recipient_opted_out"


class IdempotencyKeyReused(ApiError):
    """This Idempotency-Key was used for another request; use a new key for each request."""

    status, code = 422, "idempotency_key_reused"


class BudgetExceeded(ApiError):
    """The tenant's daily budget is used up."""

    status, code = 429, "budget_exceeded"


class RateLimited(ApiError):
    """Too many requests."""

    status, code = 429, "rate_limited"


class ResendTooSoon(ApiError):
    """A code was sent recently; wait before requesting another."""

    status, code = 429, "resend_too_soon"


class TooManyAttempts(ApiError):
    """Too many wrong codes."""

    status, code = 429, "too_many_attempts"


class InternalError(ApiError):
    """Internal error; the log has the details under the request id."""

    status, code = 500, "internal_error"


class DeliveryFailed(ApiError):
    """No provider accepted the message."""

    status, code = 502, "delivery_failed"


class ChannelUnavailable(ApiError):
    """No provider is configured for this channel."""

    status, code = 503, "channel_unavailable"


class Unavailable(ApiError):
    """The service is temporarily unavailable; retry."""

    status, code = 503, "unavailable"


OAUTH: tuple[type[ApiError], ...] = tuple(OAuthApiError.__subclasses__())
ALL: tuple[type[ApiError], ...] = tuple(error for error in ApiError.__subclasses__() if error is not OAuthApiError)
