"""Assess a request for a code, and acquire its rate limits, before anything is spent on it.

`check_request` reads top to bottom. It gathers the facts, and acquires the limits and the scopes in one call to Redis.
Where it matters, it finds out whether the number is known. Then it rejects the request, or allows it; the decision
about an allowed request is recorded once the code is sent.
"""

import random
from typing import Any, NamedTuple

import msgspec

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.core.outbound import AtCapacity
from auth1.core.postgres import Queries
from auth1.core.ratelimit import RateLimit, raise_if_limited
from auth1.errors import ApiError, RequestBlocked, Unavailable
from auth1.fraud.constants import BLOCK_LOAD, PROOF_LOAD
from auth1.fraud.decisions.attacks import Rejection
from auth1.fraud.decisions.log import DecisionRecord
from auth1.fraud.decisions.statements import IdentifierCounts
from auth1.fraud.evidence import MICRO, Candidate, Evidence, gather, policy_of
from auth1.fraud.exposures.call import Acquired
from auth1.fraud.exposures.messages import Message
from auth1.fraud.proofs.redeem import proof_required
from auth1.fraud.rules import RULES_VERSION, Decision, Evaluation, Facts, evaluate, is_known
from auth1.row_keys import IdentifierKey
from auth1.services import Services
from auth1.tenants.settings import Tenant

# Protects the identifier's row from contention, far above its send budget.
IDENTIFIER_REQUESTS = 30
MINUTE_MS = 60_000
DOUBTFUL_LOAD = 0.5  # above it a line type is looked up, where the policy says so
LOOKUP_RETRY_AFTER_S = 5  # while line types cannot be looked up
EXTRA_DIGITS = 2  # of new codes while codes are guessed

_QUERIES = Queries("decisions")
_FIND_COUNTS = _QUERIES.statement("find_counts", IdentifierKey, IdentifierCounts)


class Checked(NamedTuple):
    """A request that may send a code. `record`: its decision, to store once the code is sent; null: none is stored.

    `acquired` is null in the sandbox, which counts nothing. No method needs a round trip.
    """

    acquired: Acquired | None = None
    record: DecisionRecord | None = None

    @property
    def extra_digits(self) -> int:
        """Digits that a new code has beyond the tenant's setting."""
        return EXTRA_DIGITS if self.acquired is not None and self.acquired.is_guessed else 0

    def record_sent(self, app: Services, challenge_id: str, message_id: str) -> None:
        """Store the decision when the code is sent, if it is to be stored."""
        if self.record is not None:
            app.decisions.record_later(self.record._replace(challenge_id=challenge_id, message_id=message_id))

    def take_back(self, app: Services) -> None:
        """Remove the exposure of the request, because no message was sent."""
        if self.acquired is not None and self.acquired.is_acquired:
            app.exposures.settlements.returned_later(self.acquired.policy, self.acquired.message)


UNCHECKED = Checked()


async def check_request(app: Services, request: Request[Any], tenant: Tenant, candidate: Candidate) -> Checked:
    """Assess a request and acquire its limits.

    Raises RequestBlocked, ProofRequired, RateLimited, ValidationFailed, Unavailable.
    """
    limits = (*rate_limits(tenant, candidate.identifier.value), *candidate.rate_limits)
    if candidate.proof is not None and (full := app.limiter.known_full(*limits)) is not None:
        raise_if_limited(request, full)  # before a captcha token costs a call
    evidence = await gather(app, request, tenant, policy_of(app, tenant), candidate)
    policy = evidence.policy
    if policy.mode == "on" and evidence.message.minimum > BLOCK_LOAD:
        facts = Facts(price=evidence.message.price, minimum=evidence.message.minimum)
        raise await _reject(app, evidence, facts, evaluate(policy, facts, 0.0))

    acquired = await app.exposures.acquire(policy, evidence.message, limits, may_be_known=True)
    if acquired.limits.limited_by is not None or tenant.key_kind == "sk":
        # The response shows these limits to secret keys, which have no limit per address.
        raise_if_limited(request, acquired.limits)
    if not acquired.is_acquired:
        acquired = await _acquire_if_known(app, acquired, limits)
    if acquired.is_guessed or acquired.guessing_ended:
        app.attacks.count_guessing(tenant.id, has_ended=acquired.guessing_ended)
    try:
        evidence, acquired, evaluation = await _evaluate(app, evidence, acquired)
    except BaseException:  # cancelled too: nothing is sent
        Checked(acquired).take_back(app)
        raise
    if evaluation is not None and (not acquired.is_acquired or evaluation.decision != "allow"):
        Checked(acquired).take_back(app)
        raise await _reject(app, evidence, acquired.facts, evaluation)
    return Checked(acquired, _record_of_sent(evidence, acquired, evaluation))


