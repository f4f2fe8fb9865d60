"""What asking for a code is made of: what is checked before, how the statement is asked, and what its refusals mean."""

import re
from typing import Any, NamedTuple

from auth1.challenges import codes, sandbox, store
from auth1.challenges.magic_link import NewLink
from auth1.challenges.messages import text_purpose
from auth1.challenges.schemas import METADATA_BYTES, CodeRequest, CodeSent
from auth1.challenges.store import ChallengeRejected, OpenChallenge, Price
from auth1.config.sms_rates import MICRO
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.core.ratelimit import RateLimit
from auth1.core.schemas import encode
from auth1.errors import (
    BudgetExceeded,
    CountryNotAllowed,
    FieldError,
    RateLimited,
    RequestBlocked,
    ResendTooSoon,
    ValidationFailed,
)
from auth1.events.log import event_context, log_events
from auth1.fraud.assess import assess
from auth1.idempotency import run_idempotent
from auth1.idempotency.store import Claim
from auth1.identifiers import Identifier
from auth1.messaging.dispatcher import OnDelivered, error_for_delivery
from auth1.messaging.store import Delivery, IdempotencyOutcome
from auth1.services import Services
from auth1.templates import segments
from auth1.templates.sms import render_sms
from auth1.tenants.settings import Tenant

RESEND_S = 30  # then 60, then 120
NO_BUDGET = 0  # sends per hour: any number
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")  # in encoded JSON; jsonb cannot keep one


class Cause(NamedTuple):
    """What a code is asked for: its purpose, where an Idempotency-Key counts, and limits beside those of every code."""

    purpose: str
    route: str
    limits: tuple[RateLimit, ...] = ()


FOR_LOGIN = Cause(codes.LOGIN, "POST /api/auth/request")


def check_metadata(metadata: dict[str, Any] | None) -> None:
    """Raise ValidationFailed for what an event has no room for."""
    text = encode(metadata)
    if len(text) > METADATA_BYTES:
        raise ValidationFailed(errors=[FieldError("metadata", "Longer than 1 KiB")])
    if _NUL.search(text):
        raise ValidationFailed(errors=[FieldError("metadata", "Contains a NUL character")])


async def refuse_risky(app: Services, request: Request[Tenant], identifier: Identifier) -> None:
    """Raise CountryNotAllowed or RequestBlocked under the tenant's policy."""
    tenant = request.caller
    allowed = tenant.settings.allowed_countries
    if allowed is not None and identifier.country is not None and identifier.country not in allowed:
        raise CountryNotAllowed
    risk = assess(tenant, identifier.line)
    if risk.blocked:
        data = {"channel": identifier.channel, "country": identifier.country, "reasons": risk.reasons}
        context = event_context(request, tenant.key_id)
        log_events(app.log, await store.record_blocked(app.postgres, tenant.id, context, data))
        # Why is for the tenant to know; a publishable key is in the hands of whoever is being blocked.
        reasons = ", ".join(risk.reasons)
        raise RequestBlocked(f"Blocked to prevent fraud: {reasons}." if tenant.key_kind == "sk" else None)


def open_request(
    app: Services,
    request: Request[Tenant],
    identifier: Identifier,
    body: CodeRequest,
    link: NewLink | None,
    message_id: str,
    provider: str | None,
    claim: Claim | None,
    purpose: str,
) -> OpenChallenge:
    """Return the request that opens the challenge."""
    tenant = request.caller
    code = sandbox.code(tenant) if tenant.sandbox else codes.new_code(tenant.settings.otp_length)
    return OpenChallenge(
        tenant_id=tenant.id,
        context=event_context(request, tenant.key_id),
        identifier=identifier,
        code=codes.seal(app.keyring, tenant.id, identifier.value, code, purpose),
        expires_in=tenant.settings.otp_expiry_minutes * 60,
        attempts=tenant.settings.max_otp_attempts,
        sends_per_hour=NO_BUDGET if tenant.sandbox else _sends_per_hour(tenant, purpose),
        first_wait=0 if tenant.sandbox else RESEND_S,
        repeat_id=body.challenge_id,
        provider=provider,
        data=_data(identifier, body, purpose),
        challenge_id=new_id("ch"),
        message_id=message_id,
        event_id=new_id("evt"),
        locale=body.locale,
        box_prefixes=codes.box_prefixes(app.keyring),
        budget_event_id=new_id("evt"),
        link=link,
        price=estimate(app, tenant, identifier, body.locale, purpose),
        claim=claim,
        purpose=purpose,
        is_suppressed=tenant.settings.sign_up == "closed",
    )


