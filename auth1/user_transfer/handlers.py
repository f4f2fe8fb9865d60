"""Import and export of a tenant's users over HTTP."""

import io
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.core.http.query import QueryParams
from auth1.core.http.request import CSV, NDJSON, Request, Stream, Upload
from auth1.errors import PayloadTooLarge
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.user_transfer import exporter, field_map, importer, parsers
from auth1.users.schemas import ImportResult

MAX_LINES = 50_000  # of one upload: the response names every rejected line
_FORMATS: dict[str, exporter.Format] = {NDJSON: "ndjson", CSV: "csv"}


class ExportQuery(QueryParams):
    """The query of an export."""

    format: Annotated[exporter.Format, msgspec.Meta(description="Format of the lines.")] = "ndjson"
    after: Annotated[
        str,
        msgspec.Meta(
            max_length=64,
            pattern=r"^[ -~]*\Z",
            description="Continue after this user_id.",
            extra={"message": "Must be a user_id."},
        ),
    ] = ""


class ImportQuery(QueryParams, rename={"product": "from"}):
    """The query of an import."""

    map: Annotated[
        str, msgspec.Meta(max_length=2000, description="Where fields are found: phone=phone_number,email=email.")
    ] = ""
    product: (
        Annotated[str, msgspec.Meta(max_length=20, description="Product: auth0, cognito, firebase or supabase.")] | None
    ) = None
    trust_unverified: Annotated[
        bool, msgspec.Meta(description="Import unverified phones and emails as logins, not as profile data.")
    ] = False


async def export_users(app: Services, request: Request[TenantAdmin], query: ExportQuery) -> Stream:
    """Export all users, oldest first, as NDJSON, or as CSV with `format=csv`; `after` resumes after a user_id."""
    media_type = CSV if query.format == "csv" else NDJSON
    name = f"users-{datetime.now(UTC):%Y-%m-%d}.{query.format}"
    request.headers.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
    pieces = await exporter.begin(app.postgres, request.caller.tenant_id, query.format, query.after)
    return Stream(pieces, media_type.encode())


async def import_users(app: Services, request: Request[TenantAdmin], body: Upload, query: ImportQuery) -> ImportResult:
    """Import users from NDJSON or CSV; existing users are left unchanged. The response names every rejected line."""
    fields = field_map.parse(query.map, query.product)
    raw = body.raw
    if raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n") > MAX_LINES:
        raise PayloadTooLarge(f"The body has more than {MAX_LINES} lines; send it in parts.")
    lines = parsers.read(_FORMATS[body.media_type], io.BytesIO(raw), fields)
    options = importer.Options(fields, trust_unverified=query.trust_unverified)
    return await importer.import_users(app, request.caller, lines, options)
