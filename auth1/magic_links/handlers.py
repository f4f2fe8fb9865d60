"""Show, confirm and redeem links.

Opening a link consumes nothing, because mail scanners, previews and prefetching browsers open links. Pressing the
button confirms the link. A mail scanner that also submits forms cannot be distinguished from a person.
"""

import secrets

from auth1 import metrics
from auth1.authn.own_hosts import find_tenant_of_host
from auth1.challenges.schemas import ChallengeGrant, CodeGrant
from auth1.core.crypto import digest, s256
from auth1.core.http.request import Request, Response
from auth1.core.ids import new_id
from auth1.events.log import event_context, log_events
from auth1.magic_links import pages, store
from auth1.magic_links.devices import describe_device
from auth1.magic_links.redeem import open_session
from auth1.magic_links.store import ConfirmLink, Proof
from auth1.pages.headers import page_headers
from auth1.pages.theme import default_theme, tenant_theme
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.schemas import Verified
from auth1.templates.pages import RequestOrigin, WayBack
from auth1.tenants.settings import Tenant

ACTOR = "link"


async def show_link(app: Services, request: Request[None]) -> Response:
    """Show the confirmation page of a link. Consumes nothing."""
    link = await _find_link(app, request)
    if link is not None:
        app.tenants.check_not_moved(link.tenant_id)
    if link is None or not link.is_open:
        return _expired(request, link)
    theme = tenant_theme(link.branding, link.locale)
    request.headers += page_headers(theme, link.redirect_to)
    return pages.confirm_page(theme, link.branding.name, RequestOrigin(describe_device(link.user_agent), link.network))


async def confirm_link(app: Services, request: Request[None]) -> Response:
    """Confirm a link, once. This completes its challenge and invalidates the code. It opens no session."""
    code = secrets.token_urlsafe(32)
    token_digest = digest(request.parameters["token"])
    if request.site is not None and await _find_link(app, request) is None:
        return _expired(request, None)
    confirmation = ConfirmLink(
        token_digest=token_digest,
        grant_digest=digest(code),
        event_id=new_id("evt"),
        **event_context(request, ACTOR)._asdict(),
    )
    confirmed = await store.confirm_link(app.postgres, confirmation)
    metrics.LINKS_CONFIRMED["confirmed" if confirmed else "expired"].inc()
    if confirmed is None:
        unusable = await store.find_link(app.postgres, token_digest)
        if unusable is not None:
            app.tenants.check_not_moved(unusable.tenant_id)
        return _expired(request, unusable)
    link = confirmed.link
    theme = tenant_theme(link.branding, link.locale)
    request.headers += page_headers(theme)
    log_events(app.log, confirmed.events)
    redirect_to = link.redirect_to
    if redirect_to is None:
        return pages.confirmed_page(theme, WayBack(link.branding.name, link.home))
    request.headers.append((b"location", f"{redirect_to}{'&' if '?' in redirect_to else '?'}code={code}".encode()))
    return Response(b"", 303)


async def _find_link(app: Services, request: Request[None]) -> store.Link | None:
    """Return the link of the request. At a host of a tenant there are only its own links."""
    tenant = await find_tenant_of_host(app, request)
    link = await store.find_link(app.postgres, digest(request.parameters["token"]))
    is_foreign = tenant is not None and link is not None and link.tenant_id.removesuffix(":test") != tenant.id
    return None if is_foreign else link


async def redeem(app: Services, request: Request[Tenant], grant: CodeGrant | ChallengeGrant) -> Verified:
    """Redeem a confirmed link: open a session, and return its tokens."""
    tenant = request.caller
    opened, identifier = await open_session(app, request, tenant, _proof(grant))
    return await create.issue_tokens(
        app,
        request,
        tenant,
        opened.session,
        opened.user_id,
        identifier,
        is_new_user=opened.is_new_user,
        claims=opened.claims,
    )


def _expired(request: Request[None], link: store.Link | None) -> Response:
    """Return the page of a link that cannot be used; a known link leads back to its application."""
    if link is not None:
        theme = tenant_theme(link.branding, link.locale)
        request.headers += page_headers(theme)
        return pages.expired_page(theme, WayBack(link.branding.name, link.home))
    accept_language = b",".join(request.values(b"accept-language"))
    theme = default_theme(accept_language.decode("latin-1"))
    request.headers += page_headers(theme)
    return pages.expired_page(theme)


def _proof(grant: CodeGrant | ChallengeGrant) -> Proof:
    if isinstance(grant, CodeGrant):
        return Proof(grant_digest=digest(grant.code), code_challenge=s256(grant.code_verifier))
    return Proof(challenge_id=grant.challenge_id, secret_digest=digest(grant.challenge_secret))
