"""The page behind a link."""

from typing import Any

from auth1.authn.guards import public
from auth1.authn.limits import PER_IP, POLLING
from auth1.challenges.magic_link import PATH
from auth1.core.http.request import HTML
from auth1.core.http.router import Route
from auth1.errors import TenantMoved
from auth1.magic_links import handlers

PROBES = 64  # requests without a credential at once, per client address and worker
_PAGE: dict[str, Any] = {"auth": public, "max_concurrent": PROBES, "page": True, "errors": (TenantMoved,)}

LINK_ROUTES = (
    Route(
        "GET",
        PATH,
        handlers.show_link,
        **_PAGE,
        rate_limit=POLLING,
        responses=((200, HTML), (400, HTML)),
    ),
    Route(
        "POST",
        PATH,
        handlers.confirm_link,
        **_PAGE,
        rate_limit=PER_IP,
        responses=((200, HTML), (303, None), (400, HTML)),
    ),
)
