"""Sessions after the login: looked into, listed and ended."""

from msgspec import structs

from auth1.core.http.pagination import page
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import ApiError, NotFound
from auth1.events.types import Event, EventType, tell
from auth1.services import Services
from auth1.sessions import store
from auth1.sessions.guards import LoggedIn
from auth1.sessions.schemas import (
    BEARER,
    Introspected,
    Introspection,
    Jwks,
    Logout,
    Metadata,
    SessionPage,
)
from auth1.tenants.settings import Tenant, TenantAdmin

_PUBLIC = (b"cache-control", b"public, max-age=600")
LOGOUT, BY_TENANT, BY_USER = "logout", "ended_by_tenant", "ended_by_user"


async def logout(app: Services, request: Request[LoggedIn], body: Logout) -> None:
    """End this session, all others of the user, or all."""
    caller = request.caller
    if body.scope == "local":
        await _end_one(app, request, caller.tenant.id, caller.user_id, caller.session_id, caller.user_id, LOGOUT)
        return
    keep = caller.session_id if body.scope == "others" else None
    await _end_all(app, request, caller.tenant.id, caller.user_id, caller.user_id, LOGOUT, keep)


async def introspect(app: Services, request: Request[Tenant], body: Introspection) -> Introspected:
    """Tell a tenant's server whether a token is good now, and what it says (RFC 7662)."""
    tenant = request.caller
    try:
        claims = app.signer.check(tenant, body.token)
    except ApiError:
        return Introspected(active=False)  # why not is nobody's business (RFC 7662, 2.2)
    user = await app.sessions.find(tenant, claims.sid)
    if user is None or user.user_id != claims.sub:
        return Introspected(active=False)
    return Introspected(active=True, token_type=BEARER, **structs.asdict(claims))


async def list_my_sessions(app: Services, request: Request[LoggedIn]) -> SessionPage:
    """List where the user is logged in, newest first."""
    caller = request.caller
    found = await _list(app, request, caller.tenant.id, caller.user_id)
    for session in found.data:
        session.current = session.session_id == caller.session_id
    return found


async def end_my_session(app: Services, request: Request[LoggedIn]) -> None:
    """Log a device of the user out."""
    caller, session_id = request.caller, request.parameters["session_id"]
    await _end_one(app, request, caller.tenant.id, caller.user_id, session_id, caller.user_id, BY_USER)


async def end_my_sessions(app: Services, request: Request[LoggedIn]) -> None:
    """Log the user out everywhere, here too."""
    caller = request.caller
    await _end_all(app, request, caller.tenant.id, caller.user_id, caller.user_id, BY_USER)


async def list_user_sessions(app: Services, request: Request[TenantAdmin]) -> SessionPage:
    """List a user's live sessions, newest first."""
    return await _list(app, request, request.caller.tenant_id, await _known_user(app, request))


async def end_user_session(app: Services, request: Request[TenantAdmin]) -> None:
    """End one session of a user."""
    user_id, session_id = request.parameters["user_id"], request.parameters["session_id"]
    await _end_one(app, request, request.caller.tenant_id, user_id, session_id, request.caller.actor, BY_TENANT)


async def end_user_sessions(app: Services, request: Request[TenantAdmin]) -> None:
    """End all sessions of a user."""
    user_id = await _known_user(app, request)
    await _end_all(app, request, request.caller.tenant_id, user_id, request.caller.actor, BY_TENANT)


async def end_tenant_sessions(app: Services, request: Request[TenantAdmin]) -> None:
    """End all sessions of all users of a tenant."""
    tenant_id, actor = request.caller.tenant_id, request.caller.actor
    event_id = await store.end_all_sessions(app.postgres, tenant_id, actor)
    tell(app.log, Event(event_id, EventType.TENANT_LOGGED_OUT, tenant_id, actor, tenant_id), request.request_id)
    await app.tenants.publish_invalidation(tenant_id)


async def show_jwks(app: Services, request: Request[None]) -> Jwks:
    """Show the public keys that tokens are signed with: none where they are signed with tenants' secrets (HS256)."""
    request.headers.append(_PUBLIC)
    return Jwks(keys=app.signer.jwks["keys"])


async def show_metadata(app: Services, request: Request[None]) -> Metadata:
    """Say who issues tokens and where its keys are. This is no OpenID provider: there are no ID tokens."""
    request.headers.append(_PUBLIC)
    url = app.settings.app_url
    return Metadata(
        issuer=url,
        jwks_uri=f"{url}/.well-known/jwks.json",
        access_token_signing_alg_values_supported=app.signer.algorithms,
    )


async def _list(
    app: Services, request: Request[LoggedIn] | Request[TenantAdmin], tenant_id: str, user_id: str
) -> SessionPage:
    wanted = page(request)
    sessions = await store.list_sessions(app.postgres, tenant_id, user_id, wanted.after, wanted.rows)
    return SessionPage(*wanted.split(sessions, lambda session: session.session_id))


async def _known_user(app: Services, request: Request[TenantAdmin]) -> str:
    user_id = request.parameters["user_id"]
    if not await store.user_exists(app.postgres, request.caller.tenant_id, user_id):
        raise NotFound
    return user_id


async def _end_one(
    app: Services,
    request: Request[LoggedIn] | Request[TenantAdmin],
    tenant_id: str,
    user_id: str,
    session_id: str,
    actor: str,
    reason: str,
) -> None:
    outcome = await store.end_session(app.postgres, tenant_id, session_id, user_id, actor=actor, reason=reason)
    if outcome is None:
        raise NotFound
    changed, event_id = outcome
    if changed:
        event = Event(event_id, EventType.SESSION_REVOKED, tenant_id, actor, session_id)
        tell(app.log, event, request.request_id, user_id=user_id, reason=reason)
    await app.sessions.end(tenant_id, [session_id])


async def _end_all(
    app: Services,
    request: Request[LoggedIn] | Request[TenantAdmin],
    tenant_id: str,
    user_id: str,
    actor: str,
    reason: str,
    keep: str | None = None,
) -> None:
    event_id = new_id("evt")
    ended = await store.end_user_sessions(
        app.postgres, tenant_id, user_id, actor=actor, reason=reason, keep=keep, event_id=event_id
    )
    if ended:
        event = Event(event_id, EventType.USER_LOGGED_OUT, tenant_id, actor, user_id)
        tell(app.log, event, request.request_id, sessions=len(ended), reason=reason)
    await app.sessions.end(tenant_id, ended or await store.list_just_ended(app.postgres, tenant_id, user_id))
