"""The statements of Idempotency-Keys."""

from contextlib import suppress
from typing import NamedTuple

from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.errors import Unavailable

_QUERIES = Queries("idempotency")


class Claim(NamedTuple):
    """A use of an Idempotency-Key: its tenant and route, and digests of the key and of the request."""

    tenant_id: str
    route: str
    digest: bytes
    body_digest: bytes


class KeyState(NamedTuple):
    """The state of an Idempotency-Key. `sealed_response` is the response of another request, None while that runs."""

    is_own: bool
    same_body: bool
    sealed_response: bytes | None


async def claim_key(postgres: Postgres, claim: Claim, claim_id: str) -> KeyState:
    """Claim a key, or return its state. A lost connection is retried once: the id makes that safe."""
    try:
        row = await postgres.row(_QUERIES["claim_key"], *claim, claim_id)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["claim_key"], *claim, claim_id)
    assert row is not None, "the statement returns its row whatever it decides"
    return KeyState(*row)


async def store_response(postgres: Postgres, claim: Claim, claim_id: str, sealed_response: bytes) -> None:
    """Store a response for repeats of the key. A failure is ignored, because the request itself succeeded."""
    with suppress(Unavailable):
        await postgres.row(
            _QUERIES["store_response"], claim.tenant_id, claim.route, claim.digest, claim_id, sealed_response
        )


async def release_key(postgres: Postgres, claim: Claim, claim_id: str) -> None:
    """Release a key, because nothing was done with it."""
    await postgres.row(_QUERIES["release_key"], claim.tenant_id, claim.route, claim.digest, claim_id)
