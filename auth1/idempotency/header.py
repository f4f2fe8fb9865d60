"""Read the Idempotency-Key header.

The syntax is that of draft-ietf-httpapi-idempotency-key-header-06: a structured field string, or the same without
quotes. A key is valid for 24 hours, for one tenant (or the operator) and one route. Publishable keys are public, so
with one of them the key is also bound to the network of the client.
"""

import hashlib
import re
from typing import Any

import msgspec

from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.errors import FieldError, ValidationFailed
from auth1.idempotency.store import Claim
from auth1.tenants.settings import OPERATOR, Tenant, TenantAdmin

HEADER = b"idempotency-key"
MAX_LENGTH = 255
# RFC 9651, 3.3.3: visible ASCII between quotes; a backslash escapes quotes and backslashes.
_QUOTED = re.compile(r'"((?:[!#-\[\]-~]|\\["\\])+)"', re.ASCII)
_BARE = re.compile(r"[!#-~][!-~]*", re.ASCII)

_canonical = msgspec.json.Encoder(order="sorted").encode


def read_claim(request: Request[Any], caller: object, route: str, body: object) -> Claim | None:
    """Return the use of an Idempotency-Key, None without the header. Raises ValidationFailed, BadRequest.

    `caller` owns the key: a Tenant, a TenantAdmin or the operator.
    """
    text = request.header(HEADER)
    if text is None:
        return None
    scope, network = OPERATOR, ""
    if isinstance(caller, Tenant):
        scope, network = caller.id, client_ip.rate_limit_prefix(request.client) if caller.key_kind == "pk" else ""
    elif isinstance(caller, TenantAdmin):
        scope = caller.tenant_id
    return Claim(
        tenant_id=scope,
        route=route,
        digest=hashlib.sha256(f"{network}\0{_parse(text)}".encode()).digest(),
        body_digest=hashlib.sha256(_canonical((request.parameters, body))).digest(),
    )


def _parse(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text
    if not (quoted or _BARE.fullmatch(text)) or len(key) > MAX_LENGTH:
        message = f"Must be 1 to {MAX_LENGTH} visible ASCII characters, with or without quotes around them."
        raise ValidationFailed(errors=[FieldError(HEADER.decode(), message)])
    return key
