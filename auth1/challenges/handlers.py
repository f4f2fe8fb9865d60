"""Ask for a code, and answer with it."""

import re
from typing import Any

from msgspec import UNSET

from auth1 import metrics
from auth1.callers.guards import tell_limits
from auth1.callers.tenant import Tenant
from auth1.challenges import codes, links, logins, sandbox, store
from auth1.challenges.identifiers import Identifier, parse_identifier
from auth1.challenges.links import NewLink
from auth1.challenges.schemas import METADATA_BYTES, CodeAnswer, CodeRequest, CodeSent, Verified
from auth1.challenges.store import Answered, Answering, Opened, Opening
from auth1.challenges.wording import word
from auth1.core.call import Call
from auth1.core.ids import new_id
from auth1.core.schemas import encode
from auth1.errors import (
    CountryNotAllowed,
    FieldError,
    InternalError,
    InvalidCode,
    NoActiveChallenge,
    RateLimited,
    RequestBlocked,
    ResendTooSoon,
    TooManyAttempts,
    UserBanned,
    ValidationFailed,
)
from auth1.events.types import Event, EventType, tell
from auth1.fraud.assess import assess, block_bucket, buckets
from auth1.messaging.send import refuse_failed
from auth1.services import Services
from auth1.sessions import opening

RESEND_S = 30  # then 60, then 120
NO_BUDGET = 0  # sends per hour: any number
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in encoded JSON; jsonb cannot keep one


async def request_code(app: Services, call: Call[Tenant], body: CodeRequest) -> CodeSent:
    """Send a one-time code to a phone or email that someone says is theirs."""
    tenant = call.caller
    identifier = _identify(call, body)
    app.messenger.first(identifier.channel, sandbox=tenant.sandbox)
    _check_metadata(body.metadata)
    message_id = new_id("msg")
    link = links.wanted(app.keyring, tenant, identifier, body, message_id)
    if tenant.sandbox:
        sandbox.refuse_magic(identifier)
    else:
        await _refuse_risky(app, call, identifier)
        slots = await app.limiter.take(*buckets(tenant, identifier.value, identifier.block))
        if slots.refused_by is not None or tenant.key_kind == "sk":
            tell_limits(call, slots)

    with app.messenger.reserve(identifier.channel, sandbox=tenant.sandbox) as provider:
        # The row is committed before anything is sent: a process that dies from here on leaves a message that the
        # outbox finishes, or a trace that its fate is unknown.
        asked = _opening(app, tenant, identifier, body, link, message_id, provider)
        opened = await store.open_challenge(app.postgres, tenant.id, tenant.key_id, asked)
        metrics.CODES_REQUESTED.labels(identifier.channel, _outcome(opened)).inc()
        if not opened.accepted and identifier.block is not None:
            app.limiter.give_back_soon(block_bucket(tenant, identifier.block))  # it counts what is sent
        _refuse_unopened(opened)
        event_type = EventType.CHALLENGE_OPENED if opened.opened else EventType.CHALLENGE_REPEATED
        event = Event(asked.event_id, event_type, tenant.id, tenant.key_id, opened.challenge_id)
        tell(app.log, event, call.request_id, channel=identifier.channel, country=identifier.country)

        live_code = codes.unseal(app.keyring, tenant.id, identifier.value, opened.code_box)
        if live_code is None:
            raise InternalError("The live code was sealed under a secret that is no longer accepted.")
        status = "queued"
        if provider is not None:
            status = await _send(app, call, asked, opened.expires_in, live_code)
    return CodeSent(
        challenge_id=opened.challenge_id,
        channel=identifier.channel,
        status=status,
        destination=identifier.masked,
        expires_in=opened.expires_in,
        resend_after=opened.resend_after,
        code_length=len(live_code),
        challenge_secret=link.secret if link is not None else UNSET,
    )


def _opening(
    app: Services,
    tenant: Tenant,
    identifier: Identifier,
    body: CodeRequest,
    link: NewLink | None,
    message_id: str,
    provider: str | None,
) -> Opening:
    code = sandbox.code(tenant) if tenant.sandbox else codes.new_code(tenant.settings.otp_length)
    return Opening(
        identifier=identifier,
        code=codes.seal(app.keyring, tenant.id, identifier.value, code),
        expires_in=tenant.settings.otp_expiry_minutes * 60,
        attempts=tenant.settings.max_otp_attempts,
        sends_per_hour=NO_BUDGET if tenant.sandbox else tenant.settings.rate_limit_per_hour,
        resend_base=0 if tenant.sandbox else RESEND_S,
        again=body.challenge_id,
        trying=provider,
        data={"channel": identifier.channel, "country": identifier.country, "metadata": body.metadata or {}},
        challenge_id=new_id("ch"),
        message_id=message_id,
        event_id=new_id("evt"),
        locale=body.locale,
        seals=codes.seals(app.keyring),
        link=link,
    )


