"""Assess a request for a code, and acquire its rate limits, before anything is spent on it.

`check_request` reads top to bottom: gather the facts, apply the rules that need no counts, acquire the limits and the
scopes in one call to Redis, weigh a known number again, and record or reject.

phonenumbers knows line types for many countries, but not for North America, where mobiles, landlines and VoIP share
ranges: distinguishing them needs a paid lookup.
"""

from typing import Any

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.core.ratelimit import RateLimit, raise_if_limited
from auth1.errors import RequestBlocked
from auth1.events.log import event_context
from auth1.fraud.assessment import Assessment, Reason
from auth1.fraud.decisions import DecisionRecord
from auth1.fraud.evidence import Candidate, Evidence, gather
from auth1.fraud.redeem import find_redemption
from auth1.services import Services
from auth1.tenants.settings import Tenant

RULE_VERSION = 1  # stored with each decision; raise it when a decision may change
# Many unverified sends to neighbouring numbers are a sign of SMS pumping (Twilio's guidance on prefix limits).
BLOCK_SENDS = 20
BLOCK_WINDOW_MS = 600_000
# Protects the identifier's row from contention, far above its send budget.
IDENTIFIER_REQUESTS = 30
MINUTE_MS = 60_000


async def check_request(app: Services, request: Request[Any], tenant: Tenant, candidate: Candidate) -> Assessment:
    """Assess a request and acquire its limits. Raises RequestBlocked, RateLimited, ValidationFailed."""
    await find_redemption(app, tenant, candidate.identifier, candidate.proof)
    evidence = gather(app, request, tenant, candidate)
    assessment = assess(tenant, evidence)
    if assessment.is_rejected:
        await _reject(app, request, tenant, evidence, assessment)
    await _acquire_rate_limits(app, request, tenant, candidate)
    metrics.FRAUD_DECISIONS["allow", "none"].inc()
    return assessment


def assess(tenant: Tenant, evidence: Evidence) -> Assessment:
    """Apply the rules that need no counts: lists, line types, networks."""
    if evidence.blocked_line is not None:
        return Assessment(decision="block", score=1.0, reasons=(Reason("line_type", evidence.blocked_line),))
    return Assessment()


async def _reject(
    app: Services, request: Request[Any], tenant: Tenant, evidence: Evidence, assessment: Assessment
) -> None:
    """Record a decision, then raise its error."""
    for reason in assessment.reasons:
        metrics.FRAUD_DECISIONS[assessment.decision, reason.name].inc()
    identifier, reasons = evidence.identifier, [str(reason) for reason in assessment.reasons]
    record = DecisionRecord(
        tenant_id=tenant.id,
        decision=assessment.decision,
        is_enforced=assessment.is_enforced,
        score=assessment.score,
        reasons=tuple(reasons),
        features=assessment.features,
        scopes=assessment.scopes,
        rule_version=RULE_VERSION,
        context=event_context(request, tenant.key_id),
    )
    data = {"channel": identifier.channel, "country": identifier.country, "reasons": reasons}
    await app.decisions.record_rejected(record, data)
    # Only the tenant's server learns the reason: publishable keys are public.
    raise RequestBlocked(f"Blocked to prevent fraud: {', '.join(reasons)}." if tenant.key_kind == "sk" else None)


async def _acquire_rate_limits(app: Services, request: Request[Any], tenant: Tenant, candidate: Candidate) -> None:
    """Raise RateLimited. The response shows these limits to secret keys, which have no limit per address."""
    identifier = candidate.identifier
    # SMS that are only printed cost nothing.
    block = identifier.block if app.settings.sms_providers != ("console",) else None
    limits = rate_limits(tenant, identifier.value, block)
    decision = await app.limiter.acquire(*limits, *candidate.rate_limits)
    if decision.limited_by is not None or tenant.key_kind == "sk":
        raise_if_limited(request, decision)


def rate_limits(tenant: Tenant, identifier: str, block: str | None) -> list[RateLimit]:
    """Return the rate limits of a request: of the tenant, the identifier and the number block."""
    tag = f"slots:{{{tenant.id}}}"
    limits = [
        RateLimit("tenant", f"{tag}:tenant", tenant.settings.requests_per_minute, MINUTE_MS),
        RateLimit("identifier", f"{tag}:identifier:{identifier}", IDENTIFIER_REQUESTS, MINUTE_MS),
    ]
    return [*limits, block_rate_limit(tenant, block)] if block is not None else limits


def block_rate_limit(tenant: Tenant, block: str) -> RateLimit:
    """Return the limit of unverified sends to 1,000 numbers that differ in their last three digits."""
    return RateLimit("prefix", f"slots:{{{tenant.id}}}:prefix:{block}", BLOCK_SENDS, BLOCK_WINDOW_MS)
