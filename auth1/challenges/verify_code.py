"""Verify a code and open a session: the steps behind POST /api/auth/verify and the hosted login."""

import asyncio
from typing import Any, NamedTuple

from auth1 import metrics
from auth1.challenges import codes, store
from auth1.challenges.store import CodeResult, SubmitCode
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import InvalidCode, NoActiveChallenge, TooManyAttempts, Unavailable, UserBanned
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import count_wrong_code, settle_right_code
from auth1.hooks.config import Pause
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.sessions import create, unanswered
from auth1.sessions.create import NewSession
from auth1.sessions.login_hooks import run_login, token_claims
from auth1.sessions.schemas import Verified
from auth1.sessions.tokens import ExtraClaims, Subject
from auth1.tenants.settings import Tenant


class VerifyCode(NamedTuple):
    """A submitted code. `challenge_id` is the challenge that the caller names."""

    identifier: Identifier
    code: str
    challenge_id: str | None = None
    device_name: str | None = None


class OpenedSession(NamedTuple):
    """The session of a right code, whose row is committed. `claims` are those of the tenant's hook.

    `submission` is the code that opened it, where a repeat can find the session (`keep_unanswered`).
    """

    session: NewSession
    user_id: str
    is_new_user: bool
    claims: ExtraClaims
    submission: SubmitCode | None = None


async def log_in(app: Services, request: Request[Any], tenant: Tenant, answer: VerifyCode) -> Verified:
    """Verify a code, open a session, and return its tokens."""
    opened = await open_session(app, request, tenant, answer)
    try:
        return await create.issue_tokens(
            *(app, request, tenant, opened.session, opened.user_id, answer.identifier),
            is_new_user=opened.is_new_user,
            claims=opened.claims,
        )
    except asyncio.CancelledError:
        if opened.submission is not None:
            await keep_unanswered(app, opened.submission)
        raise


async def open_session(app: Services, request: Request[Any], tenant: Tenant, answer: VerifyCode) -> OpenedSession:
    """Verify a code: consume it, find or create the user, open the session. Raises the error of every other result."""
    identifier = answer.identifier
    submission = SubmitCode(
        tenant_id=tenant.id,
        context=event_context(request, tenant.key_id),
        identifier=identifier,
        macs=codes.macs(app.keyring, tenant.id, identifier.value, answer.code),
        challenge_id=answer.challenge_id,
        user_id=new_id("usr"),
        session=create.new_session(app, request, tenant, answer.device_name),
        event_id=new_id("evt"),
        user_event_id=new_id("evt"),
    )

    async def run(pause_before: Pause | None, allowed_user_id: str | None) -> CodeResult:
        paused = submission._replace(pause_before=pause_before, allowed_user_id=allowed_user_id)
        try:
            return await store.submit_code(app.postgres, paused)
        except (Unavailable, asyncio.CancelledError):
            await keep_unanswered(app, submission)
            raise

    session = submission.session
    result, claims = await run_login(app, request, tenant, session.session_id, run, lambda _: identifier)
    is_repeat = False
    if result.verdict == "none" and (found := await _find_unanswered(app, request, tenant, submission)):
        (result, session, claims), is_repeat = found, True
    metrics.CODES_VERIFIED[identifier.channel, result.verdict].inc()
    log_events(app.log, result.events)
    if result.verdict == "wrong":
        count_wrong_code(app, tenant)
    user_id = _user_of(result)
    settle_right_code(app, request, tenant, identifier)
    return OpenedSession(session, user_id, result.is_new_user, claims, None if is_repeat else submission)


async def keep_unanswered(app: Services, submission: SubmitCode) -> None:
    """Keep a login that may be committed although its request gets no answer, for its repeat."""
    await unanswered.keep(app.redis, _login_key(app, submission), [submission.event_id, submission.user_event_id])


async def _find_unanswered(
    app: Services, request: Request[Any], tenant: Tenant, submission: SubmitCode
) -> tuple[CodeResult, NewSession, ExtraClaims] | None:
    """Return the login of an earlier request with this code that was committed and got 503, to one caller."""
    event_ids = await unanswered.find(app.redis, _login_key(app, submission))
    found = await store.find_unanswered(app.postgres, submission, event_ids) if event_ids else None
    if found is None:
        return None
    result, session_id = found
    identifier, is_new_user = submission.identifier, result.is_new_user
    assert result.user_id is not None, "a committed login has a user"
    subject = Subject(result.user_id, session_id, identifier.channel, identifier.value)
    claims = await token_claims(app, request, tenant, subject, identifier, is_new_user=is_new_user)
    if not await store.claim_unanswered(app.postgres, tenant.id, session_id):
        return None
    return result, submission.session._replace(session_id=session_id), claims


def _login_key(app: Services, submission: SubmitCode) -> unanswered.UnansweredKey:
    identifier = submission.identifier.value
    return unanswered.login_key(app.keyring, submission.tenant_id, identifier, submission.macs[0])


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
