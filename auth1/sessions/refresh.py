"""Exchange a refresh token for a new pair of tokens."""

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.errors import InvalidToken, SessionRevoked, TokenReused
from auth1.events.log import event_context, log_events
from auth1.services import Services
from auth1.sessions import refresh_tokens, store
from auth1.sessions.create import session_tokens
from auth1.sessions.schemas import RefreshGrant, Tokens
from auth1.sessions.tokens import Subject
from auth1.tenants.settings import Tenant


async def refresh(app: Services, request: Request[Tenant], grant: RefreshGrant) -> Tokens:
    """Rotate a refresh token. Raises InvalidToken, SessionRevoked, or TokenReused, which revokes the session."""
    tenant = request.caller
    token = refresh_tokens.read(app.keyring, tenant.id, grant.refresh_token)
    if token is None:
        raise InvalidToken
    context = event_context(request, tenant.key_id)
    refreshed = await store.refresh_session(app.postgres, tenant.id, token, tenant.settings.session_idle_after, context)
    metrics.SESSIONS_REFRESHED[refreshed.verdict if refreshed else "none"].inc()
    if refreshed is None or refreshed.verdict == "revoked":
        raise SessionRevoked
    request.log["user_id"] = refreshed.user_id
    if refreshed.verdict == "reused":
        log_events(app.log, refreshed.events)
        await app.sessions.revoke(tenant.id, [token.session_id])
        raise TokenReused
    subject = Subject(refreshed.user_id, token.session_id, refreshed.channel, refreshed.identifier)
    return session_tokens(app, tenant, subject, refreshed.number)
