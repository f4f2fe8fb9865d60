"""Risk of a request, assessed before anything is spent on it.

phonenumbers knows line types for many countries, but not for North America, where mobiles, landlines and VoIP share
ranges: distinguishing them needs a paid lookup.
"""

from typing import NamedTuple

from phonenumbers import PhoneNumberType

from auth1 import metrics
from auth1.core.ratelimit import RateLimit
from auth1.tenants.settings import Tenant

# Many unverified sends to neighbouring numbers are a sign of SMS pumping (Twilio's guidance on prefix limits).
BLOCK_SENDS = 20
BLOCK_WINDOW_MS = 600_000
# Protects the identifier's row from contention, far above its send budget.
IDENTIFIER_REQUESTS = 30
MINUTE_MS = 60_000
# Line types that `voip_blocking` rejects, and their names.
BLOCKED_LINES: dict[int | None, str] = {
    PhoneNumberType.VOIP: "voip",
    PhoneNumberType.PERSONAL_NUMBER: "personal_number",
    PhoneNumberType.PAGER: "pager",
    PhoneNumberType.UAN: "universal_access_number",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.SHARED_COST: "shared_cost",
    PhoneNumberType.TOLL_FREE: "toll_free",
}


class Risk(NamedTuple):
    """A score from 0.0 to 1.0, its reasons, and the decision under the tenant's policy."""

    score: float
    reasons: list[str]
    blocked: bool


def assess(tenant: Tenant, line: int | None) -> Risk:
    """Assess a request by the line type of its number."""
    reason = BLOCKED_LINES.get(line) if tenant.settings.voip_blocking else None
    metrics.FRAUD_DECISIONS["block" if reason else "allow", reason or "none"].inc()
    return Risk(1.0, [reason], True) if reason else Risk(0.0, [], False)


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
