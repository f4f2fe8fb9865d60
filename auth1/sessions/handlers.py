"""List and revoke sessions; sign out."""

from auth1.core.http.pagination import PageQuery
from auth1.core.http.request import Request
from auth1.errors import NotFound
from auth1.events.log import log_events
from auth1.services import Services
from auth1.sessions import store
from auth1.sessions.end import BY_TENANT, BY_USER, LOGOUT, end_all, end_one
from auth1.sessions.guards import LoggedIn
from auth1.sessions.schemas import LogoutIn, SessionOut, SessionPage
from auth1.tenants.settings import TenantAdmin


async def logout(app: Services, request: Request[LoggedIn], body: LogoutIn) -> None:
    """Revoke this session, all others of the user, or all."""
    caller = request.caller
    if body.scope == "local":
        await end_one(app, request, caller.tenant.id, caller.user_id, caller.session_id, caller.user_id, LOGOUT)
        return
    keep = caller.session_id if body.scope == "others" else None
    await end_all(app, request, caller.tenant.id, caller.user_id, caller.user_id, LOGOUT, keep)


async def list_my_sessions(app: Services, request: Request[LoggedIn], query: PageQuery) -> SessionPage:
    """List the user's live sessions, newest first."""
    caller = request.caller
    found = await _list(app, caller.tenant.id, caller.user_id, query)
    for session in found.data:
        session.current = session.session_id == caller.session_id
    return found


async def get_my_session(app: Services, request: Request[LoggedIn]) -> SessionOut:
    """Return one of the user's live sessions."""
    caller, session_id = request.caller, request.parameters["session_id"]
    session = await store.find_live_session(app.postgres, caller.tenant.id, caller.user_id, session_id)
    session.current = session_id == caller.session_id
    return session


async def end_my_session(app: Services, request: Request[LoggedIn]) -> None:
    """Revoke one of the user's sessions."""
    caller, session_id = request.caller, request.parameters["session_id"]
    await end_one(app, request, caller.tenant.id, caller.user_id, session_id, caller.user_id, BY_USER)


async def end_my_sessions(app: Services, request: Request[LoggedIn]) -> None:
    """Revoke all of the user's sessions, this one included."""
    caller = request.caller
    await end_all(app, request, caller.tenant.id, caller.user_id, caller.user_id, BY_USER)


async def list_user_sessions(app: Services, request: Request[TenantAdmin], query: PageQuery) -> SessionPage:
    """List a user's live sessions, newest first."""
    return await _list(app, request.caller.tenant_id, await _known_user(app, request), query)


async def get_user_session(app: Services, request: Request[TenantAdmin]) -> SessionOut:
    """Return a live session of a user."""
    user_id, session_id = request.parameters["user_id"], request.parameters["session_id"]
    return await store.find_live_session(app.postgres, request.caller.tenant_id, user_id, session_id)


async def end_user_session(app: Services, request: Request[TenantAdmin]) -> None:
    """Revoke one session of a user."""
    user_id, session_id = request.parameters["user_id"], request.parameters["session_id"]
    await end_one(app, request, request.caller.tenant_id, user_id, session_id, request.caller.actor, BY_TENANT)


async def end_user_sessions(app: Services, request: Request[TenantAdmin]) -> None:
    """Revoke all sessions of a user."""
    user_id = await _known_user(app, request)
    await end_all(app, request, request.caller.tenant_id, user_id, request.caller.actor, BY_TENANT)


async def end_tenant_sessions(app: Services, request: Request[TenantAdmin]) -> None:
    """Revoke all sessions of all users of a tenant."""
    tenant_id = request.caller.tenant_id
    log_events(app.log, await store.end_all_sessions(app.postgres, tenant_id, request.caller.context))
    await app.tenants.publish_invalidation(tenant_id)


async def _list(app: Services, tenant_id: str, user_id: str, query: PageQuery) -> SessionPage:
    sessions = await store.list_sessions(app.postgres, tenant_id, user_id, query.cursor, query.rows)
    return SessionPage(*query.split(sessions, lambda session: session.session_id))


async def _known_user(app: Services, request: Request[TenantAdmin]) -> str:
    user_id = request.parameters["user_id"]
    if not await store.user_exists(app.postgres, request.caller.tenant_id, user_id):
        raise NotFound
    return user_id
