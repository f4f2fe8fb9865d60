"""Create the links of emails.

The token of a link is derived from the id of its message. So the outbox can derive it again, and the database stores
only a digest. The response to the request contains a secret of 256 bits, also stored as a digest, that redeems the
link in the tab that requested it.
"""

import secrets
from typing import NamedTuple

from auth1.challenges.schemas import CodeRequest
from auth1.core.crypto import Keyring, base64url, digest
from auth1.core.http.request import Request
from auth1.errors import FieldError, ValidationFailed
from auth1.identifiers import Identifier
from auth1.sessions.create import user_agent
from auth1.tenants.settings import Tenant

PATH = "/api/auth/link/{token}"


class LinkOptions(NamedTuple):
    """The link of an email. With `redirect_to`, the page redirects there with a code bound to `code_challenge`.

    `user_agent` and `network` describe the request on the confirmation page.
    """

    with_code: bool
    redirect_to: str | None = None
    code_challenge: str | None = None
    user_agent: str | None = None
    network: str | None = None


class NewLink(NamedTuple):
    """A new link, with its secret and its token in clear. `secret` is None where the link redirects."""

    token: str
    token_digest: bytes
    secret: str | None
    options: LinkOptions

    @property
    def secret_digest(self) -> bytes | None:
        return digest(self.secret) if self.secret is not None else None

    def address(self, base_url: str) -> str:
        """Return the address of the link. `base_url` never comes from a Host header."""
        return base_url + PATH.format(token=self.token)


def link_options(request: Request[Tenant], identifier: Identifier, body: CodeRequest) -> LinkOptions | None:
    """Return the link that a request wants, None where it wants only a code. Raises ValidationFailed."""
    tenant = request.caller
    _check(tenant, identifier, body)
    if body.mode == "code":
        return None
    options = LinkOptions(body.mode == "both", body.redirect_to, body.code_challenge)
    if tenant.key_kind != "sk":
        return options._replace(user_agent=user_agent(request), network=request.network)
    # A server calls: its device is not the user's, and its network only where the server passes on the user's address.
    return options._replace(network=request.network) if request.header(b"auth1-forwarded-for") else options


def create_magic_link(keyring: Keyring, tenant_id: str, message_id: str, options: LinkOptions) -> NewLink:
    """Create the link of a message.

    A link that redirects has no secret: only its destination, which has the code verifier, can redeem it.
    """
    token = derive(keyring, tenant_id, message_id)[0]
    secret = secrets.token_urlsafe(32) if options.redirect_to is None else None
    return NewLink(token, digest(token), secret, options)


def address(base_url: str, keyring: Keyring, tenant_id: str, message_id: str, token_digest: bytes) -> str | None:
    """Derive the link of a message again; None when its secret is no longer accepted."""
    for token in derive(keyring, tenant_id, message_id):
        if digest(token) == token_digest:
            return base_url + PATH.format(token=token)
    return None


def _check(tenant: Tenant, identifier: Identifier, body: CodeRequest) -> None:
    if body.mode != "code" and identifier.channel != "email":
        raise ValidationFailed(errors=[FieldError("mode", 'A link needs an email; use the mode "code" with a phone.')])
    if body.redirect_to is None:
        if body.code_challenge is not None:
            raise ValidationFailed(errors=[FieldError("code_challenge", "Must be used together with redirect_to.")])
        return
    if body.mode == "code":
        raise ValidationFailed(errors=[FieldError("redirect_to", 'Must be used with the mode "link" or "both".')])
    # An exact comparison of strings (RFC 9700, 2.1).
    if body.redirect_to not in tenant.settings.redirect_uris:
        raise ValidationFailed(errors=[FieldError("redirect_to", "Must be one of the tenant's redirect_uris.")])
    if body.code_challenge is None:
        raise ValidationFailed(errors=[FieldError("code_challenge", "Required with redirect_to (PKCE, S256).")])


def derive(keyring: Keyring, tenant_id: str, message_id: str) -> list[str]:
    """Derive the token of a message's link under each accepted secret, the current one first."""
    return [base64url(mac) for mac in keyring.macs("link-token", f"{tenant_id}\0{message_id}".encode())]
