"""Ask for a code, and answer with it."""

from msgspec import UNSET

from auth1 import metrics
from auth1.authn.guards import raise_if_limited
from auth1.challenges import codes, magic_link, sandbox, send_code, store
from auth1.challenges.messages import render_code
from auth1.challenges.schemas import ChallengeOut, CodeAnswer, CodeRequest, CodeSent
from auth1.challenges.send_code import Cause
from auth1.challenges.store import ChallengeOpened, ChallengeRejected, CodeResult, OpenChallenge, SubmitCode
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import (
    FieldError,
    InternalError,
    InvalidCode,
    NoActiveChallenge,
    NotFound,
    TooManyAttempts,
    UserBanned,
    ValidationFailed,
)
from auth1.events.log import event_context, log_events
from auth1.fraud.assess import block_rate_limit, rate_limits
from auth1.idempotency import run_idempotent
from auth1.idempotency.store import release_key, store_response
from auth1.identifiers import Identifier, parse_identifier
from auth1.messaging.dispatcher import error_for_delivery
from auth1.services import Services
from auth1.sessions import create
from auth1.sessions.schemas import Verified
from auth1.tenants.settings import Tenant


async def request_code(app: Services, request: Request[Tenant], body: CodeRequest) -> CodeSent:
    """Send a one-time code to a phone or email that someone says is theirs."""
    return await ask(app, request, body, send_code.FOR_LOGIN)


async def ask(app: Services, request: Request[Tenant], body: CodeRequest, cause: Cause) -> CodeSent:
    """Send a code for what it is asked for."""
    tenant = request.caller
    claim = run_idempotent.read(request, cause.route, body)
    identifier = _identify(request, body)
    app.messenger.first_provider(identifier.channel, sandbox=tenant.sandbox)
    send_code.check_metadata(body.metadata)
    message_id = new_id("msg")
    link = magic_link.create_magic_link(app.keyring, tenant, identifier, body, message_id)
    if tenant.sandbox:
        sandbox.refuse_magic(identifier)
    else:
        await send_code.refuse_risky(app, request, identifier)
        slots = await app.limiter.acquire(*rate_limits(tenant, identifier.value, identifier.block), *cause.limits)
        if slots.limited_by is not None or tenant.key_kind == "sk":
            raise_if_limited(request, slots)

    with app.messenger.reserve_capacity(identifier.channel, sandbox=tenant.sandbox) as reserved:
        # With sign-up closed the outbox sends every message: the time of a provider would reveal a user.
        provider = reserved if tenant.settings.sign_up == "open" else None
        # The row is committed before anything is sent: a process that dies from here on leaves a message that the
        # outbox finishes, or a trace that its fate is unknown.
        asked = send_code.open_request(app, request, identifier, body, link, message_id, provider, claim, cause.purpose)
        opened = await _open(app, request, asked)
        live_code = codes.unseal(app.keyring, tenant.id, identifier.value, opened.code_box, cause.purpose)
        if live_code is None:
            raise InternalError("The live code was sealed under a secret that is no longer accepted.")
        sent = CodeSent(
            challenge_id=opened.challenge_id,
            channel=identifier.channel,
            status="queued" if provider is None else "sent",
            destination=identifier.masked,
            expires_in=opened.expires_in,
            resend_after=opened.resend_after,
            code_length=len(live_code),
            challenge_secret=link.secret if link is not None else UNSET,
            link=link.address(app.settings.app_url) if link is not None and tenant.sandbox else UNSET,
        )
        if provider is not None:
            await _send(app, request, asked, live_code, sent)
        elif claim is not None:
            box = run_idempotent.seal(app.keyring, claim, 200, sent)
            await store_response(app.postgres, claim, message_id, box)
    return sent


async def _open(app: Services, request: Request[Tenant], asked: OpenChallenge) -> ChallengeOpened:
    """Open the challenge. Raises the reason of a rejection, or the response to the same Idempotency-Key."""
    tenant, identifier = request.caller, asked.identifier
    opened = await store.open_challenge(app.postgres, asked)
    metrics.CODES_REQUESTED.labels(identifier.channel, opened.verdict).inc()
    log_events(app.log, opened.events)
    if isinstance(opened, ChallengeRejected):
        if identifier.block is not None:
            app.limiter.release_later(block_rate_limit(tenant, identifier.block))  # it counts what is sent
        if opened.frees_key and asked.claim is not None:
            await release_key(app.postgres, asked.claim, asked.message_id)
        raise send_code.refuse_unopened(app, request, asked.claim, opened)
    return opened


async def _send(app: Services, request: Request[Tenant], asked: OpenChallenge, code: str, sent: CodeSent) -> None:
    """Hand the message to the providers of its channel. Raises what refusal_of says."""
    tenant, identifier, link = request.caller, asked.identifier, asked.link
    outgoing = render_code(
        tenant_id=tenant.id,
        message_id=asked.message_id,
        to=identifier.value,
        channel=identifier.channel,
        tenant_name=tenant.name,
        settings=tenant.settings,
        locale=asked.locale,
        code=code if link is None or link.with_code else None,
        link=link.address(app.settings.app_url) if link is not None else None,
        expires_in=sent.expires_in,
        purpose=asked.purpose,
    )
    delivery = await app.messenger.send(
        identifier.channel,
        outgoing,
        context=asked.context,
        keep=send_code.keeping(app, request, asked.claim, sent),
    )
    if delivery.state == "queued":
        sent.status = "queued"
    refusal = error_for_delivery(delivery, identifier.channel)
    if refusal is not None:
        raise refusal


async def verify_code(app: Services, request: Request[Tenant], body: CodeAnswer) -> Verified:
    """Open a session for whoever knows the code."""
    tenant = request.caller
    identifier = _identify(request, body)
    if tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "Required by this tenant")])
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
    answered = await store.submit_code(app.postgres, submission)
    metrics.CODES_VERIFIED.labels(identifier.channel, answered.verdict).inc()
    log_events(app.log, answered.events)
    user_id = _refuse_unanswered(answered)
    if identifier.block is not None:
        app.limiter.release_later(block_rate_limit(tenant, identifier.block))
    return await create.issue_tokens(
        app, tenant, submission.session, user_id, identifier, is_new_user=answered.is_new_user
    )


async def get_challenge(app: Services, request: Request[Tenant]) -> ChallengeOut:
    """Return the status of a challenge and of its newest message."""
    challenge = await store.find_challenge(app.postgres, request.caller.id, request.parameters["challenge_id"])
    if challenge is None:
        raise NotFound
    if challenge.message is not None and request.caller.key_kind != "sk":
        challenge.message.error = UNSET  # for the tenant's server only: publishable keys are public
    return challenge


def _identify(request: Request[Tenant], body: CodeRequest | CodeAnswer) -> Identifier:
    identifier = parse_identifier(phone=body.phone, email=body.email)
    request.log["identifier"] = identifier.masked
    return identifier


def _refuse_unanswered(answered: CodeResult) -> str:
    """Raise what a verdict means to the caller; returns the user's id where it means success."""
    match answered.verdict:
        case "wrong":
            raise InvalidCode(attempts_remaining=answered.attempts_remaining)
        case "exhausted" | "locked":
            raise TooManyAttempts(retry_after=max(1, answered.retry_after or 0))
        case "banned":
            raise UserBanned
        case "ok" if answered.user_id is not None:
            return answered.user_id
    raise NoActiveChallenge
