"""Links in emails: what they are made of, and who may ask for one.

A link's token is derived from the id of its message, so that the outbox can write it again and the database need keep
only a digest. Whoever asked gets a secret of 256 bits, kept as a digest too: it binds the asking tab.
"""

import base64
import hashlib
import secrets
from typing import NamedTuple

from auth1.challenges.schemas import CodeRequest
from auth1.core.crypto import Keyring, digest
from auth1.errors import FieldError, ValidationFailed
from auth1.identifiers import Identifier
from auth1.tenants.settings import Tenant

PATH = "/api/auth/link/{token}"


class NewLink(NamedTuple):
    """A link as it is asked for, with its secret and its token at the only moment they can be read."""

    secret: str
    token: str
    secret_digest: bytes
    token_digest: bytes
    with_code: bool
    redirect_to: str | None
    code_challenge: str | None

    def address(self, app_url: str) -> str:
        """The link itself. It begins with APP_URL, whatever the request's Host said."""
        return app_url + PATH.format(token=self.token)


def create_magic_link(
    keyring: Keyring, tenant: Tenant, identifier: Identifier, body: CodeRequest, message_id: str
) -> NewLink | None:
    """The link that a request asks for, None where it asks for a code alone. Raises ValidationFailed."""
    _check(tenant, identifier, body)
    if body.mode == "code":
        return None
    secret = secrets.token_urlsafe(32)
    token = derive(keyring, tenant.id, message_id)[0]
    return NewLink(
        secret=secret,
        token=token,
        secret_digest=digest(secret),
        token_digest=digest(token),
        with_code=body.mode == "both",
        redirect_to=body.redirect_to,
        code_challenge=body.code_challenge,
    )


def address(app_url: str, keyring: Keyring, tenant_id: str, message_id: str, token_digest: bytes) -> str | None:
    """Write the link of a message again; None when the secret that it was derived from is accepted no more."""
    for token in derive(keyring, tenant_id, message_id):
        if digest(token) == token_digest:
            return app_url + PATH.format(token=token)
    return None


def s256(verifier: str) -> str:
    """The code challenge of a PKCE verifier (RFC 7636, 4.2)."""
    return _base64url(hashlib.sha256(verifier.encode()).digest())


def _check(tenant: Tenant, identifier: Identifier, body: CodeRequest) -> None:
    if body.mode != "code" and identifier.channel != "email":
        raise ValidationFailed(errors=[FieldError("mode", "Only an email can carry a link")])
    if body.redirect_to is None:
        if body.code_challenge is not None:
            raise ValidationFailed(errors=[FieldError("code_challenge", "Only with redirect_to")])
        return
    if body.mode == "code":
        raise ValidationFailed(errors=[FieldError("redirect_to", "Only with a link")])
    # Compared as it is, character by character (RFC 9700, 2.1): every cleverer comparison has been outwitted.
    if body.redirect_to not in tenant.settings.redirect_uris:
        raise ValidationFailed(errors=[FieldError("redirect_to", "Not among the tenant's redirect_uris")])
    if body.code_challenge is None:
        raise ValidationFailed(errors=[FieldError("code_challenge", "Required with redirect_to (PKCE, S256)")])


def derive(keyring: Keyring, tenant_id: str, message_id: str) -> list[str]:
    """Derive the token of a message's link, under each accepted secret."""
    return [_base64url(mac) for mac in keyring.macs("link-token", f"{tenant_id}\0{message_id}".encode())]


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
