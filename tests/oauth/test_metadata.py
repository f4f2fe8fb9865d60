"""Discovery documents, public keys, and calls of web pages."""

import pytest

from tests.conftest import Started
from tests.oauth.machine import Machine

ENDPOINTS = ("token", "introspection", "revocation", "pushed_authorization_request")
# Required of a provider (OpenID Connect Discovery 1.0, 3).
REQUIRED = {
    "authorization_endpoint",
    "id_token_signing_alg_values_supported",
    "issuer",
    "jwks_uri",
    "response_types_supported",
    "subject_types_supported",
    "token_endpoint",
}


@pytest.mark.parametrize("sandbox", [False, True])
async def test_metadata_names_the_issuer_at_both_paths(machine: Machine, sandbox: bool) -> None:
    machine.sandbox = sandbox
    get = machine.api.client.get
    by_rfc_8414 = await get(f"/.well-known/oauth-authorization-server{machine.path}")
    by_openid = await get(f"{machine.path}/.well-known/openid-configuration")

    body = by_rfc_8414.json()
    assert by_openid.json() == body
    assert body["issuer"] == machine.issuer
    assert all(body[f"{name}_endpoint"].startswith(f"{machine.issuer}/") for name in ENDPOINTS)
    assert body["authorization_endpoint"] == f"{machine.issuer}/authorize"
    assert body["userinfo_endpoint"] == f"{machine.issuer}/userinfo"
    assert body["end_session_endpoint"] == f"{machine.issuer}/logout"
    assert body.keys() >= REQUIRED
    assert "RS256" in body["id_token_signing_alg_values_supported"]
    assert body["response_types_supported"] == ["code"]
    assert body["code_challenge_methods_supported"] == ["S256"]
    assert "none" not in body["introspection_endpoint_auth_methods_supported"]
    assert by_openid.headers["cache-control"] == "public, max-age=600"
    assert (await get(body["jwks_uri"].removeprefix(machine.api.settings.app_url))).json()["keys"]


async def test_endpoints_of_the_metadata_exist(machine: Machine) -> None:
    body = (await machine.api.client.get(f"{machine.path}/.well-known/openid-configuration")).json()
    paths = [body[f"{name}_endpoint"].removeprefix(machine.api.settings.app_url) for name in ENDPOINTS]

    answers = [await machine.api.client.post(path, data={"token": "x"}) for path in paths]

    assert [answer.status_code for answer in answers] == [401] * 4


async def test_web_pages_of_any_origin_may_call_without_cookies(machine: Machine) -> None:
    origin = {"origin": "https://app.example.com"}
    response = await machine.api.client.get(f"{machine.path}/jwks", headers=origin)
    preflight = await machine.api.client.options(f"{machine.path}/token", headers=origin)

    for answer in (response, preflight):
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "access-control-allow-credentials" not in answer.headers
    assert "authorization" in preflight.headers["access-control-allow-headers"]


async def test_operators_origins_do_not_limit_oauth_endpoints(start_app: Started, machine: Machine) -> None:
    narrow = await start_app(CORS_ORIGINS="https://only.example.com")
    origin = {"origin": "https://app.example.com"}

    jwks = await narrow.client.get(f"{machine.path}/jwks", headers=origin)
    other = await narrow.client.get("/.well-known/jwks.json", headers=origin)

    assert (jwks.status_code, jwks.headers["access-control-allow-origin"]) == (200, "*")
    assert other.status_code == 403


@pytest.mark.parametrize("path", ["/t/unknown-tenant/jwks", "/t/unknown-tenant/test/jwks", "/t/unknown-tenant/token/x"])
async def test_unknown_issuer_is_not_found(machine: Machine, path: str) -> None:
    assert (await machine.api.client.get(path)).status_code == 404
