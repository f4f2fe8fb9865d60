"""A session at its beginning: what a login writes down of it, and the tokens that the person gets."""

import ipaddress
from contextlib import suppress
from typing import Any, NamedTuple

from auth1 import metrics
from auth1.core.http import client_ip
from auth1.core.http.request import Request
from auth1.core.ids import new_id
from auth1.errors import Unavailable
from auth1.services import Services
from auth1.sessions import refresh_tokens, store
from auth1.sessions.schemas import Tokens
from auth1.sessions.tokens import Subject
from auth1.tenants.settings import Tenant

_USER_AGENT_CHARACTERS = 256
_PREFIX_BITS = {4: 24, 6: 48}  # enough to recognise a network by, and no person


class NewSession(NamedTuple):
    """A session as a login's statement inserts it: seconds of life in all and unused, then how to recognise it."""

    id: str
    expires_in: int
    idle_after: int
    device_name: str | None
    user_agent: str | None
    network: str | None


def new_session(request: Request[Any], tenant: Tenant, device_name: str | None = None) -> NewSession:
    """Describe the session that a login is about to open."""
    return NewSession(
        id=new_id("ses"),
        expires_in=tenant.settings.session_expires_in,
        idle_after=min(tenant.settings.session_idle_after, tenant.settings.session_expires_in),
        device_name=device_name,
        user_agent=_user_agent(request),
        network=_network(request.client),
    )


async def open_session(
    app: Services,
    tenant: Tenant,
    session: NewSession,
    *,
    user_id: str,
    is_new_user: bool,
    channel: str,
    identifier: str,
) -> Tokens:
    """Make the tokens of a session whose row was committed; the user's oldest sessions make room for it."""
    metrics.SESSIONS_OPENED.labels("yes" if is_new_user else "no").inc()
    allowed = tenant.settings.max_sessions_per_user
    if allowed is not None and not is_new_user:
        with suppress(Unavailable):  # the code is spent, and the next login will end them
            ended = await store.end_surplus_sessions(app.postgres, tenant.id, user_id, allowed)
            await app.sessions.end(tenant.id, ended)
    return tokens_of(app, tenant, Subject(user_id, session.id, channel, identifier), 0)


def tokens_of(app: Services, tenant: Tenant, subject: Subject, number: int) -> Tokens:
    """Sign a session token, and write the refresh token of a number."""
    return Tokens(
        token=app.signer.sign(tenant, subject),
        expires_in=tenant.settings.token_expires_in,
        refresh_token=refresh_tokens.make(app.keyring, tenant.id, subject.session_id, number),
        user_id=subject.user_id,
        session_id=subject.session_id,
    )


def _user_agent(request: Request[Any]) -> str | None:
    text = request.request_headers.get(b"user-agent", [b""])[0].decode("latin-1")
    return "".join(sign for sign in text[:_USER_AGENT_CHARACTERS] if sign.isprintable()) or None


def _network(client: str) -> str | None:
    address = client_ip.parse_address(client)
    if address is None:
        return None
    return str(ipaddress.ip_network((address, _PREFIX_BITS[address.version]), strict=False))
