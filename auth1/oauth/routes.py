"""The OAuth endpoints of each tenant and of its sandbox. Web pages of any origin may call them, without cookies."""

from typing import Any

from auth1.authn.own_hosts import METADATA_PATH
from auth1.core.http.request import BodyLimit, Form
from auth1.core.http.router import Handler, Route
from auth1.errors import (
    InsufficientScope,
    InvalidAccessToken,
    InvalidClient,
    InvalidGrant,
    InvalidScope,
    RequestNotSupported,
    UnauthorizedClient,
    UnmetAuthenticationRequirements,
    UnsupportedGrantType,
    UnsupportedResponseType,
)
from auth1.oauth import endpoints, userinfo
from auth1.oauth.authorization import pushed_requests
from auth1.oauth.issuers import PATH, SANDBOX, issuer, metadata_issuer, metadata_sandbox, sandbox_issuer

PROBES = 64  # requests without a credential at once, per client address and worker
_CACHED: dict[str, Any] = {"max_concurrent": PROBES, "response_headers": ("cache-control",)}
_CLIENT: dict[str, Any] = {
    **_CACHED,
    "body": Form,
    "request_headers": ("authorization",),
}
_USERINFO: dict[str, Any] = {
    **_CACHED,
    "request_headers": ("authorization",),
    "errors": (InvalidAccessToken, InsufficientScope),
}


def _both(method: str, handler: Handler, path: str = "", **options: Any) -> tuple[Route, Route]:
    """Return the route of a tenant's issuer, and that of its sandbox."""
    options |= {"any_origin": True, "cors": False, "oauth": True}
    return (
        Route(method, PATH + path, handler, issuer, **options),
        Route(method, PATH + SANDBOX + path, handler, sandbox_issuer, **options),
    )


def _metadata(handler: Handler, before: str = "", after: str = "") -> tuple[Route, Route]:
    """Return the routes of metadata. The other addresses of the issuer redirect to its own."""
    options = _CACHED | {"any_origin": True, "cors": False, "oauth": True}
    return (
        Route("GET", before + PATH + after, handler, metadata_issuer, **options),
        Route("GET", before + PATH + SANDBOX + after, handler, metadata_sandbox, **options),
    )


OAUTH_ROUTES = (
    *_both(
        "POST",
        endpoints.issue_token,
        "/token",
        errors=(InvalidClient, InvalidGrant, InvalidScope, UnauthorizedClient, UnsupportedGrantType),
        **_CLIENT,
    ),
    *_both(
        "POST",
        pushed_requests.push_request,
        "/par",
        limit=BodyLimit(pushed_requests.MAX_BYTES),
        status=201,
        errors=(
            *(InvalidClient, InvalidScope, UnauthorizedClient, UnsupportedResponseType),
            *(RequestNotSupported, UnmetAuthenticationRequirements),
        ),
        **_CLIENT | {"response_headers": ("cache-control", "ratelimit-policy", "ratelimit")},
    ),
    *_both("POST", endpoints.introspect_token, "/introspect", errors=(InvalidClient,), **_CLIENT),
    *_both(
        "POST",
        endpoints.revoke_token,
        "/revoke",
        errors=(InvalidClient, UnauthorizedClient),
        responses=((200, None),),
        **_CLIENT,
    ),
    *_both("GET", userinfo.get_userinfo, "/userinfo", **_USERINFO),
    *_both("POST", userinfo.post_userinfo, "/userinfo", body=Form, body_optional=True, **_USERINFO),
    *_both("GET", endpoints.issuer_jwks, "/jwks", **_CACHED),
    *_metadata(endpoints.issuer_metadata, before=METADATA_PATH),
    *_metadata(endpoints.issuer_configuration, after="/.well-known/openid-configuration"),
)
