"""A tenant's users, for whoever manages it."""

import io
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from auth1.account.guards import require_recent_login
from auth1.callers.tenant import Manager
from auth1.core.call import CSV, NDJSON, Call, Stream, Upload
from auth1.core.query import read_query
from auth1.errors import PayloadTooLarge
from auth1.services import Services
from auth1.sessions.guards import LoggedIn
from auth1.users import exporting, importing, manage, mapping, reading, searching
from auth1.users.schemas import Ban, Imported, Person, UserIn, UserOut, UserPage, UserPatch

MAX_LINES = 50_000  # of one upload: all that is rejected is named in the answer
_FORMATS: dict[str, exporting.Format] = {NDJSON: "ndjson", CSV: "csv"}


class Export(msgspec.Struct):
    """The query of an export."""

    format: Annotated[exporting.Format, msgspec.Meta(description="Of the lines.")] = "ndjson"
    after: Annotated[
        str, msgspec.Meta(max_length=64, pattern=r"^[ -~]*\Z", description="A user_id to go on after.")
    ] = ""


class Import(msgspec.Struct, rename={"product": "from"}):
    """The query of an import."""

    map: Annotated[
        str, msgspec.Meta(max_length=2000, description="Where fields are found: phone=phone_number,email=email")
    ] = ""
    product: (
        Annotated[str, msgspec.Meta(max_length=20, description="auth0, cognito, firebase or supabase: whose map it is")]
        | None
    ) = None


async def list_users(app: Services, call: Call[Manager]) -> UserPage:
    """List users, newest first, or search by phone, email, external_id, metadata, or how one of the former begins."""
    return await searching.search(app, call)


async def create_user(app: Services, call: Call[Manager], body: UserIn) -> UserOut:
    """Make a user before its first login."""
    return await manage.create_user(app, call.caller, body)


async def get_user(app: Services, call: Call[Manager]) -> UserOut:
    """Show a user."""
    return await manage.get_user(app, call.caller, call.parameters["user_id"])


async def update_user(app: Services, call: Call[Manager], body: UserPatch) -> UserOut:
    """Change a user; a changed phone or email ends its sessions."""
    return await manage.update_user(app, call.caller, call.parameters["user_id"], body)


async def erase_user(app: Services, call: Call[Manager]) -> None:
    """Erase a user and all that was asked of it; events keep its id."""
    await manage.erase_user(app, call.caller, call.parameters["user_id"])


async def ban_user(app: Services, call: Call[Manager], body: Ban) -> UserOut:
    """Keep a user out, and end its sessions."""
    return await manage.ban_user(app, call.caller, call.parameters["user_id"], body)


async def unban_user(app: Services, call: Call[Manager]) -> UserOut:
    """Let a banned user log in again."""
    return await manage.unban_user(app, call.caller, call.parameters["user_id"])


async def erase_me(app: Services, call: Call[LoggedIn]) -> None:
    """Erase the user's own account; needs a login of the last 5 minutes."""
    caller = call.caller
    require_recent_login(caller)
    await manage.erase_user(app, Manager(caller.tenant.id, caller.user_id, call.request_id), caller.user_id)


async def export_user(app: Services, call: Call[Manager]) -> Person:
    """Show all that is kept of one person."""
    return await manage.export_person(app, call.caller, call.parameters["user_id"])


async def export_users(app: Services, call: Call[Manager]) -> Stream:
    """Export all users, oldest first, as NDJSON or with `format=csv` as CSV; `after` a user_id it goes on."""
    query = read_query(call, Export)
    media_type = CSV if query.format == "csv" else NDJSON
    name = f"users-{datetime.now(UTC):%Y-%m-%d}.{query.format}"
    call.headers.append((b"content-disposition", f'attachment; filename="{name}"'.encode()))
    pieces = await exporting.begin(app.postgres, call.caller.tenant_id, query.format, query.after)
    return Stream(pieces, media_type.encode())


async def import_users(app: Services, call: Call[Manager], body: Upload) -> Imported:
    """Import users from NDJSON or CSV; those who exist are left as they are. The answer names every rejected line."""
    query = read_query(call, Import)
    fields = mapping.parse(query.map, query.product)
    raw = body.raw
    if raw.count(b"\n") + raw.count(b"\r") - raw.count(b"\r\n") > MAX_LINES:
        raise PayloadTooLarge(f"The body has more than {MAX_LINES} lines; send it in parts.")
    lines = reading.read(_FORMATS[body.media_type], io.BytesIO(raw), fields.known)
    return await importing.import_users(app, call.caller, lines, fields)
