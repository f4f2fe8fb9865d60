"""Authenticate an OAuth client: by HTTP Basic, or by parameters in the form (RFC 6749, 2.3.1)."""

import base64
import binascii
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

from auth1.authn.limits import GUESSES
from auth1.core.crypto import digest
from auth1.core.http.request import Form, Request
from auth1.core.postgres import Queries
from auth1.errors import BadRequest, InvalidClient
from auth1.oauth.issuers import Issuer
from auth1.services import Services
from auth1.signing.keys import Alg

_QUERIES = Queries("oauth")


class _ClientKey(NamedTuple):
    tenant_id: str
    client_id: str


class Client(NamedTuple):
    """An enabled application, with the digests of its secrets."""

    client_id: str
    scopes: list[str]
    id_token_alg: Alg
    secrets: list[bytes]


_FIND_CLIENT = _QUERIES.statement("find_client", _ClientKey, Client)


def read_parameters(form: Form) -> dict[str, str]:
    """Return the parameters of a form. One without a value counts as absent (RFC 6749, 3.1).

    Raises BadRequest when a parameter occurs twice.
    """
    parameters = dict(form.pairs)
    if len(parameters) != len(form.pairs):
        raise BadRequest("A parameter was sent twice.")
    return {name: value for name, value in parameters.items() if value}


async def authenticate_client(app: Services, request: Request[Issuer], parameters: dict[str, str]) -> Client:
    """Return the client that the request authenticates. Wrong secrets are limited per client address.

    Raises InvalidClient, BadRequest, RateLimited.
    """
    client_id, secret = _credentials(request, parameters)
    app.limiter.check_known_full(request, app.settings, GUESSES)
    # No id contains NUL, which PostgreSQL rejects.
    key = _ClientKey(request.caller.owner_id, client_id)
    client = None if "\0" in client_id else await app.postgres.row(_FIND_CLIENT, key)
    # Digests of random secrets: their comparison takes no secret time that helps to guess one.
    if client is None or digest(secret) not in client.secrets:
        await app.limiter.acquire_for_client(request, app.settings, GUESSES)
        raise InvalidClient
    request.log["client_id"] = client.client_id
    return client


def _credentials(request: Request[Any], parameters: dict[str, str]) -> tuple[str, str]:
    header = request.header(b"authorization")
    named, secret = parameters.get("client_id"), parameters.get("client_secret")
    if header is None:
        if named is None or secret is None:
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
