"""Verify a code and open a session: the step behind POST /api/auth/verify and the hosted login."""

from typing import Any, NamedTuple

from auth1 import metrics
from auth1.challenges import codes, store
from auth1.challenges.store import CodeResult, SubmitCode
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import InvalidCode, NoActiveChallenge, TooManyAttempts, UserBanned
from auth1.events.log import event_context, log_events
from auth1.fraud.verification import count_wrong_code, settle_right_code
from auth1.hooks.config import Pause
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.create import NewSession
from auth1.sessions.login_hooks import run_login
from auth1.sessions.tokens import ExtraClaims
from auth1.tenants.settings import Tenant


class VerifyCode(NamedTuple):
    """A submitted code. `challenge_id` is the challenge that the caller names."""

    identifier: Identifier
    code: str
    challenge_id: str | None = None
    device_name: str | None = None


class OpenedSession(NamedTuple):
    """The session of a right code, whose row is committed. `claims` are those of the tenant's hook."""

    session: NewSession
    user_id: str
    is_new_user: bool
    claims: ExtraClaims


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
        session=create.new_session(request, tenant, answer.device_name),
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
    return OpenedSession(submission.session, user_id, result.is_new_user, claims)


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
