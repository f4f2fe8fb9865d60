"""The endpoints and capabilities of an issuer (RFC 8414, 2; OpenID Connect Discovery 1.0, 3)."""

from typing import get_args

from auth1.oauth.authorization.request_parameters import PROMPTS, RESPONSE_MODES
from auth1.oauth.schemas import IssuerMetadata
from auth1.oauth.tokens.id_tokens import REACHABLE_ACRS
from auth1.oauth.tokens.user_claims import SCOPE_CLAIMS, STANDARD_SCOPES
from auth1.signing.keys import Alg

GRANT_TYPES = ("authorization_code", "refresh_token", "client_credentials")
_SECRET_METHODS = ["client_secret_basic", "client_secret_post"]
_ID_TOKEN_CLAIMS = ("sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "sid", "at_hash")


def metadata(url: str) -> IssuerMetadata:
    """Return the metadata of the issuer at an address."""
    return IssuerMetadata(
        issuer=url,
        jwks_uri=f"{url}/jwks",
        authorization_endpoint=f"{url}/authorize",
        pushed_authorization_request_endpoint=f"{url}/par",
        require_pushed_authorization_requests=False,
        token_endpoint=f"{url}/token",
        userinfo_endpoint=f"{url}/userinfo",
        end_session_endpoint=f"{url}/logout",
        backchannel_logout_supported=True,
        backchannel_logout_session_supported=True,
        introspection_endpoint=f"{url}/introspect",
        revocation_endpoint=f"{url}/revoke",
        grant_types_supported=list(GRANT_TYPES),
        response_types_supported=["code"],
        response_modes_supported=list(RESPONSE_MODES),
        code_challenge_methods_supported=["S256"],
        authorization_response_iss_parameter_supported=True,
        scopes_supported=list(STANDARD_SCOPES),
        claims_supported=[*_ID_TOKEN_CLAIMS, *(claim for claims in SCOPE_CLAIMS.values() for claim in claims)],
        claims_parameter_supported=True,
        request_parameter_supported=False,
        request_uri_parameter_supported=False,
        prompt_values_supported=list(PROMPTS),
        acr_values_supported=list(REACHABLE_ACRS),
        subject_types_supported=["public"],
        id_token_signing_alg_values_supported=list(get_args(Alg)),
        token_endpoint_auth_methods_supported=[*_SECRET_METHODS, "none"],
        introspection_endpoint_auth_methods_supported=_SECRET_METHODS,
        revocation_endpoint_auth_methods_supported=[*_SECRET_METHODS, "none"],
    )
