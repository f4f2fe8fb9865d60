"""The cookie that recognises a browser while it logs in: a random secret for each tenant.

The database stores only its digest, with each login that the browser has started. So a login cannot be continued in
another browser. All tabs share the cookie. A completed login replaces it.
"""

import re
import secrets
from typing import Any

from auth1.core.http.cookies import cookie_name, read_cookie, set_cookie
from auth1.core.http.request import Request

LIFE_S = 3600
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


def new_secret() -> str:
    """Return the secret of a new cookie: 256 random bits."""
    return secrets.token_urlsafe(32)


def read_secret(request: Request[Any], tenant_id: str, *, secure: bool) -> str | None:
    """Return the secret of a browser; None without one. Raises BadRequest when the cookie was sent twice."""
    secret = read_cookie(request, _name(tenant_id, secure=secure))
    return secret if secret is not None and _SECRET.fullmatch(secret) else None


def set_secret(request: Request[Any], tenant_id: str, secret: str, *, secure: bool) -> None:
    """Set the cookie, for as long as a login may take."""
    set_cookie(request, _name(tenant_id, secure=secure), secret, secure=secure, max_age=LIFE_S)


def _name(tenant_id: str, *, secure: bool) -> str:
    return cookie_name(f"browser_{tenant_id}", secure=secure)
