"""The proof of a doubtful request: which one a tenant requires, and whether a request presents it.

A tenant requires proof of work, or the captcha of its policy. An accepted proof has a digest. The call to Redis that
admits a request also redeems the digest, so that of any number of requests with one proof a single one is admitted.
"""

import hashlib
from collections.abc import Sequence

from auth1.api_error import CaptchaChallenge, ProofChallenge
from auth1.errors import ProofRequired, Unavailable
from auth1.fraud.policy import Captcha
from auth1.fraud.policy_store import captcha_secret
from auth1.fraud.proofs import work
from auth1.fraud.proofs.captcha import Result
from auth1.fraud.proofs.schemas import CaptchaProof, PowProof, Proof
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

RETRY_AFTER_S = 1  # while too many tokens are checked
NOT_ACCEPTED = "This proof has expired, has been used, or is for another request; solve the new one."


async def find_redemption(app: Services, tenant: Tenant, identifier: Identifier, proof: Proof | None) -> str | None:
    """Return the digest that redeems the proof of a request; None without a valid one.

    Raises ValidationFailed, Unavailable.
    """
    if proof is None:
        return None
    captcha = tenant.policy.captcha
    if isinstance(proof, PowProof):
        solution = work.parse_payload(proof.payload)
        if captcha is None:
            return work.verify(app.keyring, tenant.id, identifier.value, solution, app.postgres.now())
    elif captcha is not None and (tenant.sandbox or await _solves(app, tenant, captcha, proof)):
        return hashlib.sha256(proof.token.encode()).hexdigest()
    return None


def proof_required(
    app: Services,
    tenant: Tenant,
    identifier: Identifier,
    load: float,
    proof: Proof | None,
    *,
    channels: Sequence[str],
) -> ProofRequired:
    """Return the error of a request that needs a proof, or whose `proof` was not accepted."""
    captcha = tenant.policy.captcha
    challenge: ProofChallenge
    if captcha is not None:
        challenge = CaptchaChallenge(provider=captcha.provider, site_key=captcha.site_key)
    else:
        challenge = work.new_challenge(app.keyring, tenant.id, identifier.value, load, app.postgres.now())
    return ProofRequired(NOT_ACCEPTED if proof is not None else None, proof=challenge, channels=channels)


async def _solves(app: Services, tenant: Tenant, captcha: Captcha, proof: CaptchaProof) -> bool:
    """Return whether a token is accepted: by the provider, or by the policy if the provider does not decide.

    Our own lack of connections accepts nothing, because callers can cause it. Raises Unavailable then, where the policy
    rejects requests at all.
    """
    result: Result = "failed"
    if (secret := captcha_secret(app.keyring, tenant)) is not None:
        result = await app.fraud_sources.captcha.verify(tenant.id, captcha, secret, proof.token)
    if result == "at_capacity" and tenant.policy.mode == "on":
        raise Unavailable("Too many captcha tokens are being checked; retry.", retry_after=RETRY_AFTER_S)
    return result == "accepted" or (result == "failed" and captcha.on_failure == "allow")