def _data(identifier: Identifier, body: CodeRequest, purpose: str) -> dict[str, object]:
    """What the event says; that of a code which is no login says what it is for."""
    data: dict[str, object] = {"channel": identifier.channel, "country": identifier.country}
    data["metadata"] = body.metadata or {}
    return data if purpose == codes.LOGIN else data | {"purpose": codes.ADDING}


def _sends_per_hour(tenant: Tenant, purpose: str) -> int:
    """Half of the budget is kept for logins: who adds a number that is not theirs must not lock its owner out."""
    allowed = tenant.settings.rate_limit_per_hour
    return allowed if purpose == codes.LOGIN else max(1, allowed // 2)


def estimate(app: Services, tenant: Tenant, identifier: Identifier, locale: str | None, purpose: str) -> Price:
    """Estimate what a message costs, and say what may be spent. Emails and what a sandbox sends cost nothing."""
    settings, number, cost = tenant.settings, None, 0
    if identifier.channel == "sms":
        # What is sent has as many digits, and no more minutes.
        branding, life = settings.branding(tenant.name), settings.otp_expiry_minutes * 60
        sample = render_sms(branding, locale, "0" * settings.otp_length, life, text_purpose(purpose))
        number = segments.measure(sample).segments
        cost = 0 if tenant.sandbox else app.settings.sms_rates.price(identifier.country, number)
    budget = None if settings.sms_budget_per_day is None else round(settings.sms_budget_per_day * MICRO)
    return Price(
        segments=number,
        microdollars=cost,
        budget=None if tenant.sandbox else budget,
        soft=None if budget is None else round(budget * settings.sms_budget_soft),
        messages=None if tenant.sandbox else settings.messages_per_day,
    )


def refuse_unopened(
    app: Services, request: Request[Tenant], claim: Claim | None, refused: ChallengeRejected
) -> Exception:
    """What the caller is told of a challenge that was not opened: an exception to raise."""
    match refused.verdict:
        case "replayed" if claim is not None and refused.sealed_response is not None:
            return run_idempotent.replay(app.keyring, request, claim, refused.sealed_response)
        case "reused" | "in_flight":
            return run_idempotent.refuse(same_body=refused.verdict == "in_flight")
        case "messages" | "money":
            return BudgetExceeded(retry_after=max(1, refused.retry_after))
        case "full":
            return RateLimited(
                "Too many codes were sent to this number or address.", retry_after=max(1, refused.retry_after)
            )
    return ResendTooSoon(retry_after=max(1, refused.retry_after))


def keeping(app: Services, request: Request[Tenant], claim: Claim | None, sent: CodeSent) -> OnDelivered | None:
    """Say what becomes of the Idempotency-Key when it is known what became of the message.

    One that every provider refused frees the key: asking again is a new try. One that may have been sent does not.
    """
    if claim is None:
        return None

    def keep(delivery: Delivery) -> IdempotencyOutcome:
        if delivery.state == "queued":
            sent.status = "queued"
        refusal = error_for_delivery(delivery, sent.channel)
        if refusal is None:
            return IdempotencyOutcome(claim, run_idempotent.seal(app.keyring, claim, 200, sent))
        if delivery.give_back:
            return IdempotencyOutcome(claim, None)
        return IdempotencyOutcome(claim, run_idempotent.seal_refusal(app.keyring, claim, refusal, request.request_id))

    return keep