async def _send(app: Services, call: Call[Tenant], asked: Opening, expires_in: int, code: str) -> str:
    """Hand the message to the providers of its channel. Raises what refuse_failed does."""
    tenant, identifier, link = call.caller, asked.identifier, asked.link
    outgoing = word(
        tenant_id=tenant.id,
        message_id=asked.message_id,
        to=identifier.value,
        channel=identifier.channel,
        tenant_name=tenant.name,
        settings=tenant.settings,
        locale=asked.locale,
        code=code if link is None or link.with_code else None,
        link=link.address(app.settings.app_url) if link is not None else None,
        expires_in=expires_in,
    )
    delivery = await app.messenger.send(identifier.channel, outgoing, actor=tenant.key_id, request_id=call.request_id)
    refuse_failed(delivery, identifier.channel)
    return delivery.state


async def verify_code(app: Services, call: Call[Tenant], body: CodeAnswer) -> Verified:
    """Open a session for whoever knows the code."""
    tenant = call.caller
    identifier = _identify(call, body)
    if tenant.settings.require_challenge_id and body.challenge_id is None:
        raise ValidationFailed(errors=[FieldError("challenge_id", "Required by this tenant")])
    asked = Answering(
        identifier=identifier,
        macs=codes.macs(app.keyring, tenant.id, identifier.value, body.code),
        named=body.challenge_id,
        user_id=new_id("usr"),
        session=opening.new_session(call, tenant, body.device.name if body.device else None),
        event_id=new_id("evt"),
        user_event_id=new_id("evt"),
    )
    answered = await store.answer_challenge(app.postgres, tenant.id, tenant.key_id, asked)
    metrics.CODES_VERIFIED.labels(identifier.channel, answered.verdict).inc()
    _tell_answer(app, call, asked, answered)
    user_id = _refuse_unanswered(answered)
    if identifier.block is not None:
        app.limiter.give_back_soon(block_bucket(tenant, identifier.block))
    return await logins.finish(app, tenant, identifier, asked.session, user_id, answered.is_new_user)


def _identify(call: Call[Tenant], body: CodeRequest | CodeAnswer) -> Identifier:
    identifier = parse_identifier(phone=body.phone, email=body.email)
    call.log["identifier"] = identifier.masked
    return identifier


def _check_metadata(metadata: dict[str, Any] | None) -> None:
    text = encode(metadata)
    if len(text) > METADATA_BYTES:
        raise ValidationFailed(errors=[FieldError("metadata", "Longer than 1 KiB")])
    if _NUL.search(text):
        raise ValidationFailed(errors=[FieldError("metadata", "Contains a NUL character")])


async def _refuse_risky(app: Services, call: Call[Tenant], identifier: Identifier) -> None:
    tenant = call.caller
    allowed = tenant.settings.allowed_countries
    if allowed is not None and identifier.country is not None and identifier.country not in allowed:
        raise CountryNotAllowed
    risk = assess(tenant, identifier.line)
    if risk.blocked:
        event_id = await store.record_blocked(
            app.postgres, tenant.id, tenant.key_id, identifier.channel, identifier.country, risk.reasons
        )
        event = Event(event_id, EventType.REQUEST_BLOCKED, tenant.id, tenant.key_id, event_id)
        tell(app.log, event, call.request_id, country=identifier.country, reasons=risk.reasons)
        # Why is for the tenant to know; a publishable key is in the hands of whoever is being blocked.
        reasons = ", ".join(risk.reasons)
        raise RequestBlocked(f"Blocked to prevent fraud: {reasons}." if tenant.key_kind == "sk" else None)


def _outcome(opened: Opened) -> str:
    if not opened.accepted:
        return "budget" if opened.budget_after else "too_soon"
    return "opened" if opened.opened else "repeated"


def _refuse_unopened(opened: Opened) -> None:
    if opened.accepted:
        return
    if opened.budget_after:
        raise RateLimited(
            "Too many codes were sent to this number or address.",
            retry_after=max(1, opened.budget_after, opened.resend_after or 0),
        )
    raise ResendTooSoon(retry_after=max(1, opened.resend_after or 0))


def _refuse_unanswered(answered: Answered) -> str:
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


def _tell_answer(app: Services, call: Call[Tenant], asked: Answering, answered: Answered) -> None:
    tenant = call.caller
    types = {
        "ok": EventType.CHALLENGE_ANSWERED,
        "wrong": EventType.ATTEMPT_WRONG,
        "banned": EventType.USER_REFUSED,
    }
    if (event_type := types.get(answered.verdict)) is None:
        return
    event = Event(asked.event_id, event_type, tenant.id, tenant.key_id, answered.challenge_id or "")
    tell(app.log, event, call.request_id, user_id=answered.user_id)
    if answered.is_new_user and answered.user_id is not None:
        created = Event(asked.user_event_id, EventType.USER_CREATED, tenant.id, tenant.key_id, answered.user_id)
        tell(app.log, created, call.request_id, challenge_id=answered.challenge_id)
