"""Protect forms against requests that other sites make a browser send (CSRF).

Browsers say which page a form comes from: `Origin` and `Sec-Fetch-Site`. A form also contains a token: a MAC of the
browser's cookie and of what the form is for. A page of another site cannot read either.
"""

from typing import Any

from auth1.core import crypto
from auth1.core.crypto import Keyring
from auth1.core.http.request import Request
from auth1.errors import Forbidden
from auth1.pages.fetch_metadata import check_site

FIELD = "csrf"  # the name of the hidden field
_PURPOSE = "page form"


def form_token(keyring: Keyring, *context: str) -> str:
    """Return the token of a form. `context` begins with the browser's cookie, and contains no NUL."""
    return _tokens(keyring, context)[0]


def token_is_valid(keyring: Keyring, token: str | None, *context: str) -> bool:
    """Return whether a token belongs to a form with this context."""
    return token is not None and any(crypto.equal(token, right) for right in _tokens(keyring, context))


def check_origin(request: Request[Any], own_origin: str) -> None:
    """Raise Forbidden for a form of another origin. Old browsers send neither of the two headers."""
    check_site(request)
    if request.header(b"origin") not in (None, own_origin):
        raise Forbidden("The form comes from another page.")


def _tokens(keyring: Keyring, context: tuple[str, ...]) -> list[str]:
    macs = keyring.macs(_PURPOSE, "\0".join(context).encode())
    return [crypto.base64url(mac) for mac in macs]
