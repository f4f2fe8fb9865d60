"""Request and verify codes; show challenges."""

import re
from typing import Any

from msgspec import UNSET

from auth1 import metrics
from auth1.challenges import codes, store
from auth1.challenges.magic_link import link_options
from auth1.challenges.recipients import parse_recipient
from auth1.challenges.schemas import METADATA_BYTES, ChallengeOut, CodeAnswer, CodeRequest, CodeSent, without_proof
from auth1.challenges.send_code import LOGIN, SendCode, send_code
from auth1.challenges.store import CodeResult, SubmitCode
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.core.schemas import encode
from auth1.errors import (
    FieldError,
    InvalidCode,
    NoActiveChallenge,
    NotFound,
    TooManyAttempts,
    UserBanned,
    ValidationFailed,
)
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import count_wrong_code, settle_right_code
from auth1.hooks.config import Pause
from auth1.idempotency.header import HEADER, read_claim
from auth1.identifiers import parse_identifier
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.login_hooks import run_login
from auth1.sessions.schemas import Verified
from auth1.tenants.settings import Tenant

ROUTE = "POST /api/auth/request"
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in JSON; jsonb cannot store one


async def request_code(app: Services, request: Request[Tenant], body: CodeRequest) -> CodeSent:
    """Send a one-time code to a phone or email."""
    tenant = request.caller
    identifier = parse_identifier(phone=body.phone, email=body.email)
    if body.metadata is not None:
        check_metadata(body.metadata)
    wants_link = body.mode != "code" or body.redirect_to is not None or body.code_challenge is not None
    order = SendCode(
        identifier=identifier,
        purpose=LOGIN,
        claim=read_claim(request, tenant, ROUTE, without_proof(body)) if request.header(HEADER) is not None else None,
        locale=body.locale,
        challenge_id=body.challenge_id,
        metadata=body.metadata,
        proof=body.proof,
        link=link_options(request, identifier, body) if wants_link else None,
    )
    return await send_code(app, request, tenant, order)


def check_metadata(metadata: dict[str, Any]) -> None:
    """Raise ValidationFailed for metadata that an event cannot store."""
    text = encode(metadata)
    if len(text) > METADATA_BYTES:
        raise ValidationFailed(errors=[FieldError("metadata", "Must be at most 1 KiB as JSON.")])
    if _NUL.search(text):
        raise ValidationFailed(errors=[FieldError("metadata", "Must not contain NUL characters.")])


async def verify_code(app: Services, request: Request[Tenant], body: CodeAnswer) -> Verified:
    """Verify a code: open a session, and return its tokens."""
    tenant = request.caller
    identifier = await parse_recipient(app, tenant.id, phone=body.phone, email=body.email)
    request.log["identifier"] = identifier.masked
    if tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "This tenant requires it.")])
    submission = SubmitCode(
        tenant_id=tenant.id,
        context=event_context(request, tenant.key_id),
        identifier=identifier,
        macs=codes.macs(app.keyring, tenant.id, identifier.value, body.code),
        challenge_id=body.challenge_id,
        user_id=new_id("usr"),
        session=create.new_session(request, tenant, body.device.name if body.device else None),
        event_id=new_id("evt"),
        user_event_id=new_id("evt"),
    )

    async def run(pause_before: Pause | None, allowed_user_id: str | None) -> CodeResult:
        paused = submission._replace(pause_before=pause_before, allowed_user_id=allowed_user_id)
        return await store.submit_code(app.postgres, paused)

    session_id = submission.session.session_id
    result, claims = await run_login(app, request, tenant, session_id, run, lambda _: identifier)
    metrics.CODES_VERIFIED[identifier.channel, result.verdict].inc()
    log_events(app.log, result.events)
    if result.verdict == "wrong":
        count_wrong_code(app, tenant)
    user_id = _user_of(result)
    settle_right_code(app, request, tenant, identifier)
    return await create.issue_tokens(
        app, tenant, submission.session, user_id, identifier, is_new_user=result.is_new_user, claims=claims
    )


async def get_challenge(app: Services, request: Request[Tenant]) -> ChallengeOut:
    """Return the status of a challenge and of its newest message."""
    challenge = await store.find_challenge(app.postgres, request.caller.id, request.parameters["challenge_id"])
    if challenge is None:
        raise NotFound
    tenant = request.caller
    if tenant.key_kind != "sk" and tenant.settings.sign_up == "closed":
        challenge.message = None  # only known identifiers have one: it would reveal a user
    elif challenge.message is not None and tenant.key_kind != "sk":
        challenge.message.error = UNSET  # for the tenant's server only: publishable keys are public
    return challenge


def _user_of(result: CodeResult) -> str:
    """Return the user of a right code. Raises the error of every other result."""
    match result.verdict:
        case "wrong":
            raise InvalidCode(attempts_remaining=result.attempts_remaining)
        case "exhausted" | "locked":
            raise TooManyAttempts(retry_after=max(1, result.retry_after or 0))
        case "banned":
            raise UserBanned
        case "ok" if result.user_id is not None:
            return result.user_id
    raise NoActiveChallenge