async def _evaluate(
    app: Services, evidence: Evidence, acquired: Acquired
) -> tuple[Evidence, Acquired, Evaluation | None]:
    """Evaluate what a request acquired, with the line type of its number; no evaluation where none is needed.

    Raises Unavailable.
    """
    if acquired.is_acquired and _wants_line(evidence, acquired):
        evidence, acquired = await _look_up_line(app, evidence, acquired)
    evaluation = None if acquired.is_plain else acquired.evaluate()
    if acquired.is_acquired and evaluation is not None and evaluation.shadow_decision != "allow":
        acquired = acquired if evidence.is_on_allow_list else await _as_known_in_shadow(app, acquired)
        evaluation = acquired.evaluate()
    return evidence, acquired, evaluation


def _is_doubtful(evidence: Evidence, acquired: Acquired) -> bool:
    """Return whether the load of a request wants a line type of Lookup."""
    return acquired.load > DOUBTFUL_LOAD and evidence.policy.lookup == "doubtful"


def _wants_line(evidence: Evidence, acquired: Acquired) -> bool:
    """Return whether the line type of a request is unknown, doubtful, or cannot be looked up."""
    return acquired.message.number is not None and (
        evidence.line is None or evidence.line_decision.action == "unavailable" or _is_doubtful(evidence, acquired)
    )


async def _look_up_line(app: Services, evidence: Evidence, acquired: Acquired) -> tuple[Evidence, Acquired]:
    """Look up a line type that this process does not know, for a request that is let through so far.

    Raises Unavailable where the look-up fails and the policy wants that, and where too many numbers are looked up: that
    is no outage, because callers can cause it.
    """
    tenant, policy, is_doubtful = evidence.tenant, evidence.policy, _is_doubtful(evidence, acquired)
    if evidence.line is None or is_doubtful:
        voip_blocking = tenant.settings.voip_blocking
        try:
            line = await app.fraud_sources.line_types.find(
                tenant.id, evidence.identifier, policy, voip_blocking=voip_blocking, is_doubtful=is_doubtful
            )
        except AtCapacity:
            if policy.mode != "on":
                return evidence, acquired
            raise Unavailable("Too many phone numbers are being looked up; retry.", retry_after=1) from None
        evidence = evidence.with_line(line)
        message = acquired.message._replace(minimum=evidence.message.minimum, signals=evidence.message.signals)
        acquired = msgspec.structs.replace(acquired, message=message)
    if evidence.line_decision.action == "unavailable" and policy.mode == "on":
        detail = "The line type of this number cannot be looked up at the moment; retry."
        raise Unavailable(detail, retry_after=LOOKUP_RETRY_AFTER_S)
    return evidence, acquired


async def _acquire_if_known(app: Services, acquired: Acquired, limits: tuple[RateLimit, ...]) -> Acquired:
    """Let a request through that only a known number may make, if its number is known.

    Redis has acquired it already as that of a known number. Without Redis, this worker acquires it now.
    """
    is_candidate = acquired.is_if_known or (
        acquired.is_local and acquired.message.number is not None and acquired.evaluate(known=True).decision == "allow"
    )
    if not is_candidate:
        return acquired
    is_number_known = False
    try:
        is_number_known = await _find_known(app, acquired.message)
    finally:
        if not is_number_known:
            app.exposures.return_unknown(acquired, limits)
    return app.exposures.confirm_known(acquired, limits) if is_number_known else acquired


