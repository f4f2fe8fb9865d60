"""The pages of hosted logins, of each tenant and of its sandbox. Forms of other pages are rejected."""

from typing import Any

from auth1.authn.limits import PAGES, PER_IP, POLLING
from auth1.authn.management import managed
from auth1.core.http.request import HTML, Form
from auth1.core.http.router import Handler, Route
from auth1.hosted import account
from auth1.hosted.login import handlers
from auth1.hosted.preview import LoginPreviewIn, preview_login
from auth1.oauth.issuers import PATH, SANDBOX, canonical_issuer, canonical_sandbox, form_issuer, form_sandbox
from auth1.pages.errors import error_page

LOGIN = "/login/{login_id}"
ACCOUNT = "/account"
SEND_DEADLINE_S = 6.0  # of routes that wait for a provider
_PAGE: dict[str, Any] = {"page": True, "cors": False, "on_error": error_page}


def _both(method: str, handler: Handler, path: str, **options: Any) -> tuple[Route, Route]:
    """Return the route of a tenant's issuer, and that of its sandbox."""
    issuer, sandbox = (form_issuer, form_sandbox) if method == "POST" else (canonical_issuer, canonical_sandbox)
    return (
        Route(method, PATH + path, handler, issuer, **_PAGE, **options),
        Route(method, PATH + SANDBOX + path, handler, sandbox, **_PAGE, **options),
    )


HOSTED_ROUTES = (
    *_both(
        "GET",
        handlers.show_login,
        LOGIN,
        rate_limit=PAGES,
        responses=((200, HTML), (303, None), (400, HTML), (403, HTML)),
        response_headers=("cache-control", "set-cookie"),
    ),
    *_both(
        "POST",
        handlers.continue_login,
        LOGIN,
        body=Form,
        rate_limit=PER_IP,
        deadline_s=SEND_DEADLINE_S,
        responses=((200, HTML), (303, None), (400, HTML), (422, HTML)),
        response_headers=("cache-control", "set-cookie"),
    ),
    *_both(
        "GET",
        account.show_account,
        ACCOUNT,
        rate_limit=PAGES,
        responses=((200, HTML), (303, None)),
        response_headers=("cache-control", "set-cookie"),
    ),
    *_both(
        "POST",
        account.change_account,
        ACCOUNT,
        body=Form,
        rate_limit=PER_IP,
        responses=((200, HTML), (303, None)),
        response_headers=("cache-control", "set-cookie"),
    ),
    *managed(
        "POST",
        "/login-page/preview",
        preview_login,
        body=LoginPreviewIn,
        responses=((200, HTML),),
        response_headers=("cache-control", "content-security-policy", "referrer-policy"),
    ),
    *_both("GET", handlers.get_login_status, LOGIN + "/status", rate_limit=POLLING),
)
