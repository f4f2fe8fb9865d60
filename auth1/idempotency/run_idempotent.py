"""Run a request once per Idempotency-Key, and replay its response to repeats.

The first request with a key claims it and does the work. A client error releases the key. A server error keeps the
claim, because the work may have been done; such a claim expires after 30 s. Responses may contain secrets, so they are
stored encrypted.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from auth1.core import schemas
from auth1.core.crypto import Keyring
from auth1.core.http import problems
from auth1.core.http.request import JSON, ReplayedResponse, Request, Response
from auth1.core.http.router import Route
from auth1.core.ids import new_id
from auth1.errors import ApiError, Conflict, IdempotencyKeyReused
from auth1.idempotency import store
from auth1.idempotency.header import read_claim
from auth1.idempotency.store import Claim, KeyState
from auth1.services import Services

REPLAYED = (b"idempotent-replayed", b"true")
RETRY_AFTER_S = 1
_PURPOSE = "idempotency-box"


class _StoredResponse(NamedTuple):
    """A response as it was sent."""

    status: int
    content_type: bytes
    body: bytes
    retry_after: int | None = None


_decode = msgspec.msgpack.Decoder(_StoredResponse).decode


async def run_idempotent(app: Services, route: Route, request: Request[Any], arguments: Sequence[object]) -> object:
    """Run the handler of an idempotent route. A key costs one statement before and one after the handler."""
    claim = read_claim(request, request.caller, f"{route.method} {route.path}", arguments)
    if claim is None:
        return await route.handler(app, request, *arguments)
    claim_id = new_id("req")
    state = await store.claim_key(app.postgres, claim, claim_id)
    if not state.is_own:
        raise _error_for_state(app.keyring, request, claim, state)
    try:
        result = await route.handler(app, request, *arguments)
    except ApiError as error:
        if error.status < 500:
            await store.release_key(app.postgres, claim, claim_id)
        raise
    await store.store_response(app.postgres, claim, claim_id, seal_response(app.keyring, claim, route.status, result))
    return result


async def raise_if_used(app: Services, request: Request[Any], claim: Claim) -> None:
    """Raise the stored response of a key that was used, or the error of such a key. One statement; claims nothing.

    For handlers that claim the key late: a repeat then acquires no rate limits and calls no hooks.
    """
    used = await store.find_used_key(app.postgres, claim)
    if used is not None:
        raise _error_for_state(app.keyring, request, claim, used)


def seal_response(keyring: Keyring, claim: Claim, status: int, result: object) -> bytes:
    """Encrypt the response of a handler. `status` is the route's."""
    if result is None:
        return _seal(keyring, claim, _StoredResponse(204, b"", b""))
    if isinstance(result, Response):
        body = result.body if isinstance(result.body, bytes) else schemas.encode(result.body)
        return _seal(keyring, claim, _StoredResponse(result.status, result.content_type, body))
    return _seal(keyring, claim, _StoredResponse(status, JSON.encode(), schemas.encode(result)))


def seal_error(keyring: Keyring, claim: Claim, error: ApiError, request_id: str) -> bytes:
    """Encrypt the response to an error that repeats get again."""
    document = schemas.encode(problems.problem(error, request_id))
    return _seal(keyring, claim, _StoredResponse(error.status, problems.CONTENT_TYPE, document, error.retry_after))


def replay(keyring: Keyring, request: Request[Any], claim: Claim, sealed_response: bytes) -> ReplayedResponse:
    """Return a stored response as an exception to raise. Raises Conflict for one that cannot be read any more."""
    text = keyring.open(_PURPOSE, sealed_response, _context(claim))
    if text is None:
        raise Conflict(
            "The response to this Idempotency-Key is encrypted with a secret that is no longer accepted; use a new key."
        )
    try:
        stored = _decode(text)
    except msgspec.DecodeError:
        raise Conflict("Another release stored the response to this Idempotency-Key; use a new key.") from None
    request.headers.append(REPLAYED)
    if stored.retry_after is not None:
        request.headers.append((b"retry-after", b"%d" % stored.retry_after))
    return ReplayedResponse(Response(stored.body, stored.status, stored.content_type))


def error_for_key(*, same_body: bool) -> ApiError:
    """Return the error for a key that another request has claimed."""
    if not same_body:
        return IdempotencyKeyReused()
    return Conflict("A request with this Idempotency-Key is still in progress; retry.", retry_after=RETRY_AFTER_S)


def _error_for_state(keyring: Keyring, request: Request[Any], claim: Claim, state: KeyState) -> Exception:
    if state.same_body and state.sealed_response is not None:
        return replay(keyring, request, claim, state.sealed_response)
    return error_for_key(same_body=state.same_body)


def _seal(keyring: Keyring, claim: Claim, response: _StoredResponse) -> bytes:
    return keyring.seal(_PURPOSE, msgspec.msgpack.encode(response), _context(claim))


def _context(claim: Claim) -> bytes:
    """Return the context that binds a response to its row."""
    return f"{claim.tenant_id}\0{claim.route}\0".encode() + claim.digest
