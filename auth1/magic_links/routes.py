"""The page behind a link."""

from typing import Any

from auth1.authn.guards import public
from auth1.authn.limits import PER_IP, POLLING
from auth1.challenges.magic_link import PATH
from auth1.core.http.request import HTML, Request
from auth1.core.http.router import Auth, Route
from auth1.core.ratelimit import ClientRateLimit
from auth1.errors import Forbidden, TenantMoved
from auth1.magic_links import handlers
from auth1.pages.fetch_metadata import check_site
from auth1.services import Services

PROBES = 64  # requests without a credential at once, per client address and worker
_PAGE: dict[str, Any] = {"max_concurrent": PROBES, "page": True, "errors": (TenantMoved,)}


async def _form(app: Services, request: Request[None], rate_limit: ClientRateLimit | None) -> None:
    check_site(request)
    await public.authenticate(app, request, rate_limit)


# No credential. Forms of other sites are rejected before they count.
_public_form = Auth("public_form", _form, errors=(Forbidden,))

LINK_ROUTES = (
    Route(
        "GET",
        PATH,
        handlers.show_link,
        public,
        **_PAGE,
        rate_limit=POLLING,
        responses=((200, HTML), (400, HTML)),
    ),
    Route(
        "POST",
        PATH,
        handlers.confirm_link,
        _public_form,
        **_PAGE,
        rate_limit=PER_IP,
        responses=((200, HTML), (303, None), (400, HTML)),
    ),
)
