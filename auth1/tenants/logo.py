"""The logo of a tenant: stored in PostgreSQL, served by its digest, shown in emails and on the pages behind links."""

import hashlib
import re
from typing import Any, NamedTuple

import msgspec

from auth1.authn.guards import public
from auth1.authn.limits import POLLING
from auth1.core.http.request import PNG, BodyLimit, Image, Request, Response
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import FieldError, NotFound, ValidationFailed
from auth1.events.log import EventContext, RecordedEvent, read_events
from auth1.row_keys import TenantKey
from auth1.services import Services
from auth1.tenants import service
from auth1.tenants.png import png_problem
from auth1.tenants.schemas import LogoOut
from auth1.tenants.settings import TenantAdmin, logo_path, read_settings
from auth1.tenants.statements import LOCK_TENANT, UPDATE_TENANT, UpdateTenant

_QUERIES = Queries("tenants")
_DIGEST = re.compile(r"[0-9a-f]{32}")
_HEADERS = (
    (b"cache-control", b"public, max-age=31536000, immutable"),
    (b"content-security-policy", b"default-src 'none'"),
    (b"cross-origin-resource-policy", b"cross-origin"),  # webmail shows it
)

LIMIT = BodyLimit(64 * 1024)
MAX_CONCURRENT = 64
# The declarations of the route that serves logos.
SERVE: dict[str, Any] = {
    "auth": public,
    "rate_limit": POLLING,
    "max_concurrent": MAX_CONCURRENT,
    "errors": (NotFound,),
    "responses": ((200, PNG), (304, None)),
    "request_headers": ("if-none-match",),
    "response_headers": ("cache-control", "etag", "content-security-policy", "cross-origin-resource-policy"),
}


class _SaveLogo(NamedTuple):
    tenant_id: str
    digest: str
    image: bytes


class _Digest(NamedTuple):
    digest: str


class _Image(NamedTuple):
    image: bytes


_SAVE_LOGO = _QUERIES.statement("save_logo", _SaveLogo, _Digest)
_DELETE_LOGO = _QUERIES.statement("delete_logo", TenantKey, _Digest)
_FIND_LOGO = _QUERIES.statement("find_logo", _Digest, _Image)


async def put_logo(app: Services, request: Request[TenantAdmin], body: Image) -> LogoOut:
    """Replace the logo with a PNG image of at most 64 KiB and 1024 × 1024 pixels."""
    return await save_logo(app, request.caller, body.raw)


async def delete_logo(app: Services, request: Request[TenantAdmin]) -> None:
    """Delete the logo. Emails that were sent with it show the tenant's name instead."""
    await remove_logo(app, request.caller)


async def save_logo(app: Services, manager: TenantAdmin, image: bytes) -> LogoOut:
    """Replace the logo. Raises NotFound, and ValidationFailed unless it is a PNG image of the right size."""
    if problem := png_problem(image):
        raise ValidationFailed(errors=[FieldError("body", problem)])
    digest = hashlib.sha256(image).hexdigest()[:32]
    await _change(app, manager, digest, image)
    return LogoOut(url=app.settings.app_url + logo_path(digest))


async def remove_logo(app: Services, manager: TenantAdmin) -> None:
    """Delete the logo. Raises NotFound."""
    await _change(app, manager, None, b"")


async def get_logo(app: Services, request: Request[None]) -> Response:
    """Return a tenant's logo."""
    digest = request.parameters["digest"]
    row = await app.postgres.row(_FIND_LOGO, _Digest(digest)) if _DIGEST.fullmatch(digest) else None
    if row is None:
        raise NotFound
    tag = f'"{digest}"'
    request.headers += [*_HEADERS, (b"etag", tag.encode())]
    known = {name.strip().removeprefix("W/") for name in (request.header(b"if-none-match") or "").split(",")}
    if tag in known or "*" in known:
        return Response(b"", 304)
    return Response(row.image, content_type=PNG.encode())


async def _change(app: Services, manager: TenantAdmin, digest: str | None, image: bytes) -> None:
    events = await _store_logo(app.postgres, manager.tenant_id, digest, image, manager.context)
    if events is None:
        raise NotFound
    if events:
        await service.publish(app, manager, events)


async def _store_logo(
    postgres: Postgres, tenant_id: str, digest: str | None, image: bytes, context: EventContext
) -> list[RecordedEvent] | None:
    """Replace or delete a logo and return the event, if anything changed; None when there is no tenant."""

    async def work(transaction: Transaction) -> list[RecordedEvent] | None:
        row = await transaction.row(LOCK_TENANT, TenantKey(tenant_id))
        if row is None:
            return None
        if read_settings(row.settings).logo == digest:
            return []
        if digest is None:
            await transaction.row(_DELETE_LOGO, TenantKey(tenant_id))
        else:
            await transaction.row(_SAVE_LOGO, _SaveLogo(tenant_id, digest, image))
        settings = msgspec.json.encode(msgspec.json.decode(row.settings) | {"logo": digest}).decode()
        updated = await transaction.row(
            UPDATE_TENANT,
            UpdateTenant(
                tenant_id, row.name, settings, new_id("evt"), *context, ["settings.logo"], resets_budget=False
            ),
        )
        return read_events(updated.events) if updated else None

    return await postgres.in_transaction(work)
