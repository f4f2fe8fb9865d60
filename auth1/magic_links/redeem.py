"""Redeem a confirmed link: the step behind POST /api/auth/token and the hosted login."""

from typing import Any, NamedTuple

from auth1.challenges.verify_code import OpenedSession
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import AuthorizationPending, NoActiveChallenge, UserBanned
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import settle_right_code
from auth1.hooks.config import Pause
from auth1.identifiers import Identifier, stored_identifier
from auth1.magic_links import store
from auth1.magic_links.store import Proof, Redeemed, RedeemLink
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.login_hooks import run_login
from auth1.tenants.settings import Tenant

POLL_S = 2


class OpenedByLink(NamedTuple):
    """The session of a redeemed link, and the email that received it."""

    opened: OpenedSession
    identifier: Identifier


async def open_session(app: Services, request: Request[Any], tenant: Tenant, proof: Proof) -> OpenedByLink:
    """Redeem a link: find or create the user, open the session. Raises the error of every other result."""
    redemption = RedeemLink(
        tenant_id=tenant.id,
        context=event_context(request, tenant.key_id),
        proof=proof,
        user_id=new_id("usr"),
        session=create.new_session(app, request, tenant),
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
    opened = OpenedSession(redemption.session, redeemed.user_id, redeemed.is_new_user, claims)
    return OpenedByLink(opened, identifier)


def _identifier_of(redeemed: Redeemed) -> Identifier:
    assert redeemed.identifier is not None, "a redeemed link has an identifier"
    return stored_identifier("email", redeemed.identifier)
