"""Errors of the OAuth endpoints (RFC 6749, 5.2). `auth1/errors.py` lists them."""

from auth1.api_error import OAuthApiError


class InvalidClient(OAuthApiError):
    """The client is unknown or disabled, or its secret is wrong."""

    status, code, challenge = 401, "invalid_client", 'Basic realm="oauth"'


class InvalidScope(OAuthApiError):
    """The application does not have this scope."""

    status, code = 400, "invalid_scope"


class UnauthorizedClient(OAuthApiError):
    """The token was issued to another client."""

    status, code = 400, "unauthorized_client"


class UnsupportedResponseType(OAuthApiError):
    """The response type must be code."""

    status, code = 400, "unsupported_response_type"


class RequestNotSupported(OAuthApiError):
    """The parameter request is not supported."""

    status, code = 400, "request_not_supported"


class UnmetAuthenticationRequirements(OAuthApiError):
    """The essential acr cannot be reached by this login."""

    status, code = 400, "unmet_authentication_requirements"


class UnsupportedGrantType(OAuthApiError):
    """The grant type is not supported."""

    status, code = 400, "unsupported_grant_type"


class InvalidGrant(OAuthApiError):
    """The code or the refresh token is invalid, expired, revoked, or was issued to another client."""

    status, code = 400, "invalid_grant"


class InvalidAccessToken(OAuthApiError):
    """The access token is invalid, expired or revoked."""

    status, code, challenge = 401, "invalid_token", 'Bearer realm="userinfo", error="invalid_token"'


class InsufficientScope(OAuthApiError):
    """The access token needs the scope openid."""

    status, code = 403, "insufficient_scope"
    challenge = 'Bearer realm="userinfo", error="insufficient_scope", scope="openid"'
