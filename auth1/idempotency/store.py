"""SQL of idempotency keys, by name."""

from contextlib import suppress
from typing import NamedTuple

from auth1.core.postgres import ConnectionLost, Postgres, Queries
from auth1.errors import Unavailable

_QUERIES = Queries("callers")


class Claim(NamedTuple):
    """One use of an Idempotency-Key: who asks, by which route, and what is kept of the key and of the body."""

    tenant_id: str
    route: str
    digest: bytes
    body_digest: bytes


class KeyState(NamedTuple):
    """Whose an Idempotency-Key is. Not ours: `sealed_response` is what was answered, unless that is still awaited."""

    mine: bool
    same_body: bool
    sealed_response: bytes | None


async def claim_idempotency(postgres: Postgres, claim: Claim, claim_id: str) -> KeyState:
    """Take a key, or learn who has it. A lost connection is tried again once: the id makes that safe."""
    try:
        row = await postgres.row(_QUERIES["claim_idempotency"], *claim, claim_id)
    except ConnectionLost:
        row = await postgres.row(_QUERIES["claim_idempotency"], *claim, claim_id)
    assert row is not None, "the statement returns its row whatever it decides"
    return KeyState(*row)


async def store_response(postgres: Postgres, claim: Claim, claim_id: str, sealed_response: bytes) -> None:
    """Store a response for repeats of the key. A failure is ignored, because the request itself succeeded."""
    with suppress(Unavailable):
        await postgres.row(
            _QUERIES["keep_answer"], claim.tenant_id, claim.route, claim.digest, claim_id, sealed_response
        )


async def release_key(postgres: Postgres, claim: Claim, claim_id: str) -> None:
    """Let a key be used again, as nothing was done with it."""
    await postgres.row(_QUERIES["free_idempotency"], claim.tenant_id, claim.route, claim.digest, claim_id)
