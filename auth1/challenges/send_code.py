"""Send a one-time code: the step behind POST /api/auth/request and POST /api/auth/me/identifiers.

`send_code` reads top to bottom: render the message, check the request for fraud, acquire its rate limits, open the
challenge, send the message, record the delivery, respond.

The message is rendered first, because its price depends on its length. It is rendered again only when the code has
changed: a check wants more digits, or an earlier code is still live and is sent again.
"""

from typing import Any, NamedTuple

from msgspec import UNSET

from auth1 import metrics
from auth1.challenges import codes, magic_link, sandbox, store
from auth1.challenges.codes import SealedCode
from auth1.challenges.magic_link import LinkOptions, NewLink
from auth1.challenges.messages import Envelope, render_code
from auth1.challenges.rejections import error_for_rejection
from auth1.challenges.schemas import CodeSent
from auth1.challenges.store import ChallengeOpened, ChallengeRejected, OpenChallenge, Price
from auth1.config.sms_rates import MICRO
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.core.ratelimit import RateLimit
from auth1.errors import ApiError, CountryNotAllowed, InternalError
from auth1.events.log import event_context, log_events
from auth1.fraud.assess import UNCHECKED, Checked, check_request
from auth1.fraud.evidence import Candidate
from auth1.fraud.proofs.schemas import Proof
from auth1.hooks.actions import before_send
from auth1.idempotency import run_idempotent
from auth1.idempotency.store import Claim, release_key, store_response
from auth1.identifiers import Identifier
from auth1.messaging.dispatcher import error_for_delivery
from auth1.messaging.providers.protocol import OutgoingMessage
from auth1.messaging.store import Delivery, IdempotencyOutcome
from auth1.services import Services
from auth1.templates.locales import parse_hint
from auth1.tenants.settings import Tenant

RESEND_S = 30  # then 60, then 120
UNLIMITED = 0  # sends per hour


class CodePurpose(NamedTuple):
    """The purpose that a code is bound to, and rate limits beside those of every code."""

    name: str
    rate_limits: tuple[RateLimit, ...] = ()


LOGIN = CodePurpose(codes.LOGIN)


class SendCode(NamedTuple):
    """A code to send. `challenge_id` names a challenge to repeat; `claim` is the use of an Idempotency-Key.

    `user_id`: the signed-in user, for a code that adds an identifier.
    """

    identifier: Identifier
    purpose: CodePurpose
    claim: Claim | None = None
    locale: str | None = None
    challenge_id: str | None = None
    metadata: dict[str, Any] | None = None
    link: LinkOptions | None = None
    proof: Proof | None = None
    user_id: str | None = None


