"""Show, confirm and redeem links.

Opening a link consumes nothing, because mail scanners, previews and prefetching browsers open links. Pressing the
button confirms the link. A scanner that also presses buttons cannot be distinguished from a person.
"""

import secrets

from auth1 import metrics
from auth1.challenges import magic_link
from auth1.challenges.schemas import ChallengeGrant, CodeGrant
from auth1.core.crypto import digest
from auth1.core.http.request import Request, Response
from auth1.core.ids import new_id
from auth1.errors import AuthorizationPending, NoActiveChallenge, UserBanned
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import settle_right_code
from auth1.hooks.config import Pause
from auth1.identifiers import Identifier, stored_identifier
from auth1.magic_links import pages, store
from auth1.magic_links.devices import describe_device
from auth1.magic_links.store import ConfirmLink, Proof, Redeemed, RedeemLink
from auth1.pages.headers import page_headers
from auth1.pages.theme import default_theme, tenant_theme
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.login_hooks import run_login
from auth1.sessions.schemas import Verified
from auth1.templates.pages import RequestOrigin, WayBack
from auth1.tenants.settings import Tenant

ACTOR = "link"
POLL_S = 2


async def show_link(app: Services, request: Request[None]) -> Response:
    """Show the confirmation page of a link. Consumes nothing."""
    link = await store.find_link(app.postgres, digest(request.parameters["token"]))
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
    confirmation = ConfirmLink(
        token_digest=token_digest,
        grant_digest=digest(code),
        event_id=new_id("evt"),
        **event_context(request, ACTOR)._asdict(),
    )
    confirmed = await store.confirm_link(app.postgres, confirmation)
    metrics.LINKS_CONFIRMED["confirmed" if confirmed else "dead"].inc()
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


async def redeem(app: Services, request: Request[Tenant], grant: CodeGrant | ChallengeGrant) -> Verified:
    """Redeem a confirmed link: open a session, and return its tokens."""
    tenant = request.caller
    redemption = RedeemLink(
        tenant_id=tenant.id,
        context=event_context(request, tenant.key_id),
        proof=_proof(grant),
        user_id=new_id("usr"),
        session=create.new_session(request, tenant),
        event_id=new_id("evt"),
        user_event_id=new_id("evt"),
    )

    async def run(pause_before: Pause | None, allowed_user_id: str | None) -> Redeemed:
        paused = redemption._replace(pause_before=pause_before, allowed_user_id=allowed_user_id)
        return await store.redeem_link(app.postgres, paused)

    session_id = redemption.session.session_id
    redeemed, claims = await run_login(app, request, tenant, session_id, run, _identifier_of)
    log_events(app.log, redeemed.events)
    match redeemed.verdict:
        case "banned":
            raise UserBanned
        case "pending":
            raise AuthorizationPending(retry_after=POLL_S)
        case "none":
            raise NoActiveChallenge
    assert redeemed.user_id is not None, "a redeemed link has a user"
    identifier = _identifier_of(redeemed)
    settle_right_code(app, request, tenant, identifier)
    return await create.issue_tokens(
        app,
        tenant,
        redemption.session,
        redeemed.user_id,
        identifier,
        is_new_user=redeemed.is_new_user,
        claims=claims,
    )


def _identifier_of(redeemed: Redeemed) -> Identifier:
    assert redeemed.identifier is not None, "a redeemed link has an identifier"
    return stored_identifier("email", redeemed.identifier)


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
        return Proof(grant_digest=digest(grant.code), code_challenge=magic_link.s256(grant.code_verifier))
    return Proof(challenge_id=grant.challenge_id, secret_digest=digest(grant.challenge_secret))
