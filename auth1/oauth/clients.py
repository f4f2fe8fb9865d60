"""Find OAuth clients, and authenticate them: by HTTP Basic, or by parameters in the form (RFC 6749, 2.3.1).

A client of kind `spa` or `native` cannot keep a secret. It names itself, and proves with PKCE that a code is its own.
"""

import base64
import binascii
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from auth1.authn.limits import GUESSES
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Request
from auth1.core.postgres import Batched, function
from auth1.errors import BadRequest, InvalidClient
from auth1.oauth.issuers import Issuer
from auth1.services import Services
from auth1.signing.keys import Alg

PUBLIC_KINDS = ("spa", "native")


class _ClientKey(NamedTuple):
    tenant_id: str
    client_id: str


class Client(NamedTuple):
    """An enabled application, with the digests of its secrets."""

    client_id: str
    name: str
    kind: str
    scopes: list[str]
    id_token_alg: Alg
    secrets: list[bytes]
    redirect_uris: list[str]
    logout_uris: list[str]
    first_party: bool
    require_pkce: bool

    @property
    def is_public(self) -> bool:
        """Return whether it has no secret."""
        return self.kind in PUBLIC_KINDS


class _FoundClient(NamedTuple):
    """The fields of Client after the owner. Those of an unknown client are null, and its secrets empty."""

    tenant_id: str
    client_id: str
    name: str | None
    kind: str | None
    scopes: list[str] | None
    id_token_alg: Alg | None
    secrets: list[bytes]
    redirect_uris: list[str] | None
    logout_uris: list[str] | None
    first_party: bool | None
    require_pkce: bool | None


# Clients of one moment share a statement. None is cached: a secret or redirect URI that is removed ends at once.
_FIND_CLIENTS = Batched(function("find_clients", _ClientKey, _FoundClient), id_fields=("tenant_id", "client_id"))


def read_parameters(form: Form) -> dict[str, str]:
    """Return the parameters of a form. One without a value counts as absent (RFC 6749, 3.1).

    Raises BadRequest when a parameter occurs twice.
    """
    parameters = dict(form.pairs)
    if len(parameters) != len(form.pairs):
        raise BadRequest("A parameter was sent twice.")
    return {name: value for name, value in parameters.items() if value}


async def find_client(app: Services, issuer: Issuer, client_id: str) -> Client | None:
    """Return an enabled application of an issuer."""
    if "\0" in client_id:  # no id contains NUL, which PostgreSQL rejects
        return None
    row = await _FIND_CLIENTS.call(app.postgres, _ClientKey(issuer.owner_id, client_id))
    fields: tuple[Any, ...] = row[1:]
    return None if row.name is None else Client(*fields)


async def authenticate_client(
    app: Services, request: Request[Issuer], parameters: dict[str, str], *, allow_public: bool = False
) -> Client:
    """Return the client that the request authenticates, or that it names if it is public and `allow_public`.

    Wrong secrets are limited per client address. Raises InvalidClient, BadRequest, RateLimited.
    """
    client_id, secret = _credentials(request, parameters)
    app.limiter.check_known_full(request, app.settings, GUESSES)
    client = await find_client(app, request.caller, client_id)
    if client is None or not _is_authentic(client, secret, allow_public):
        await app.limiter.acquire_for_client(request, app.settings, GUESSES)
        raise InvalidClient
    request.log["client_id"] = client.client_id
    return client


def _is_authentic(client: Client, secret: str | None, allow_public: bool) -> bool:
    if secret is None:
        return allow_public and client.is_public
    # Digests of random secrets: their comparison takes no secret time that helps to guess one.
    return digest(secret) in client.secrets


def _credentials(request: Request[Any], parameters: dict[str, str]) -> tuple[str, str | None]:
    header = request.header(b"authorization")
    named, secret = parameters.get("client_id"), parameters.get("client_secret")
    if header is None:
        if named is None:
            raise InvalidClient("The client must authenticate with its id and secret.")
        return named, secret
    if secret is not None:
        raise BadRequest("Use one method of client authentication.")
    client_id, secret = _read_basic(header)
    if named not in (None, client_id):
        raise BadRequest("The parameter client_id differs from the Authorization header.")
    return client_id, secret


def _read_basic(header: str) -> tuple[str, str]:
    """Read HTTP Basic; both parts are percent-encoded (RFC 6749, 2.3.1)."""
    scheme, _, encoded = header.partition(" ")
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        raise InvalidClient from None
    client_id, colon, secret = decoded.partition(":")
    if scheme.lower() != "basic" or not colon:
        raise InvalidClient
    return unquote_plus(client_id), unquote_plus(secret)
