"""The errors of requests that PostgreSQL rejects."""

from typing import Any

from auth1.challenges.store import ChallengeRejected
from auth1.core.http.request import Request
from auth1.errors import BudgetExceeded, RateLimited, ResendTooSoon
from auth1.idempotency import run_idempotent
from auth1.idempotency.store import Claim
from auth1.services import Services


def error_for_rejection(
    app: Services, request: Request[Any], claim: Claim | None, rejected: ChallengeRejected
) -> Exception:
    """Return the error of a rejection, or the stored response to its Idempotency-Key, as an exception to raise."""
    retry_after = max(1, rejected.retry_after)
    match rejected.verdict:
        case "replayed" if claim is not None and rejected.sealed_response is not None:
            return run_idempotent.replay(app.keyring, request, claim, rejected.sealed_response)
        case "reused" | "in_flight":
            return run_idempotent.error_for_key(same_body=rejected.verdict == "in_flight")
        case "messages" | "money":
            return BudgetExceeded(retry_after=retry_after)
        case "full":
            return RateLimited("Too many codes were sent to this phone or email.", retry_after=retry_after)
    return ResendTooSoon(retry_after=retry_after)