async def _as_known_in_shadow(app: Services, acquired: Acquired) -> Acquired:
    """Find out whether the number of a request is known, where rules in shadow would reject it only if it is not."""
    message = acquired.message
    if message.known or message.number is None or acquired.evaluate(known=True).shadow_decision != "allow":
        return acquired
    return acquired.as_known() if await _find_known(app, message) else acquired


async def _find_known(app: Services, message: Message) -> bool:
    """Return whether a number is known, from the counts in its row."""
    counts = await app.postgres.row(_FIND_COUNTS, IdentifierKey(message.tenant_id, message.identifier))
    return counts is not None and is_known(answered=counts.answered, unanswered=counts.unanswered)


def rate_limits(tenant: Tenant, identifier: str) -> tuple[RateLimit, RateLimit]:
    """Return the rate limits of a request: of the tenant and the identifier."""
    tag = f"ratelimit:{{{tenant.id}}}"
    return (
        RateLimit("tenant", f"{tag}:tenant", tenant.settings.requests_per_minute, MINUTE_MS),
        RateLimit("identifier", f"{tag}:identifier:{identifier}", IDENTIFIER_REQUESTS, MINUTE_MS),
    )


def _record_of_sent(evidence: Evidence, acquired: Acquired, evaluation: Evaluation | None) -> DecisionRecord | None:
    """Return the decision on a request that is let through: if it has a reason, or is sampled."""
    policy = evidence.policy
    reasons = evidence.reasons if evaluation is None else (*evidence.reasons, *evaluation.reasons)
    metrics.FRAUD_DECISIONS["allow", reasons[0].name if reasons else "none"].inc()
    if policy.mode == "off" or (not reasons and random.random() >= policy.sample):  # a sample, no secret
        return None
    evaluation = evaluation or acquired.evaluate()
    decision = "allow" if evidence.is_on_allow_list else evaluation.shadow_decision
    return _record(evidence, acquired.facts, evaluation, decision)


async def _reject(app: Services, evidence: Evidence, facts: Facts, evaluation: Evaluation) -> ApiError:
    """Record the rejection of a request; return its error."""
    identifier, tenant = evidence.identifier, evidence.tenant
    channels = evidence.policy.channels if identifier.channel == "sms" else ()
    decision = "proof_required" if evaluation.decision == "allow" else evaluation.decision
    if decision == "other_channel" and not channels:
        decision = "block"
    record = _record(evidence, facts, evaluation, decision)
    metrics.FRAUD_DECISIONS[decision, record.reasons[0].partition(":")[0] if record.reasons else "none"].inc()
    loaded = [load for load in evaluation.loads if load.load > PROOF_LOAD and load.is_enforced]
    rejections = [Rejection(load.scope, evidence.subject_of(load.scope), load.load) for load in loaded]
    app.attacks.count(tenant.id, rejections, round(facts.price * MICRO))
    data = {"channel": identifier.channel, "country": identifier.country}
    await app.decisions.record_rejected(record, data | {"decision": decision, "reasons": record.reasons})
    if decision == "proof_required":
        return proof_required(app, tenant, identifier, evaluation.load, evidence.proof, channels=list(channels))
    # Only the tenant's server learns the reason: publishable keys are public.
    detail = f"Blocked to prevent fraud: {'; '.join(record.reasons)}." if tenant.key_kind == "sk" else None
    return RequestBlocked(detail, channels=channels if decision == "other_channel" else ())


def _record(evidence: Evidence, facts: Facts, evaluation: Evaluation, decision: Decision) -> DecisionRecord:
    return DecisionRecord(
        tenant_id=evidence.tenant.id,
        decision=decision,
        is_enforced=evaluation.decision == decision,
        score=evaluation.score,
        reasons=tuple(str(reason) for reason in (*evidence.reasons, *evaluation.reasons)),
        features=evidence.features | {"facts": facts},
        scopes={load.scope: round(load.load, 4) for load in evaluation.loads},
        rule_version=RULES_VERSION,
        context=evidence.context,
    )
