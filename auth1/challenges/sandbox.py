"""The sandbox of test keys: magic numbers choose outcomes, nothing is sent, and no budget is used.

    +15005550000 delivered           +15005550004 the first provider fails, the second delivers
    +15005550001 invalid (422)       +15005550005 sent, then reported as undelivered
    +15005550002 fails (502)         +15005550006 proof required (403); delivered with a proof
    +15005550003 blocked: VoIP (403) +15005550007 opted out (422)
    +15005550008 hook denied (403)   +15005550009 rate limited (429)

All other numbers and all emails are delivered. Each digit of the code is 0. `messaging/providers/sandbox.py` contains
the outcomes of providers.
"""

from auth1.core.ratelimit import RateLimit
from auth1.errors import HookDenied, InvalidPhone, RateLimited, RequestBlocked
from auth1.fraud.constants import PROOF_LOAD
from auth1.fraud.proofs.redeem import find_redemption, proof_required
from auth1.fraud.proofs.schemas import Proof
from auth1.fraud.proofs.work import KEEP_S
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

_INVALID = "+15005550001"
_VOIP = "+15005550003"
_PROOF = "+15005550006"
_HOOK = "+15005550008"
_LIMITED = "+15005550009"
_RETRY_AFTER_S = 60


def code(tenant: Tenant) -> str:
    """Return the code of every sandbox challenge."""
    return "0" * tenant.settings.otp_length


async def check_magic_number(app: Services, tenant: Tenant, identifier: Identifier, proof: Proof | None) -> None:
    """Raise the error of a magic number: InvalidPhone, RequestBlocked, HookDenied, RateLimited, ProofRequired."""
    if identifier.value == _INVALID:
        raise InvalidPhone
    if identifier.value == _VOIP:
        raise RequestBlocked
    if identifier.value == _HOOK:
        raise HookDenied
    if identifier.value == _LIMITED:
        raise RateLimited(retry_after=_RETRY_AFTER_S)
    digest = await find_redemption(app, tenant, identifier, proof)
    if identifier.value == _PROOF and not (digest is not None and await _redeem(app, tenant, digest)):
        raise proof_required(app, tenant, identifier, PROOF_LOAD, proof, channels=[])


async def _redeem(app: Services, tenant: Tenant, digest: str) -> bool:
    """Return whether this is the first use of a proof."""
    once = RateLimit("sandbox_proof", f"ratelimit:{{{tenant.id}}}:proof:{digest}", 1, KEEP_S * 1000)
    return (await app.limiter.acquire(once)).limited_by is None
