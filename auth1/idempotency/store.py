"""The statements of Idempotency-Keys."""

from contextlib import suppress
from typing import NamedTuple

from auth1.core.postgres import NoParams, Postgres, Queries, find_nothing, repeat_once
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


class _ClaimKey(NamedTuple):
    tenant_id: str
    route: str
    digest: bytes
    body_digest: bytes
    claim_id: str


class _StoreResponse(NamedTuple):
    tenant_id: str
    route: str
    digest: bytes
    claim_id: str
    sealed_response: bytes


class _ReleaseKey(NamedTuple):
    tenant_id: str
    route: str
    digest: bytes
    claim_id: str


_CLAIM_KEY = _QUERIES.statement("claim_key", _ClaimKey, KeyState)
_FIND_USED_KEY = _QUERIES.statement("find_used_key", Claim, KeyState)
_STORE_RESPONSE = _QUERIES.statement("store_response", _StoreResponse, NoParams)
_RELEASE_KEY = _QUERIES.statement("release_key", _ReleaseKey, NoParams)


async def claim_key(postgres: Postgres, claim: Claim, claim_id: str) -> KeyState:
    """Claim a key, or return its state. A lost connection is retried once: the id makes that safe."""

    async def run() -> KeyState:
        state = await postgres.row(_CLAIM_KEY, _ClaimKey(*claim, claim_id))
        assert state is not None, "the statement returns its row whatever it decides"
        return state

    return await repeat_once(run, find_nothing)


async def find_used_key(postgres: Postgres, claim: Claim) -> KeyState | None:
    """Return the state of a key that was used and has not expired, without claiming it. Raises Unavailable."""
    return await postgres.row(_FIND_USED_KEY, claim)


async def store_response(postgres: Postgres, claim: Claim, claim_id: str, sealed_response: bytes) -> None:
    """Store a response for repeats of the key. A failure is ignored, because the request itself succeeded."""
    with suppress(Unavailable):
        params = _StoreResponse(claim.tenant_id, claim.route, claim.digest, claim_id, sealed_response)
        await postgres.row(_STORE_RESPONSE, params)


async def release_key(postgres: Postgres, claim: Claim, claim_id: str) -> None:
    """Release a key, because nothing was done with it. A failure is ignored: the claim expires."""
    params = _ReleaseKey(claim.tenant_id, claim.route, claim.digest, claim_id)

    async def run() -> None:
        await postgres.row(_RELEASE_KEY, params)

    with suppress(Unavailable):
        await repeat_once(run, find_nothing)
