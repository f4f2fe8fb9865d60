"""Read and check the parameters of an authorization request (OpenID Connect Core, 3.1.2.1; RFC 7636; RFC 9101)."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from auth1.oauth.authorization.requests import AuthorizationRequest, Prompt, ResponseMode
from auth1.oauth.clients import Client
from auth1.oauth.issuers import Issuer
from auth1.oauth.tokens.id_tokens import REACHABLE_ACRS, read_id_token
from auth1.oauth.tokens.user_claims import SCOPE_CLAIMS, STANDARD_SCOPES
from auth1.services import Services

PROMPTS: tuple[Prompt, ...] = ("none", "login", "consent", "select_account")
RESPONSE_MODES: tuple[ResponseMode, ...] = ("query", "form_post")
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)
_MAX_AGE = re.compile(r"[0-9]{1,9}", re.ASCII)
_LOCALE = re.compile(r"[A-Za-z0-9-]{1,35}", re.ASCII)
_MAX_HINT = 254  # characters of a phone or an email
_MAX_LOCALES = 10

Parameters = Mapping[str, str]


class AuthorizationError(Exception):
    """An error that the client receives at its redirect URI (RFC 6749, 4.1.2.1)."""

    def __init__(self, error: str, description: str) -> None:
        self.error, self.description = error, description
        super().__init__(error)


def read_pairs(pairs: Sequence[tuple[str, str]]) -> tuple[dict[str, str], set[str]]:
    """Return the parameters with a value, and the names of those that were sent twice."""
    repeated = {name for name, times in Counter(name for name, _ in pairs).items() if times > 1}
    return {name: value for name, value in pairs if value}, repeated


async def read_request(
    app: Services, issuer: Issuer, client: Client, parameters: Parameters, repeated: set[str]
) -> AuthorizationRequest:
    """Return the request of a client whose redirect URI is registered. Raises AuthorizationError."""
    _check_supported(parameters, repeated)
    prompt = _read_prompt(parameters)
    claims = _read_claims(parameters.get("claims"))
    max_age = parameters.get("max_age")
    if max_age is not None and not _MAX_AGE.fullmatch(max_age):
        raise AuthorizationError("invalid_request", "The parameter max_age is not a number of seconds.")
    return AuthorizationRequest(
        client_id=client.client_id,
        redirect_uri=parameters["redirect_uri"],
        scopes=_read_scopes(client, parameters, claims),
        state=parameters.get("state"),
        nonce=parameters.get("nonce"),
        code_challenge=_read_challenge(client, parameters),
        response_mode=response_mode(parameters),
        prompt=prompt,
        max_age=int(max_age) if max_age is not None else None,
        login_hint=parameters.get("login_hint", "")[:_MAX_HINT] or None,
        ui_locales=[one for one in parameters.get("ui_locales", "").split() if _LOCALE.fullmatch(one)][:_MAX_LOCALES],
        hint_user_id=await _hinted_user(app, issuer, client, parameters, claims),
    )


def response_mode(parameters: Parameters) -> ResponseMode:
    """Return the response mode of a request, also of one that is rejected."""
    return "form_post" if parameters.get("response_mode") == "form_post" else "query"


def _check_supported(parameters: Parameters, repeated: set[str]) -> None:
    if repeated:
        raise AuthorizationError("invalid_request", "A parameter was sent twice.")
    if any("\0" in value for value in parameters.values()):
        raise AuthorizationError("invalid_request", "A parameter contains a NUL character.")
    for name, error in _NOT_SUPPORTED.items():
        if name in parameters:
            raise AuthorizationError(error, f"The parameter {name} is not supported.")
    if "response_type" not in parameters:
        raise AuthorizationError("invalid_request", "The parameter response_type is missing.")
    if parameters["response_type"] != "code":
        raise AuthorizationError("unsupported_response_type", "The response type must be code.")
    if parameters.get("response_mode", "query") not in RESPONSE_MODES:
        raise AuthorizationError("invalid_request", "The response mode must be query or form_post.")


def _read_prompt(parameters: Parameters) -> list[Prompt]:
    wanted = parameters.get("prompt", "").split()
    if "none" in wanted and len(wanted) > 1:
        raise AuthorizationError("invalid_request", "The prompt none must not be combined with others.")
    return [known for known in PROMPTS if known in wanted]


def _read_challenge(client: Client, parameters: Parameters) -> str | None:
    challenge = parameters.get("code_challenge")
    if challenge is None:
        if client.is_public or client.require_pkce:
            raise AuthorizationError("invalid_request", "The parameter code_challenge is missing (PKCE, S256).")
        return None
    if parameters.get("code_challenge_method") != "S256":
        raise AuthorizationError("invalid_request", "The parameter code_challenge_method must be S256.")
    if not _CHALLENGE.fullmatch(challenge):
        raise AuthorizationError(
            "invalid_request", "The parameter code_challenge must have 43 characters of base64url."
        )
    return challenge


def _read_scopes(client: Client, parameters: Parameters, claims: dict[str, dict[str, Any]]) -> list[str]:
    """Return the scopes that the client may have. Unknown ones are dropped; those of requested claims are added."""
    wanted = list(dict.fromkeys(parameters.get("scope", "").split()))
    names = {name for part in claims.values() for name in part}
    wanted += [scope for scope, covered in SCOPE_CLAIMS.items() if names & set(covered)]
    allowed = {*STANDARD_SCOPES, *client.scopes}
    scopes = [scope for scope in dict.fromkeys(wanted) if scope in allowed]
    if not scopes:
        raise AuthorizationError("invalid_scope", "None of the scopes may be requested.")
    return scopes


def _read_claims(text: str | None) -> dict[str, dict[str, Any]]:
    """Return the requested claims of `id_token` and `userinfo` by name (OpenID Connect Core, 5.5)."""
    if text is None:
        return {}
    try:
        whole = msgspec.json.decode(text, type=dict[str, Any])
        parts = {name: msgspec.convert(whole.get(name) or {}, dict[str, Any]) for name in ("id_token", "userinfo")}
    except (msgspec.DecodeError, RecursionError):
        raise AuthorizationError("invalid_request", "The parameter claims is not valid.") from None
    _check_acr(parts["id_token"].get("acr"))
    return parts


def _check_acr(acr: object) -> None:
    """Reject an essential `acr` that no login reaches (OpenID Connect Core, 5.5.1.1). Any other is optional."""
    if not isinstance(acr, dict) or acr.get("essential") is not True:
        return
    values = acr.get("values") or ([acr["value"]] if "value" in acr else list(REACHABLE_ACRS))
    if not isinstance(values, list) or not any(reachable in values for reachable in REACHABLE_ACRS):
        raise AuthorizationError(
            "unmet_authentication_requirements", "The essential acr cannot be reached by this login."
        )


async def _hinted_user(
    app: Services, issuer: Issuer, client: Client, parameters: Parameters, claims: dict[str, dict[str, Any]]
) -> str | None:
    """Return the user that the request names by an ID token of ours or by the claim `sub`.

    A hint that cannot be read names no user: an empty id.
    """
    if (hint := parameters.get("id_token_hint")) is not None:
        token = await read_id_token(app, issuer, hint)
        return token.user_id if token is not None and token.client_id == client.client_id else ""
    sub = claims.get("id_token", {}).get("sub")
    if isinstance(sub, dict) and isinstance(value := sub.get("value"), str):
        return "" if "\0" in value else value  # PostgreSQL stores no NUL
    return None
