"""Add, change and remove a user's phone and email; each is verified by a challenge after a recent login.

An identifier belongs to no user until it is proven. Only the right code shows that it is linked to another account.
"""

from auth1 import metrics
from auth1.account import store
from auth1.account.schemas import IdentifierIn, IdentifierOut, IdentifierProof, Identifiers
from auth1.account.store import ProofResult, ProveIdentifier, RemoveIdentifier
from auth1.challenges import codes
from auth1.challenges.recipients import parse_recipient
from auth1.challenges.schemas import CodeSent, without_proof
from auth1.challenges.send_code import CodePurpose, SendCode, send_code
from auth1.core.http.request import Request
from auth1.core.ratelimit import RateLimit
from auth1.errors import (
    Conflict,
    FieldError,
    InvalidCode,
    NoActiveChallenge,
    NotFound,
    SessionRevoked,
    TooManyAttempts,
    ValidationFailed,
)
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import count_wrong_code, settle_right_code
from auth1.idempotency.header import read_claim
from auth1.identifiers import IdentifierType, parse_identifier
from auth1.services import Services
from auth1.sessions.guards import LoggedIn, require_recent_login
from auth1.tenants.settings import Tenant

ROUTE = "POST /api/auth/me/identifiers"
MAX_CODES_PER_HOUR = 10  # per user, to phones and emails that the user wants to add
HOUR_MS = 3_600_000


async def list_identifiers(app: Services, request: Request[LoggedIn]) -> Identifiers:
    """List the phone and email that the user can log in with."""
    user = request.caller.user
    known: list[tuple[IdentifierType, str | None]] = [("phone", user.phone), ("email", user.email)]
    return Identifiers([IdentifierOut(kind, value) for kind, value in known if value is not None])


async def begin_identifier(app: Services, request: Request[LoggedIn], body: IdentifierIn) -> CodeSent:
    """Send a code to a phone or email that the user wants to add, or that replaces the current one."""
    caller = request.caller
    require_recent_login(caller)
    own = (caller.user.phone, caller.user.email)
    # The user's phone may have been stored under other rules than today's.
    is_own_phone = body.email is None and body.phone is not None and body.phone in own
    if is_own_phone or (identifier := parse_identifier(phone=body.phone, email=body.email)).value in own:
        raise Conflict("This phone or email is already linked to your account.")
    tenant = caller.tenant
    limit = RateLimit("user", f"slots:{{{tenant.id}}}:adding:{caller.user_id}", MAX_CODES_PER_HOUR, HOUR_MS)
    order = SendCode(
        identifier=identifier,
        purpose=CodePurpose(codes.adding(caller.session_id), rate_limits=(limit,)),
        claim=read_claim(
            request, tenant, f"{ROUTE} {caller.session_id}", without_proof(body)
        ),  # a key belongs to one session
        locale=body.locale,
        challenge_id=body.challenge_id,
        proof=body.proof,
        user_id=caller.user_id,
    )
    return await send_code(app, request, tenant, order)


async def prove_identifier(app: Services, request: Request[LoggedIn], body: IdentifierProof) -> IdentifierOut:
    """Link a phone or email to the user after the right code. The same session must have requested it."""
    caller = request.caller
    tenant = caller.tenant
    identifier = await parse_recipient(app, tenant.id, phone=body.phone, email=body.email)
    request.log["identifier"] = identifier.masked
    if tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "This tenant requires it.")])
    purpose = codes.adding(caller.session_id)
    submission = ProveIdentifier(
        tenant_id=tenant.id,
        context=event_context(request, caller.user_id),
        identifier=identifier,
        purpose=purpose,
        macs=codes.macs(app.keyring, tenant.id, identifier.value, body.code, purpose),
        challenge_id=body.challenge_id,
        user_id=caller.user_id,
        session_id=caller.session_id,
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
    return IdentifierOut(identifier.type, identifier.value)


async def remove_identifier(app: Services, request: Request[LoggedIn]) -> None:
    """Remove a phone or email and end the sessions that it opened. The last one cannot be removed."""
    caller = request.caller
    tenant_id = caller.tenant.id
    identifier_type = request.parameters["type"]
    if identifier_type not in ("phone", "email"):
        raise NotFound
    require_recent_login(caller)
    removal = RemoveIdentifier(
        tenant_id=tenant_id,
        context=event_context(request, caller.user_id),
        user_id=caller.user_id,
        session_id=caller.session_id,
        type="phone" if identifier_type == "phone" else "email",
        notice_channels=_notice_channels(app, caller.tenant),
    )
    removed = await store.remove_identifier(app.postgres, removal)
    if removed.verdict == "none":
        raise NotFound
    if removed.verdict == "gone":
        raise SessionRevoked  # after the check of the token
    if removed.verdict == "last":
        raise Conflict("A user must keep a phone or an email; add another one first.")
    log_events(app.log, removed.events)
    await app.sessions.revoke(tenant_id, removed.revoked_sessions)
    await app.sessions.invalidate(tenant_id, removed.live_sessions)


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
