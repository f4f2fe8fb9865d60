"""The token endpoint of a tenant: client credentials, and every error of the request."""

import jwt
import pytest
from jwt import PyJWK

from tests.conftest import Started
from tests.oauth.conftest import error
from tests.oauth.credentials import basic
from tests.oauth.machine import SCOPES, Machine, NewMachine

GRANT = {"grant_type": "client_credentials"}


@pytest.mark.parametrize("alg", ["RS256", "ES256", "EdDSA"])
async def test_token_verifies_with_a_key_of_the_issuer(new_machine: NewMachine, alg: str) -> None:
    machine = await new_machine(alg=alg)
    response = await machine.post("token", **GRANT)
    token = response.json()["access_token"]

    header = jwt.get_unverified_header(token)
    [jwk] = [key for key in (await machine.jwks())["keys"] if key["kid"] == header["kid"]]
    claims = jwt.decode(token, PyJWK(jwk).key, [alg], audience=machine.issuer, issuer=machine.issuer)

    assert (header["typ"], header["alg"], jwk["alg"], jwk["use"]) == ("at+jwt", alg, alg, "sig")
    assert "d" not in jwk
    assert claims["sub"] == claims["client_id"] == machine.client_id
    assert claims["exp"] - claims["iat"] == response.json()["expires_in"] == 600
    assert claims["scope"] == response.json()["scope"] == " ".join(SCOPES)
    assert response.json()["token_type"] == "Bearer"
    assert response.headers["cache-control"] == "no-store"


async def test_credentials_may_be_in_the_form(machine: Machine) -> None:
    form = {"client_id": machine.client_id, "client_secret": machine.application["client_secret"], **GRANT}

    assert (await machine.api.client.post(f"{machine.path}/token", data=form)).status_code == 200


async def test_token_has_the_requested_scopes_once(machine: Machine) -> None:
    response = await machine.post("token", scope="invoices:read invoices:read", **GRANT)

    assert response.json()["scope"] == "invoices:read"


async def test_unregistered_scope_is_rejected(machine: Machine) -> None:
    assert error(await machine.post("token", scope="invoices:read admin", **GRANT)) == (400, "invalid_scope")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({}, "invalid_request"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({**GRANT, "client_id": "app_other"}, "invalid_request"),
        ({**GRANT, "client_secret": "auth1_cs_other"}, "invalid_request"),
    ],
)
async def test_invalid_request_is_rejected(machine: Machine, form: dict[str, str], expected: str) -> None:
    assert error(await machine.post("token", **form)) == (400, expected)


async def test_repeated_parameter_is_rejected(machine: Machine) -> None:
    headers = {
        "authorization": basic(machine.client_id, machine.application["client_secret"]),
        "content-type": "application/x-www-form-urlencoded",
    }
    content = "grant_type=client_credentials&grant_type=client_credentials"
    response = await machine.api.client.post(f"{machine.path}/token", content=content, headers=headers)

    assert error(response) == (400, "invalid_request")


async def test_json_body_is_an_invalid_request(machine: Machine) -> None:
    assert error(await machine.api.client.post(f"{machine.path}/token", json=GRANT)) == (400, "invalid_request")


@pytest.mark.parametrize("endpoint", ["token", "introspect", "revoke"])
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer abc",
        "Basic",
        "Basic !!!",
        "Basic bm9jb2xvbg==",
        basic("app_01kf0fv2qd8x7r3n5w1mzt9c4h", "auth1_cs_x"),
        basic("app%00", "x"),
        basic("\0", "x"),
    ],
)
async def test_wrong_client_is_rejected(machine: Machine, endpoint: str, authorization: str | None) -> None:
    headers = {"authorization": authorization} if authorization is not None else {}
    response = await machine.api.client.post(f"{machine.path}/{endpoint}", data=GRANT, headers=headers)

    assert error(response) == (401, "invalid_client")
    assert response.headers["www-authenticate"].startswith("Basic ")


async def test_client_id_with_nul_in_the_form_is_rejected(machine: Machine) -> None:
    form = {**GRANT, "client_id": "app_\0", "client_secret": "x"}
    response = await machine.api.client.post(f"{machine.path}/token", data=form)

    assert error(response) == (401, "invalid_client")


async def test_client_of_another_tenant_is_rejected(machine: Machine, new_machine: NewMachine) -> None:
    other = await new_machine()
    headers = {"authorization": basic(other.client_id, other.application["client_secret"])}

    response = await machine.api.client.post(f"{machine.path}/token", data=GRANT, headers=headers)

    assert error(response) == (401, "invalid_client")


async def test_disabled_client_gets_no_token_until_it_is_enabled(machine: Machine) -> None:
    await machine.manage("PATCH", f"/{machine.client_id}", {"enabled": False})
    disabled = await machine.post("token", **GRANT)
    await machine.manage("PATCH", f"/{machine.client_id}", {"enabled": True})

    assert error(disabled) == (401, "invalid_client")
    assert (await machine.post("token", **GRANT)).status_code == 200


async def test_suspended_and_unknown_tenants_issue_no_token(machine: Machine) -> None:
    await machine.api.admin("POST", f"/api/admin/tenants/{machine.tenant['tenant_id']}/suspend")
    suspended = await machine.post("token", **GRANT)
    machine.tenant["slug"] = "unknown-tenant"
    unknown = await machine.post("token", **GRANT)

    assert error(suspended) == (403, "access_denied")
    assert error(unknown) == (404, "invalid_request")


async def test_deleted_tenant_issues_no_token(machine: Machine) -> None:
    await machine.token()
    await machine.api.admin("DELETE", f"/api/admin/tenants/{machine.tenant['tenant_id']}")

    assert error(await machine.post("token", **GRANT)) == (404, "invalid_request")


async def test_guesses_of_secrets_are_limited_by_address(new_machine: NewMachine, start_app: Started) -> None:
    machine = await new_machine()
    limited = await start_app(RATE_LIMIT_MAX="2")
    machine = Machine(limited, machine.tenant, machine.application, address="198.51.100.77")

    endpoints = ("token", "introspect", "revoke", "token", "introspect", "revoke")
    wrong = [await machine.post(endpoint, "auth1_cs_wrong", **GRANT) for endpoint in endpoints]
    right = await machine.post("token", **GRANT)

    assert [answer.status_code for answer in wrong] == [401, 401, 429, 429, 429, 429]
    assert error(right) == (429, "temporarily_unavailable")
    assert int(right.headers["retry-after"]) > 0