async def send_code(app: Services, request: Request[Any], tenant: Tenant, order: SendCode) -> CodeSent:
    """Send a code to a phone or email. Raises the error of each step, and the stored response to a repeat."""
    if order.claim is not None and tenant.hooks.before_send is not None and not tenant.sandbox:
        # Without a hook, the statement that opens the challenge finds the response.
        await run_idempotent.raise_if_used(app, request, order.claim)
    if order.locale is not None:
        order = order._replace(locale=_usable_locale(app, request, order.locale))
    identifier, claim, is_sandbox = order.identifier, order.claim, tenant.sandbox
    context = event_context(request, tenant.key_id)
    request.log["identifier"] = identifier.masked
    provider: str | None = app.messenger.first_provider(identifier.channel, sandbox=is_sandbox)

    message_id = new_id("msg")
    link = magic_link.create_magic_link(app.keyring, tenant.id, message_id, order.link) if order.link else None
    code = sandbox.code(tenant) if is_sandbox else codes.new_code(tenant.settings.otp_length)
    message = _render(app, tenant, order, message_id, link, code, tenant.settings.otp_expiry_minutes * 60)
    checked = await _check_request(app, request, tenant, order, message)
    if checked.extra_digits:
        code = codes.new_code(tenant.settings.otp_length + checked.extra_digits)
        message = _render(app, tenant, order, message_id, link, code, tenant.settings.otp_expiry_minutes * 60)
    sealed = codes.seal(app.keyring, tenant.id, identifier.value, code, order.purpose.name)

    with app.messenger.reserve_capacity() as has_capacity:
        # With sign-up closed the outbox sends every message: the time of a provider would reveal a user.
        if not has_capacity or tenant.settings.sign_up == "closed":
            provider = None
        # The row is committed before the message is sent. If the process crashes after that, the outbox sends the
        # message, or marks it as unknown.
        try:
            opened = await _open_challenge(app, request, tenant, order, message, link, sealed, provider)
        except BaseException:  # cancelled too
            checked.take_back(app)
            raise
        if opened.code_box != sealed.box:  # another code is live: it is sent again, with the minutes that remain
            code = _decrypt(app, tenant, order, opened.code_box)
            message = _render(app, tenant, order, message_id, link, code, opened.expires_in)
        sent = CodeSent(
            challenge_id=opened.challenge_id,
            channel=identifier.channel,
            status="queued" if provider is None else "sent",
            destination=identifier.masked,
            expires_in=opened.expires_in,
            resend_after=opened.resend_after,
            code_length=len(code),
            challenge_secret=link.secret if link is not None and link.secret is not None else UNSET,
            link=link.address(tenant.base_url(app.settings.app_url)) if link is not None and is_sandbox else UNSET,
        )
        if provider is None:
            checked.record_sent(app, opened.challenge_id, message_id)
            if claim is not None:
                response = run_idempotent.seal_response(app.keyring, claim, 200, sent)
                await store_response(app.postgres, claim, message_id, response)
            return sent
        delivery = await app.messenger.send(identifier.channel, message, context=context)
        error = error_for_delivery(delivery, identifier.channel)
        if delivery.state == "queued":  # the provider wants it later
            sent.status = "queued"
        outcome = _idempotency_outcome(app, request, claim, delivery, error or sent)
        await app.messenger.record(delivery._replace(idempotency=outcome))
        if delivery.refunds_send:
            checked.take_back(app)
        else:
            checked.record_sent(app, opened.challenge_id, message_id)
    if error is not None:
        raise error
    return sent


def _usable_locale(app: Services, request: Request[Any], hint: str) -> str | None:
    """Return the locale that a request names; None for one that cannot be used, which is only a hint."""
    locale = parse_hint(hint)
    if locale is None:
        app.log.debug("locale ignored", request_id=request.request_id, locale=hint[:64])
    return locale


async def _check_request(
    app: Services, request: Request[Any], tenant: Tenant, order: SendCode, message: OutgoingMessage
) -> Checked:
    """Check a request for fraud, acquire its limits, and call the tenant's hook. Raises the error of a rejection."""
    identifier = order.identifier
    if tenant.sandbox:
        await sandbox.check_magic_number(app, tenant, identifier, order.proof)
        return UNCHECKED
    allowed = tenant.settings.allowed_countries
    if allowed is not None and identifier.country is not None and identifier.country not in allowed:
        raise CountryNotAllowed
    candidate = Candidate(
        identifier,
        microdollars=_price(app, tenant, identifier, message).microdollars,
        rate_limits=order.purpose.rate_limits,
        code_s=tenant.settings.otp_expiry_minutes * 60,
        proof=order.proof,
    )
    checked = await check_request(app, request, tenant, candidate)
    purpose = codes.LOGIN if order.purpose.name == codes.LOGIN else codes.ADDING
    try:
        await before_send(app, request, tenant, identifier, purpose=purpose, user_id=order.user_id)
    except BaseException:  # denied, cancelled, or no answer
        checked.take_back(app)
        raise
    return checked


def _render(
    app: Services, tenant: Tenant, order: SendCode, message_id: str, link: NewLink | None, code: str, expires_in: int
) -> OutgoingMessage:
    identifier = order.identifier
    return render_code(
        Envelope(
            tenant_id=tenant.id,
            message_id=message_id,
            to=identifier.value,
            channel=identifier.channel,
            tenant_name=tenant.name,
            settings=tenant.settings,
            locale=order.locale,
            base_url=tenant.base_url(app.settings.app_url),
        ),
        code=code if link is None or link.options.with_code else None,
        link=link.address(tenant.base_url(app.settings.app_url)) if link is not None else None,
        expires_in=expires_in,
        purpose=order.purpose.name,
    )


