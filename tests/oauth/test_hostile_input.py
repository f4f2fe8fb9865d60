"""Hostile input at the endpoints of an issuer: an error of the client, never one of the server."""

import base64
import json

import httpx
import pytest

from tests.oauth.login_app import LoginApp
from tests.oauth.test_authorize import authorize, login_of, response_of, sign_in

HEADERS = {
    "nested": b"[" * 3000,
    "nul": json.dumps({"alg": "RS256", "typ": "at+jwt", "kid": "\0"}).encode(),
    "surrogate": b'{"alg":"RS256","typ":"JWT","kid":"\\ud800"}',
    "number": b'{"alg":"RS256","typ":"JWT","kid":' + b"9" * 4500 + b"}",
    "array": b"[]",
    "kid is no text": b'{"alg":"RS256","typ":"JWT","kid":[1]}',
    "no alg": b'{"typ":"JWT","kid":"x"}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS.keys())
async def test_token_with_a_hostile_header_is_invalid(
    login_app: LoginApp, browser: httpx.AsyncClient, header: bytes
) -> None:
    token = f"{base64.urlsafe_b64encode(header).rstrip(b'=').decode()}.e30.AAAA"
    await sign_in(browser, login_app)
    hinted = await authorize(browser, login_app, id_token_hint=token, prompt="none")
    logout = await browser.get(f"{login_app.path}/logout", params={"id_token_hint": token})

    assert (await login_app.userinfo(token)).status_code == 401
    assert not await login_app.is_active(token)
    assert (await login_app.post("revoke", token=token)).status_code == 200
    assert response_of(hinted)["error"] == "login_required"
    assert (logout.status_code, "Sign out" in logout.text) == (200, True)


@pytest.mark.parametrize(
    ("claims", "is_valid"),
    [
        ('{"id_token":{"sub":{"value":"\\u0000"}}}', True),
        ('{"\\u0000":1}', True),
        ('{"id_token":{"acr":{"essential":true,"values":[[1]]}}}', False),
        ('{"id_token":{"acr":{"essential":true,"values":5}}}', False),
        ('{"id_token":{"acr":{"essential":true,"value":{}}}}', False),
        ('{"id_token":{"sub":{"value":"\\ud800"}}}', False),
        ('{"id_token":1e999}', False),
        ("[" * 2000, False),
    ],
)
async def test_hostile_claims_are_an_error_of_the_application(
    login_app: LoginApp, browser: httpx.AsyncClient, claims: str, is_valid: bool
) -> None:
    answer = await authorize(browser, login_app, claims=claims)

    if is_valid:
        assert (await login_of(login_app, answer))["step"] == "start"
    else:
        assert "error" in response_of(answer)
