"""Profile and user metadata of the signed-in user."""

from datetime import UTC, datetime

import msgspec

from auth1.account import store
from auth1.account.schemas import Me, MePatch
from auth1.core import stored_json
from auth1.core.http.request import Request
from auth1.errors import SessionRevoked
from auth1.events.log import event_context, log_events
from auth1.services import Services
from auth1.sessions.guards import LoggedIn, require_recent_login
from auth1.tenants.settings import TenantAdmin
from auth1.users import metadata, service


async def get_me(app: Services, request: Request[LoggedIn]) -> Me:
    """Return the user of the session."""
    # The session guard has loaded it.
    return _me(request.caller, request.caller.user.user_metadata)


async def update_me(app: Services, request: Request[LoggedIn], body: MePatch) -> Me:
    """Merge into the user's own metadata."""
    caller = request.caller
    tenant_id = caller.tenant.id
    stored_json.check("user_metadata", body.user_metadata)
    merged = await store.change_user_metadata(
        app.postgres,
        tenant_id,
        caller.user_id,
        body.user_metadata,
        session_id=caller.session_id,
        max_bytes=metadata.MAX_BYTES,
        context=event_context(request, caller.user_id),
    )
    if merged is None:
        raise SessionRevoked  # the session ended after the check of the token
    if not merged.fits:
        raise stored_json.error_too_large("user_metadata", metadata.MAX_BYTES)
    log_events(app.log, merged.events)
    await app.sessions.invalidate(tenant_id, merged.sessions)
    return _me(caller, msgspec.Raw(merged.user_metadata.encode()))


async def erase_me(app: Services, request: Request[LoggedIn]) -> None:
    """Erase the user's own account; requires a login within the last 5 minutes."""
    caller = request.caller
    require_recent_login(app, caller)
    admin = TenantAdmin(caller.tenant.id, caller.user_id, request.request_id, request.network)
    await service.erase_user(app, admin, caller.user_id)


def _me(caller: LoggedIn, user_metadata: msgspec.Raw) -> Me:
    user = caller.user
    return Me(
        user_id=user.user_id,
        phone=user.phone,
        email=user.email,
        created_at=user.created_at,
        last_login_at=user.last_login_at,
        metadata=user.metadata,
        user_metadata=user_metadata,
        session_id=caller.session_id,
        logged_in_at=datetime.fromtimestamp(caller.claims.auth_time, UTC),
    )
