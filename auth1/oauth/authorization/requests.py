"""The authorization request of an application, as a row of `logins` stores it."""

from typing import Literal

import msgspec

ResponseMode = Literal["query", "form_post"]
Prompt = Literal["none", "login", "consent", "select_account"]


class AuthorizationRequest(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The validated parameters (OpenID Connect Core, 3.1.2.1). `max_age` is in seconds.

    `hint_user_id` is the user of `id_token_hint`, or of a claim `sub` that was requested. `redirect_uri` is registered.
    `scopes` are those that the application may have, those of requested claims included.
    """

    client_id: str
    redirect_uri: str
    scopes: list[str]
    state: str | None = None
    nonce: str | None = None
    code_challenge: str | None = None
    response_mode: ResponseMode = "query"
    prompt: list[Prompt] = msgspec.field(default_factory=list)
    max_age: int | None = None
    login_hint: str | None = None
    ui_locales: list[str] = msgspec.field(default_factory=list)
    hint_user_id: str | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(AuthorizationRequest).decode


def encode_request(request: AuthorizationRequest) -> str:
    """Return a request as JSON."""
    return _encode(request).decode()


def decode_request(text: str) -> AuthorizationRequest:
    """Read a stored request."""
    return _decode(text)
