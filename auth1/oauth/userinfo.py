"""The claims of a user for an application with an access token (OpenID Connect Core, 5.3; RFC 6750)."""

from typing import Any

from auth1.core.http.request import Form, Request
from auth1.errors import BadRequest, InsufficientScope, InvalidAccessToken
from auth1.oauth.clients import read_parameters
from auth1.oauth.issuers import Issuer
from auth1.oauth.schemas import UserInfo
from auth1.oauth.tokens import access_tokens, grants
from auth1.oauth.tokens.user_claims import OPENID, user_claims
from auth1.services import Services

_NO_STORE = (b"cache-control", b"no-store")


async def get_userinfo(app: Services, request: Request[Issuer]) -> UserInfo:
    """Return the claims of the user of an access token, as its scopes allow."""
    return await _userinfo(app, request, _header_token(request))


async def post_userinfo(app: Services, request: Request[Issuer], body: Form) -> UserInfo:
    """Return the claims of the user. The access token is in the header or in the form."""
    in_header, in_form = _header_token(request), read_parameters(body).get("access_token")
    if in_header is not None and in_form is not None:
        raise BadRequest("Use one method to send the access token.")
    return await _userinfo(app, request, in_header or in_form)


async def _userinfo(app: Services, request: Request[Issuer], token: str | None) -> UserInfo:
    if token is None:
        raise InvalidAccessToken("An access token is missing.", headers={"www-authenticate": 'Bearer realm="userinfo"'})
    issuer = request.caller
    claims = await access_tokens.read_access_token(app, issuer, token)
    if claims is None or claims.gid is None or await access_tokens.is_revoked(app, issuer, claims):
        raise InvalidAccessToken
    scopes = claims.scope.split()
    if OPENID not in scopes:
        raise InsufficientScope
    grant = await grants.find_grant(app.postgres, issuer.tenant.id, claims.gid)
    if grant is None:
        raise InvalidAccessToken
    request.log["user_id"] = grant.user_id
    request.headers.append(_NO_STORE)
    return UserInfo(sub=grant.user_id, **user_claims(scopes, grant.profile))


def _header_token(request: Request[Any]) -> str | None:
    header = request.header(b"authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise InvalidAccessToken("The Authorization header needs a bearer token.")
    return token.strip()