async def _open_challenge(
    app: Services,
    request: Request[Any],
    tenant: Tenant,
    order: SendCode,
    message: OutgoingMessage,
    link: NewLink | None,
    code: SealedCode,
    provider: str | None,
) -> ChallengeOpened:
    """Open or repeat a challenge in PostgreSQL, which decides. Raises the reason of a rejection, or a replay."""
    identifier, purpose, settings, is_sandbox = order.identifier, order.purpose.name, tenant.settings, tenant.sandbox
    with app.messenger.uncertain.watch(tenant.id, message.message_id):
        opened = await store.open_challenge(
            app.postgres,
            OpenChallenge(
                tenant_id=tenant.id,
                context=event_context(request, tenant.key_id),
                identifier=identifier,
                code=code,
                expires_in=settings.otp_expiry_minutes * 60,
                attempts=settings.max_otp_attempts,
                sends_per_hour=UNLIMITED if is_sandbox else _sends_per_hour(tenant, purpose),
                first_wait=0 if is_sandbox else RESEND_S,
                repeat_id=order.challenge_id,
                provider=provider,
                data=_event_data(order),
                challenge_id=new_id("ch"),
                message_id=message.message_id,
                event_id=new_id("evt"),
                locale=order.locale,
                box_prefixes=codes.box_prefixes(app.keyring),
                budget_event_id=new_id("evt"),
                link=link,
                price=_price(app, tenant, identifier, message),
                claim=order.claim,
                purpose=purpose,
                is_suppressed=settings.sign_up == "closed",
            ),
        )
    metrics.CODES_REQUESTED[identifier.channel, opened.verdict].inc()
    log_events(app.log, opened.events)
    if isinstance(opened, ChallengeRejected):
        if opened.frees_key and order.claim is not None:
            await release_key(app.postgres, order.claim, message.message_id)
        raise error_for_rejection(app, request, order.claim, opened)
    return opened


def _sends_per_hour(tenant: Tenant, purpose: str) -> int:
    """Return the send budget. Half of it is kept for logins, so that adding a foreign number locks no owner out."""
    budget = tenant.settings.rate_limit_per_hour
    return budget if purpose == codes.LOGIN else max(1, budget // 2)


def _event_data(order: SendCode) -> dict[str, object]:
    data: dict[str, object] = {"channel": order.identifier.channel, "country": order.identifier.country}
    data["metadata"] = order.metadata or {}
    return data if order.purpose.name == codes.LOGIN else data | {"purpose": codes.ADDING}


def _price(app: Services, tenant: Tenant, identifier: Identifier, message: OutgoingMessage) -> Price:
    """Estimate the price of a message, and return the tenant's budgets. Emails and the sandbox cost nothing."""
    # A repeated code has the same length and fewer minutes, so its text is no longer than this one.
    settings, segments = tenant.settings, message.segments
    if tenant.sandbox:
        return Price(segments)
    microdollars = 0 if segments is None else segments * app.settings.sms_rates[identifier.country]
    if settings.sms_budget_per_day is None:
        return Price(segments, microdollars, messages=settings.messages_per_day)
    budget = round(settings.sms_budget_per_day * MICRO)
    return Price(segments, microdollars, budget, round(budget * settings.sms_budget_soft), settings.messages_per_day)


def _decrypt(app: Services, tenant: Tenant, order: SendCode, code_box: bytes) -> str:
    """Return the live code. PostgreSQL repeats only codes that can be decrypted."""
    code = codes.unseal(app.keyring, tenant.id, order.identifier.value, code_box, order.purpose.name)
    if code is None:
        raise InternalError("The live code is encrypted with a secret that is no longer accepted.")
    return code


def _idempotency_outcome(
    app: Services, request: Request[Any], claim: Claim | None, delivery: Delivery, result: CodeSent | ApiError
) -> IdempotencyOutcome | None:
    """Return the outcome for the Idempotency-Key: it keeps the response, unless every provider rejected the message."""
    if claim is None:
        return None
    if isinstance(result, CodeSent):
        return IdempotencyOutcome(claim, run_idempotent.seal_response(app.keyring, claim, 200, result))
    if delivery.refunds_send:
        return IdempotencyOutcome(claim, None)
    return IdempotencyOutcome(claim, run_idempotent.seal_error(app.keyring, claim, result, request.request_id))
