"""End the sessions of a user: in the database, then in the cache that all workers read."""

from typing import Any

from auth1.core.http.request import Request
from auth1.errors import NotFound
from auth1.events.log import event_context, log_events
from auth1.services import Services
from auth1.sessions import store

LOGOUT, BY_TENANT, BY_USER = "logout", "ended_by_tenant", "ended_by_user"


async def end_one(
    app: Services, request: Request[Any], tenant_id: str, user_id: str, session_id: str, actor: str, reason: str
) -> None:
    """End one session of a user. Raises NotFound."""
    context = event_context(request, actor)
    events = await store.end_session(app.postgres, tenant_id, session_id, user_id, context=context, reason=reason)
    if events is None:
        raise NotFound
    log_events(app.log, events)
    await app.sessions.revoke(tenant_id, [session_id])


async def end_all(
    app: Services,
    request: Request[Any],
    tenant_id: str,
    user_id: str,
    actor: str,
    reason: str,
    keep: str | None = None,
) -> None:
    """End all sessions of a user but `keep`."""
    context = event_context(request, actor)
    ended = await store.end_user_sessions(app.postgres, tenant_id, user_id, context=context, reason=reason, keep=keep)
    log_events(app.log, ended.events)
    just_ended = ended.sessions or await store.list_just_ended(app.postgres, tenant_id, user_id)
    await app.sessions.revoke(tenant_id, just_ended)
