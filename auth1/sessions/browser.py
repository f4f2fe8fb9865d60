"""The session of a browser: a session like any other, that a cookie names instead of tokens.

The cookie is `<session>_<MAC>`. The MAC covers tenant and session, under a key of its own: the database contains no
usable cookie, and no refresh token is one. Each login opens a session, so the cookie changes with it.
"""

import re
from typing import Any, NamedTuple

from auth1.core import crypto
from auth1.core.crypto import Keyring
from auth1.core.http.cookies import clear_cookie, cookie_name, read_cookie, set_cookie
from auth1.core.http.request import Request
from auth1.core.postgres import Queries
from auth1.identifiers import Channel
from auth1.services import Services
from auth1.tenants.settings import Tenant

_QUERIES = Queries("sessions")
_FORM = re.compile(r"([0-9a-z]{26})_([A-Za-z0-9_-]{43})", re.ASCII)
# How a code on a channel authenticates (RFC 8176).
AMR: dict[Channel, list[str]] = {"sms": ["otp", "sms"], "email": ["otp"]}


class BrowserSession(NamedTuple):
    """A live session of a browser. `authenticated_at`: of the login, in seconds since 1970."""

    session_id: str
    user_id: str
    channel: Channel
    identifier: str | None  # that of the channel, as the user has it now
    amr: list[str]
    acr: int
    authenticated_at: float


class _SessionKey(NamedTuple):
    tenant_id: str
    session_id: str
    idle_after: int


class _Row(NamedTuple):
    session_id: str
    user_id: str
    channel: Channel
    identifier: str | None
    amr: list[str] | None
    acr: int | None
    authenticated_at: float


_FIND = _QUERIES.statement("find_browser_session", _SessionKey, _Row)


async def read(app: Services, request: Request[Any], tenant: Tenant, *, secure: bool) -> BrowserSession | None:
    """Return the live session of the browser, from PostgreSQL; None without one. Marks it as used."""
    value = read_cookie(request, _name(tenant, secure=secure))
    found = None if value is None else _FORM.fullmatch(value)
    if found is None or not any(crypto.equal(mac, found[2]) for mac in _macs(app.keyring, tenant.id, found[1])):
        return None
    idle_after = min(tenant.settings.session_idle_after, tenant.settings.session_expires_in)
    row = await app.postgres.row(_FIND, _SessionKey(tenant.id, f"ses_{found[1]}", idle_after))
    if row is None:
        return None
    request.log["user_id"] = row.user_id
    return BrowserSession(
        session_id=row.session_id,
        user_id=row.user_id,
        channel=row.channel,
        identifier=row.identifier,
        amr=row.amr or AMR[row.channel],
        acr=row.acr or 1,
        authenticated_at=row.authenticated_at,
    )


def set_session(app: Services, request: Request[Any], tenant: Tenant, session_id: str, *, secure: bool) -> None:
    """Set the cookie of a session, for as long as the session can last."""
    suffix = session_id.partition("_")[2]
    value = f"{suffix}_{_macs(app.keyring, tenant.id, suffix)[0]}"
    max_age = tenant.settings.session_expires_in
    set_cookie(request, _name(tenant, secure=secure), value, secure=secure, max_age=max_age)


def clear_session(request: Request[Any], tenant: Tenant, *, secure: bool) -> None:
    """Delete the cookie."""
    clear_cookie(request, _name(tenant, secure=secure), secure=secure)


def _name(tenant: Tenant, *, secure: bool) -> str:
    return cookie_name(f"session_{tenant.id}", secure=secure)


def _macs(keyring: Keyring, tenant_id: str, suffix: str) -> list[str]:
    macs = keyring.macs("browser session", f"{tenant_id}\0{suffix}".encode())
    return [crypto.base64url(mac) for mac in macs]
