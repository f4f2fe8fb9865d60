"""Forged tokens of an issuer: confused algorithms, keys in the header, keys of others, tokens of another kind."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auth1.oauth.tokens import id_tokens
from auth1.signing.keys import ALGORITHMS
from tests.oauth.conftest import NewLoginApp
from tests.oauth.login_app import LoginApp
from tests.oauth.test_authorize import authorize, response_of, sign_in
from tests.oauth.test_logout import is_live

FORGERIES = ("none", "hmac of the public key", "jwk", "jku", "crit", "another tenant's key", "rs256", "padding")


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def write(header: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))


async def forge(app: LoginApp, other: LoginApp, token: str, forgery: str) -> str:
    """Return a token with the claims of a genuine one."""
    header, claims = jwt.get_unverified_header(token), jwt.decode(token, options={"verify_signature": False})
    keys = app.api.services.signing_keys
    own = await keys.active(app.tenant_id, "ES256")
    stranger = ec.generate_private_key(ec.SECP256R1())
    match forgery:
        case "none":
            return write(header | {"alg": "none"}, claims) + "."
        case "hmac of the public key":
            public = own.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
            signed = write(header | {"alg": "HS256"}, claims)
            return f"{signed}.{base64url(hmac.digest(public, signed.encode(), hashlib.sha256))}"
        case "jwk" | "jku":
            jwk = json.loads(ALGORITHMS["ES256"].to_jwk(stranger.public_key()))
            named = {"jwk": jwk} if forgery == "jwk" else {"jku": "https://evil.example.net/jwks"}
            return jwt.encode(claims, stranger, "ES256", header | named)
        case "crit":
            return jwt.encode(claims, own.key, "ES256", header | {"crit": ["exp2"], "exp2": 1})
        case "another tenant's key":
            foreign = await keys.active(other.tenant_id, "ES256")
            return jwt.encode(claims, foreign.key, "ES256", header | {"kid": foreign.kid})
        case "rs256":
            await keys.ensure(app.tenant_id, "RS256")
            return jwt.encode(
                claims, own.key, "ES256", header | {"kid": (await keys.active(app.tenant_id, "RS256")).kid}
            )
        case "padding":
            return token.replace(".", "==.", 1)
    raise AssertionError(forgery)


@pytest.mark.parametrize("forgery", FORGERIES)
async def test_forged_access_token_is_not_accepted(
    login_app: LoginApp, new_login_app: NewLoginApp, forgery: str
) -> None:
    other = await new_login_app()
    token = (await login_app.tokens())["access_token"]

    forged = await forge(login_app, other, token, forgery)

    assert (await login_app.userinfo(token)).status_code == 200
    assert (await login_app.userinfo(forged)).status_code == 401
    assert not await login_app.is_active(forged)


@pytest.mark.parametrize("forgery", [*FORGERIES, "access token", "logout token"])
async def test_forged_hint_neither_signs_out_nor_names_a_user(
    browser: httpx.AsyncClient, login_app: LoginApp, new_login_app: NewLoginApp, forgery: str
) -> None:
    other = await new_login_app()
    tokens = await login_app.tokens()
    if forgery == "access token":
        forged = tokens["access_token"]
    elif forgery == "logout token":
        services, issuer = login_app.api.services, await login_app.issuer()
        ids = (login_app.user_id, login_app.session_id)
        forged = await id_tokens.sign_logout_token(services, issuer, login_app.client_id, "ES256", *ids)
    else:
        forged = await forge(login_app, other, tokens["id_token"], forgery)
    await sign_in(browser, login_app)

    hinted = await authorize(browser, login_app, id_token_hint=forged, prompt="none")
    await browser.get(f"{login_app.path}/logout", params={"id_token_hint": forged})

    assert response_of(hinted)["error"] == "login_required"
    assert await is_live(login_app)


async def test_tokens_of_an_instance_with_a_fast_clock_are_accepted(
    browser: httpx.AsyncClient, login_app: LoginApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clocks may differ by seconds, and an instance that has just started does not know the database's."""
    with monkeypatch.context() as fast:
        fast.setattr(login_app.api.services.postgres, "now", lambda: time.time() + 300)
        tokens = await login_app.tokens()
    await sign_in(browser, login_app)

    assert (await login_app.userinfo(tokens["access_token"])).status_code == 200
    assert (
        await browser.get(f"{login_app.path}/logout", params={"id_token_hint": tokens["id_token"]})
    ).status_code == 200
    assert not await is_live(login_app)
