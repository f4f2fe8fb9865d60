"""The steps that link a phone or email to a user, and remove it: behind the API and the account pages.

An identifier belongs to no user until it is proven. Only the right code shows that it is linked to another account.
"""

from typing import Any, NamedTuple

from auth1 import metrics
from auth1.account import store
from auth1.account.store import ProofResult, ProveIdentifier, RemoveIdentifier
from auth1.challenges import codes
from auth1.challenges.schemas import CodeSent
from auth1.challenges.send_code import CodePurpose, SendCode, send_code
from auth1.core.http.request import Request
from auth1.core.ratelimit import RateLimit
from auth1.errors import Conflict, InvalidCode, NoActiveChallenge, NotFound, SessionRevoked, TooManyAttempts
from auth1.events.log import event_context, log_events
from auth1.fraud.proofs.schemas import Proof
from auth1.fraud.verification import count_wrong_code, settle_right_code
from auth1.idempotency.store import Claim
from auth1.identifiers import Identifier, IdentifierType
from auth1.services import Services
from auth1.tenants.settings import Tenant

MAX_CODES_PER_HOUR = 10  # per user, to phones and emails that the user wants to add
HOUR_MS = 3_600_000


class Owner(NamedTuple):
    """A user of a tenant that changes its identifiers, and the session of the change."""

    tenant: Tenant
    user_id: str
    session_id: str


class LinkCode(NamedTuple):
    """A code to send to a new identifier. The fields are those of `SendCode`."""

    identifier: Identifier
    claim: Claim | None = None
    locale: str | None = None
    challenge_id: str | None = None
    proof: Proof | None = None


async def send_link_code(app: Services, request: Request[Any], owner: Owner, order: LinkCode) -> CodeSent:
    """Send a code to a phone or email that the user wants to add, or that replaces the current one.

    The caller has checked that the login is recent, and that the identifier is not the user's own.
    """
    tenant = owner.tenant
    limit = RateLimit("user", f"ratelimit:{{{tenant.id}}}:adding:{owner.user_id}", MAX_CODES_PER_HOUR, HOUR_MS)
    code = SendCode(
        identifier=order.identifier,
        purpose=CodePurpose(codes.adding(owner.session_id), rate_limits=(limit,)),
        claim=order.claim,
        locale=order.locale,
        challenge_id=order.challenge_id,
        proof=order.proof,
        user_id=owner.user_id,
    )
    return await send_code(app, request, tenant, code)


async def prove(
    app: Services, request: Request[Any], owner: Owner, identifier: Identifier, code: str, challenge_id: str | None
) -> None:
    """Link a phone or email to the user after the right code. Raises the error of every other result."""
    tenant = owner.tenant
    request.log["identifier"] = identifier.masked
    purpose = codes.adding(owner.session_id)
    submission = ProveIdentifier(
        tenant_id=tenant.id,
        context=event_context(request, owner.user_id),
        identifier=identifier,
        purpose=purpose,
        macs=codes.macs(app.keyring, tenant.id, identifier.value, code, purpose),
        challenge_id=challenge_id,
        user_id=owner.user_id,
        session_id=owner.session_id,
        notice_channels=_notice_channels(app, tenant),
    )
    proved = await store.prove_identifier(app.postgres, submission)
    metrics.CODES_VERIFIED[identifier.channel, proved.verdict].inc()
    log_events(app.log, proved.events)
    await app.sessions.revoke(tenant.id, proved.revoked_sessions)
    await app.sessions.invalidate(tenant.id, proved.live_sessions)
    if proved.verdict == "wrong":
        count_wrong_code(app, tenant)
    elif proved.verdict in ("ok", "taken", "kept"):  # the code was right
        settle_right_code(app, request, tenant, identifier)
    _raise_for_verdict(proved)


async def remove(app: Services, request: Request[Any], owner: Owner, identifier_type: IdentifierType) -> None:
    """Remove a phone or email and end the sessions that it opened. Raises NotFound, Conflict for the last one.

    The caller has checked that the login is recent.
    """
    tenant = owner.tenant
    removal = RemoveIdentifier(
        tenant_id=tenant.id,
        context=event_context(request, owner.user_id),
        user_id=owner.user_id,
        session_id=owner.session_id,
        type=identifier_type,
        notice_channels=_notice_channels(app, tenant),
    )
    removed = await store.remove_identifier(app.postgres, removal)
    if removed.verdict == "none":
        raise NotFound
    if removed.verdict == "gone":
        raise SessionRevoked  # after the check of the token
    if removed.verdict == "last":
        raise Conflict("A user must keep a phone or an email; add another one first.")
    log_events(app.log, removed.events)
    await app.sessions.revoke(tenant.id, removed.revoked_sessions)
    await app.sessions.invalidate(tenant.id, removed.live_sessions)


def _notice_channels(app: Services, tenant: Tenant) -> list[str]:
    return [] if tenant.sandbox else app.messenger.channels


def _raise_for_verdict(proved: ProofResult) -> None:
    match proved.verdict:
        case "wrong":
            raise InvalidCode(attempts_remaining=proved.attempts_remaining)
        case "exhausted" | "locked":
            raise TooManyAttempts(retry_after=max(1, proved.retry_after or 0))
        case "taken":
            raise Conflict("This phone or email is already linked to another account.")
        case "gone":
            raise SessionRevoked
        case "none":
            raise NoActiveChallenge
