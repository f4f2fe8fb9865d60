"""Errors of the OAuth endpoints (RFC 6749, 5.2). `auth1/errors.py` lists them."""

from auth1.api_error import ApiError


class InvalidClient(ApiError):
    """The client is unknown or disabled, or its secret is wrong."""

    status, code, oauth_error, challenge = 401, "invalid_client", "invalid_client", 'Basic realm="oauth"'


class InvalidScope(ApiError):
    """The application does not have this scope."""

    status, code, oauth_error = 400, "invalid_scope", "invalid_scope"


class UnauthorizedClient(ApiError):
    """The token was issued to another client."""

    status, code, oauth_error = 400, "unauthorized_client", "unauthorized_client"


class UnsupportedGrantType(ApiError):
    """The grant type is not supported."""

    status, code, oauth_error = 400, "unsupported_grant_type", "unsupported_grant_type"
