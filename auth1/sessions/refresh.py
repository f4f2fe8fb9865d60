"""Exchange a refresh token for a new pair of tokens."""

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.errors import InvalidToken, SessionRevoked, TokenReused
from auth1.events.log import event_context, log_events
from auth1.identifiers import stored_identifier
from auth1.services import Services
from auth1.sessions import refresh_tokens, store
from auth1.sessions.create import session_tokens
from auth1.sessions.login_hooks import token_claims
from auth1.sessions.refresh_tokens import Refresh
from auth1.sessions.schemas import RefreshGrant, Tokens
from auth1.sessions.store import Refreshed
from auth1.sessions.tokens import NO_CLAIMS, ExtraClaims, Subject
from auth1.tenants.settings import Tenant


async def refresh(app: Services, request: Request[Tenant], grant: RefreshGrant) -> Tokens:
    """Rotate a refresh token.

    Raises InvalidToken, SessionRevoked, HookDenied, or TokenReused, which revokes the session.
    """
    tenant = request.caller
    token = refresh_tokens.read(app.keyring, tenant.id, grant.refresh_token)
    if token is None:
        raise InvalidToken
    refreshed, claims = await _rotate(app, request, tenant, token)
    metrics.SESSIONS_REFRESHED[refreshed.verdict if refreshed else "none"].inc()
    if refreshed is None or refreshed.verdict == "revoked":
        raise SessionRevoked
    request.log["user_id"] = refreshed.user_id
    if refreshed.verdict == "reused":
        log_events(app.log, refreshed.events)
        await app.sessions.revoke(tenant.id, [token.session_id])
        raise TokenReused
    return session_tokens(app, tenant, _subject(token, refreshed), refreshed.number, claims)


async def _rotate(
    app: Services, request: Request[Tenant], tenant: Tenant, token: Refresh
) -> tuple[Refreshed | None, ExtraClaims]:
    """Rotate a token, after the hook has decided: a client whose refresh is denied keeps its token."""
    context, idle_after = event_context(request, tenant.key_id), tenant.settings.session_idle_after
    if tenant.hooks.before_token is None:
        return await store.refresh_session(app.postgres, tenant.id, token, idle_after, context), NO_CLAIMS
    preview = await store.refresh_session(app.postgres, tenant.id, token, idle_after, context, is_preview=True)
    if preview is None or preview.verdict in ("reused", "revoked"):
        return preview, NO_CLAIMS
    subject = _subject(token, preview)
    identifier = None
    if subject.identifier is not None:
        identifier = stored_identifier("phone" if subject.channel == "sms" else "email", subject.identifier)
    claims = await token_claims(app, request, tenant, subject, identifier, is_refresh=True)
    return await store.refresh_session(app.postgres, tenant.id, token, idle_after, context), claims


def _subject(token: Refresh, refreshed: Refreshed) -> Subject:
    return Subject(refreshed.user_id, token.session_id, refreshed.channel, refreshed.identifier)
