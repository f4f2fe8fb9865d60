"""The proof of a doubtful request: which one a tenant requires, and whether a request presents it.

An accepted proof has a digest. The call to Redis that admits a request also redeems the digest, so that of any number
of requests with one proof a single one is admitted.
"""

import time

from auth1.errors import ProofRequired
from auth1.fraud import proof as pow_proof
from auth1.fraud.proof_schemas import PowProof, Proof
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.tenants.settings import Tenant

NOT_ACCEPTED = "This proof has expired, has been used, or is for another request; solve the new one."


async def find_redemption(app: Services, tenant: Tenant, identifier: Identifier, proof: Proof | None) -> str | None:
    """Return the digest that redeems the proof of a request; None without a valid one. Raises ValidationFailed."""
    if isinstance(proof, PowProof):
        solution = pow_proof.parse_payload(proof.payload)
        return pow_proof.verify(app.keyring, tenant.id, identifier.value, solution, time.time())
    return None


def proof_required(
    app: Services, tenant: Tenant, identifier: Identifier, load: float, proof: Proof | None, *, channels: list[str]
) -> ProofRequired:
    """Return the error of a request that needs a proof, or whose `proof` was not accepted."""
    challenge = pow_proof.new_challenge(app.keyring, tenant.id, identifier.value, load, time.time())
    return ProofRequired(NOT_ACCEPTED if proof is not None else None, proof=challenge, channels=channels)
