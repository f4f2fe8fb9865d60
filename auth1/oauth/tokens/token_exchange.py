"""Exchange an authorization code or a refresh token for tokens of a user (RFC 6749, 4.1.3 and 6; RFC 7636, 4.5)."""

import re
from typing import Any

from auth1.core.crypto import s256
from auth1.core.http.request import Request
from auth1.errors import BadRequest, InvalidGrant, InvalidScope, UnauthorizedClient
from auth1.events.log import event_context, log_events
from auth1.oauth.clients import Client
from auth1.oauth.issuers import Issuer
from auth1.oauth.schemas import AccessToken
from auth1.oauth.tokens import access_tokens, grants
from auth1.oauth.tokens.derived_tokens import CODE, REFRESH_TOKEN
from auth1.oauth.tokens.grants import CodeExchange, Exchanged, Grant
from auth1.oauth.tokens.id_tokens import sign_id_token
from auth1.oauth.tokens.user_claims import OFFLINE_ACCESS, OPENID
from auth1.services import Services

LOGIN_KINDS = ("web", "spa", "native")  # of applications that users log in to
_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}", re.ASCII)


async def exchange_code(
    app: Services, request: Request[Issuer], client: Client, parameters: dict[str, str]
) -> AccessToken:
    """Exchange a code, once. A second use revokes the tokens of the first one."""
    _require_logins(client)
    issuer, text = request.caller, _required(parameters, "code")
    verifier, redirect_uri = parameters.get("code_verifier"), _required(parameters, "redirect_uri")
    if verifier is not None and not _VERIFIER.fullmatch(verifier):
        raise BadRequest("The parameter code_verifier must have 43 to 128 unreserved characters.")
    code = CODE.read(app.keyring, issuer.tenant.id, text)
    if code is None or "\0" in redirect_uri:
        raise InvalidGrant
    exchange = CodeExchange(code, client.client_id, redirect_uri, s256(verifier) if verifier else None)
    expires_in = issuer.tenant.settings.session_expires_in
    context = event_context(request, client.client_id)
    exchanged = await grants.redeem_code(app.postgres, issuer.tenant.id, exchange, expires_in, context)
    grant = _granted(app, request, exchanged)
    return await _tokens(app, issuer, client, grant, grant.scopes)


async def exchange_refresh_token(
    app: Services, request: Request[Issuer], client: Client, parameters: dict[str, str]
) -> AccessToken:
    """Rotate a refresh token. The use of an old one revokes the grant."""
    _require_logins(client)
    issuer = request.caller
    token = REFRESH_TOKEN.read(app.keyring, issuer.tenant.id, _required(parameters, "refresh_token"))
    if token is None:
        raise InvalidGrant
    context, idle_after = event_context(request, client.client_id), issuer.tenant.settings.session_idle_after
    wanted = list(dict.fromkeys(parameters.get("scope", "").split()))
    if wanted:  # before the token is spent
        found = await grants.find_grant(app.postgres, issuer.tenant.id, token.row_id)
        if found is not None and not set(wanted) <= set(found.scopes):
            raise InvalidScope
    exchanged = await grants.refresh_grant(app.postgres, issuer.tenant.id, token, client.client_id, idle_after, context)
    grant = _granted(app, request, exchanged)
    return await _tokens(app, issuer, client, grant, wanted or grant.scopes)


async def _tokens(app: Services, issuer: Issuer, client: Client, grant: Grant, scopes: list[str]) -> AccessToken:
    """Sign the tokens of a grant for some of its scopes. With a secret, a client needs the scope `offline_access`."""
    has_refresh_token = client.is_public or OFFLINE_ACCESS in grant.scopes
    grant = grant._replace(scopes=scopes)
    access_token = await access_tokens.sign_access_token(app, issuer, client, scopes, grant)
    tokens = AccessToken(access_token=access_token, expires_in=access_tokens.LIFE_S, scope=" ".join(scopes))
    if OPENID in scopes:
        tokens.id_token = await sign_id_token(app, issuer, client.client_id, client.id_token_alg, grant, access_token)
    if has_refresh_token:
        tokens.refresh_token = REFRESH_TOKEN.make(app.keyring, issuer.tenant.id, grant.grant_id, grant.number)
    return tokens


def _granted(app: Services, request: Request[Any], exchanged: Exchanged) -> Grant:
    log_events(app.log, exchanged.events)
    if exchanged.grant is None:
        request.log["grant"] = exchanged.verdict
        raise InvalidGrant
    request.log["user_id"] = exchanged.grant.user_id
    return exchanged.grant


def _require_logins(client: Client) -> None:
    if client.kind not in LOGIN_KINDS:
        raise UnauthorizedClient("Users do not log in to an application of this kind.")


def _required(parameters: dict[str, str], name: str) -> str:
    try:
        return parameters[name]
    except KeyError:
        raise BadRequest(f"The parameter {name} is missing.") from None
