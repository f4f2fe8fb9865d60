"""Idempotency-Key: what would cost money or create twice is done once, and whoever repeats it gets the first answer.

The header is that of the IETF's draft 06 (draft-ietf-httpapi-idempotency-key-header): a string of structured fields, or
the same without quotes. A key holds for 24 hours, for one tenant (or the operator) and one route; a publishable key is
in anybody's hands, so what is asked with one is also told apart by the client's address. An answer may hold secrets: it
is kept sealed.

Whoever claims a key first does the work. A refusal frees it; what failed on our side may have been done, so its claim
is kept, and ends after 30 s.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from auth1.core import schemas
from auth1.core.crypto import Keyring
from auth1.core.http import client_ip, problems
from auth1.core.http.request import JSON, ReplayedResponse, Request, Response
from auth1.core.http.router import Route
from auth1.core.ids import new_id
from auth1.errors import ApiError, Conflict, FieldError, IdempotencyKeyReused, ValidationFailed
from auth1.idempotency import store
from auth1.idempotency.store import Claim, KeyState
from auth1.services import Services
from auth1.tenants.settings import OPERATOR, Tenant, TenantAdmin

HEADER = b"idempotency-key"
REPLAYED = (b"idempotent-replayed", b"true")
MAX_LENGTH = 255
RETRY_AFTER_S = 1
_PURPOSE = "idempotency-box"
# RFC 9651, 3.3.3: visible ASCII between quotes, where quote and backslash have a backslash before them.
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])+)"', re.ASCII)
_BARE = re.compile(r"[!#-~][!-~]*", re.ASCII)

_canonical = msgspec.json.Encoder(order="sorted").encode


class _Kept(NamedTuple):
    """An answer as it was given."""

    status: int
    content_type: bytes
    body: bytes
    retry_after: int | None = None


_decode = msgspec.msgpack.Decoder(_Kept).decode


def read(request: Request[Any], route: str, body: object) -> Claim | None:
    """Read the header of a call; None where there is none. Raises ValidationFailed, BadRequest."""
    text = request.header(HEADER)
    if text is None:
        return None
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE.fullmatch(text)) or len(key) > MAX_LENGTH:
        sentence = f"Must be 1 to {MAX_LENGTH} visible ASCII characters, with or without quotes around them"
        raise ValidationFailed(errors=[FieldError(HEADER.decode(), sentence)])
    caller = request.caller
    scope, place = OPERATOR, ""
    if isinstance(caller, Tenant):
        scope, place = caller.id, client_ip.rate_limit_prefix(request.client) if caller.key_kind == "pk" else ""
    elif isinstance(caller, TenantAdmin):
        scope = caller.tenant_id
    return Claim(
        tenant_id=scope,
        route=route,
        digest=hashlib.sha256(f"{place}\0{key}".encode()).digest(),
        body_digest=hashlib.sha256(_canonical((request.parameters, body))).digest(),
    )


def seal(keyring: Keyring, claim: Claim, status: int, result: object) -> bytes:
    """Make what is kept of what a handler returned; `status` is the route's."""
    if result is None:
        return _seal(keyring, claim, _Kept(204, b"", b""))
    if isinstance(result, Response):
        body = result.body if isinstance(result.body, bytes) else schemas.encode(result.body)
        return _seal(keyring, claim, _Kept(result.status, result.content_type, body))
    return _seal(keyring, claim, _Kept(status, JSON.encode(), schemas.encode(result)))


def seal_refusal(keyring: Keyring, claim: Claim, refusal: ApiError, request_id: str) -> bytes:
    """Make what is kept of a refusal that is to be given again."""
    document = schemas.encode(problems.problem(refusal, request_id))
    return _seal(keyring, claim, _Kept(refusal.status, problems.CONTENT_TYPE, document, refusal.retry_after))


def replay(keyring: Keyring, request: Request[Any], claim: Claim, box: bytes) -> ReplayedResponse:
    """Open an answer that was kept: an exception to raise. Raises Conflict where its secret is gone."""
    text = keyring.open(_PURPOSE, box, _context(claim))
    if text is None:
        raise Conflict("The answer to this Idempotency-Key was sealed under a secret that is no longer accepted.")
    kept = _decode(text)
    request.headers.append(REPLAYED)
    if kept.retry_after is not None:
        request.headers.append((b"retry-after", b"%d" % kept.retry_after))
    return ReplayedResponse(Response(kept.body, kept.status, kept.content_type))


def refuse(same_body: bool) -> ApiError:
    """What somebody is told who comes with a key that somebody else has: an exception to raise."""
    if not same_body:
        return IdempotencyKeyReused()
    return Conflict("The request with this Idempotency-Key is still being worked on.", retry_after=RETRY_AFTER_S)


async def once(app: Services, route: Route, request: Request[Any], arguments: Sequence[object]) -> object:
    """Run the handler of a route that is `idempotent`. With a key this costs a statement before and one after it."""
    claim = read(request, f"{route.method} {route.path}", arguments)
    if claim is None:
        return await route.handler(app, request, *arguments)
    claim_id = new_id("req")
    held = await store.claim_idempotency(app.postgres, claim, claim_id)
    if not held.mine:
        raise _refuse_held(app.keyring, request, claim, held)
    try:
        result = await route.handler(app, request, *arguments)
    except ApiError as refusal:
        if refusal.status < 500:
            await store.release_key(app.postgres, claim, claim_id)
        raise
    await store.store_response(app.postgres, claim, claim_id, seal(app.keyring, claim, route.status, result))
    return result


def _refuse_held(keyring: Keyring, request: Request[Any], claim: Claim, held: KeyState) -> Exception:
    if held.same_body and held.sealed_response is not None:
        return replay(keyring, request, claim, held.sealed_response)
    return refuse(held.same_body)


def _seal(keyring: Keyring, claim: Claim, kept: _Kept) -> bytes:
    return keyring.seal(_PURPOSE, msgspec.msgpack.encode(kept), _context(claim))


def _context(claim: Claim) -> bytes:
    """Bind an answer to its row, so that it cannot be moved to another one."""
    return f"{claim.tenant_id}\0{claim.route}\0".encode() + claim.digest
