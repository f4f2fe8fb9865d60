"""The endpoints that browsers visit, of each tenant and of its sandbox. They answer with redirects and pages."""

from typing import Any

from auth1.authn.limits import POLLING
from auth1.core.http.request import HTML, LONG_TARGET_BYTES, Form
from auth1.core.http.router import Handler, Route
from auth1.errors import Forbidden
from auth1.oauth import logout
from auth1.oauth.authorization import authorize
from auth1.oauth.issuers import PATH, SANDBOX, canonical_issuer, canonical_sandbox
from auth1.pages.errors import error_page

_PAGE: dict[str, Any] = {
    "rate_limit": POLLING,
    "page": True,
    "cors": False,
    "on_error": error_page,
    "target_bytes": LONG_TARGET_BYTES,
    "responses": ((303, None), (200, HTML), (400, HTML)),
    "response_headers": ("cache-control", "location", "set-cookie"),
}


def _both(method: str, path: str, handler: Handler, **options: Any) -> tuple[Route, Route]:
    """Return the route of a tenant's issuer, and that of its sandbox."""
    return (
        Route(method, PATH + path, handler, canonical_issuer, **_PAGE, **options),
        Route(method, PATH + SANDBOX + path, handler, canonical_sandbox, **_PAGE, **options),
    )


BROWSER_ROUTES = (
    *_both("GET", "/authorize", authorize.get_authorize),
    *_both("POST", "/authorize", authorize.post_authorize, body=Form),
    *_both("GET", "/logout", logout.get_logout),
    *_both("POST", "/logout", logout.post_logout, body=Form, errors=(Forbidden,)),
)
