"""Create a session: its row, and the tokens of a login."""

import asyncio
from contextlib import suppress
from typing import Any, NamedTuple

from msgspec import structs

from auth1 import metrics
from auth1.core.http.request import Request
from auth1.core.ids import new_id_at
from auth1.errors import Unavailable
from auth1.identifiers import Identifier
from auth1.services import Services
from auth1.sessions import refresh_tokens, store
from auth1.sessions.schemas import Tokens, Verified
from auth1.sessions.tokens import ExtraClaims, Subject
from auth1.tenants.settings import Tenant

RESERVE_S = 0.2  # of the request's time, for the answer after the oldest sessions were revoked
_USER_AGENT_CHARACTERS = 256


class NewSession(NamedTuple):
    """The parameters of a statement that opens a session, times in seconds. Users recognise it by the last two."""

    session_id: str
    session_expires_in: int
    session_idle_after: int
    device_name: str | None
    user_agent: str | None


def new_session(app: Services, request: Request[Any], tenant: Tenant, device_name: str | None = None) -> NewSession:
    """Return the session row of a login. The time in its id is that of the login for all instances."""
    return NewSession(
        session_id=new_id_at("ses", app.postgres.now()),
        session_expires_in=tenant.settings.session_expires_in,
        session_idle_after=min(tenant.settings.session_idle_after, tenant.settings.session_expires_in),
        device_name=device_name,
        user_agent=user_agent(request),
    )


async def issue_tokens(
    app: Services,
    request: Request[Any],
    tenant: Tenant,
    session: NewSession,
    user_id: str,
    identifier: Identifier,
    *,
    is_new_user: bool,
    claims: ExtraClaims,
) -> Verified:
    """Return the tokens of a session whose row is committed. `claims` are those of the tenant's hook."""
    await count_session(app, request, tenant, user_id, is_new_user=is_new_user)
    subject = Subject(user_id, session.session_id, identifier.channel, identifier.value)
    return Verified(**structs.asdict(session_tokens(app, tenant, subject, 0, claims)), is_new_user=is_new_user)


async def count_session(
    app: Services, request: Request[Any], tenant: Tenant, user_id: str, *, is_new_user: bool
) -> None:
    """Count an opened session. Where the tenant limits the sessions of a user, revoke the oldest ones beyond it.

    The code or link is consumed already, so a failure here does not fail the login: the next login repeats this.
    """
    metrics.SESSIONS_OPENED["yes" if is_new_user else "no"].inc()
    max_sessions = tenant.settings.max_sessions_per_user
    if max_sessions is not None and not is_new_user:
        with suppress(Unavailable, TimeoutError):
            async with asyncio.timeout_at(request.deadline - RESERVE_S * app.settings.timeout_scale):
                revoked = await store.end_surplus_sessions(app.postgres, tenant.id, user_id, max_sessions)
                await app.sessions.revoke(tenant.id, revoked)


def session_tokens(app: Services, tenant: Tenant, subject: Subject, number: int, claims: ExtraClaims) -> Tokens:
    """Sign an access token with the claims of the tenant's hook, and derive the refresh token with a number."""
    return Tokens(
        token=app.signer.sign(tenant, subject, claims),
        expires_in=tenant.settings.token_expires_in,
        refresh_token=refresh_tokens.make(app.keyring, tenant.id, subject.session_id, number),
        user_id=subject.user_id,
        session_id=subject.session_id,
    )


def user_agent(request: Request[Any]) -> str | None:
    """Return the User-Agent header without control characters, cut to 256 characters."""
    text = (request.values(b"user-agent") or [b""])[0].decode("latin-1")
    return "".join(character for character in text[:_USER_AGENT_CHARACTERS] if character.isprintable()) or None
