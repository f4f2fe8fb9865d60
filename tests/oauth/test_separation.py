"""Session tokens, access tokens of clients, and tokens of the sandbox are never accepted in each other's place."""

import jwt
import pytest

from auth1.oauth.tokens import access_tokens
from tests.conftest import new_phone
from tests.oauth.conftest import error
from tests.oauth.machine import Machine, NewMachine
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer


async def log_in(api: ApiClient, twilio_server: TwilioServer, key: str) -> str:
    phone = new_phone()
    await api.post("/api/auth/request", {"phone": phone}, key)
    verified = await api.post("/api/auth/verify", {"phone": phone, "code": twilio_server.code_for(phone)}, key)
    return str(verified.json()["token"])


async def test_session_token_is_no_access_token_of_a_client(machine: Machine, twilio_server: TwilioServer) -> None:
    token = await log_in(machine.api, twilio_server, machine.tenant["api_key"])

    assert not await machine.is_active(token)


async def test_access_token_of_a_client_is_no_session_token(machine: Machine) -> None:
    key, token = machine.tenant["api_key"], await machine.token()
    headers = {"x-api-key": key, "authorization": f"Bearer {token}"}

    me = await machine.api.client.get("/api/auth/me", headers=headers)
    introspected = await machine.api.post("/api/auth/introspect", {"token": token}, machine.tenant["secret_key"])

    assert (me.status_code, me.json()["code"]) == (401, "invalid_token")
    assert introspected.json() == {"active": False}


async def test_sandbox_and_tenant_do_not_accept_each_others_tokens(machine: Machine) -> None:
    sandbox = Machine(machine.api, machine.tenant, machine.application, sandbox=True)
    live_token, test_token = await machine.token(), await sandbox.token()

    assert jwt.decode(test_token, options={"verify_signature": False})["test"] is True
    assert (await machine.is_active(live_token), await machine.is_active(test_token)) == (True, False)
    assert (await sandbox.is_active(live_token), await sandbox.is_active(test_token)) == (False, True)
    live, test = (await machine.jwks())["keys"], (await sandbox.jwks())["keys"]
    assert {key["kid"] for key in live}.isdisjoint(key["kid"] for key in test)


async def test_token_of_another_tenant_is_not_active(machine: Machine, new_machine: NewMachine) -> None:
    other = await new_machine()

    assert not await machine.is_active(await other.token())


@pytest.mark.parametrize("change", ["typ", "alg", "iss", "aud", "exp", "kid", "claim", "signature", "text"])
async def test_changed_token_is_not_active(machine: Machine, change: str) -> None:
    token = await machine.token()
    key = await machine.api.services.signing_keys.active(machine.issuer_id, "ES256")
    claims = jwt.decode(token, options={"verify_signature": False})
    headers = {"typ": access_tokens.TYPE, "kid": key.kid}
    secret, alg = key.key, "ES256"
    if change == "typ":
        headers["typ"] = "JWT"
    elif change == "kid":
        headers["kid"] = "unknown"
    elif change == "alg":
        secret, alg = None, "none"
    elif change == "exp":
        claims["exp"] = claims["iat"] - 1
    elif change == "claim":
        del claims["client_id"]
    elif change in ("iss", "aud"):
        claims[change] += "x"
    forged = jwt.encode(claims, secret, alg, headers)
    if change == "signature":
        forged = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    elif change == "text":
        forged = "no token"

    assert await machine.is_active(token)
    assert not await machine.is_active(forged)


async def test_revoked_token_is_not_active_at_once(machine: Machine) -> None:
    token, other = await machine.token(), await machine.token()

    revoked = [await machine.post("revoke", token=token) for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in revoked] == [(200, b"")] * 2
    assert (await machine.is_active(token), await machine.is_active(other)) == (False, True)


async def test_client_cannot_revoke_the_token_of_another(machine: Machine, new_machine: NewMachine) -> None:
    other = await new_machine(machine.tenant)
    token = await other.token()

    assert error(await machine.post("revoke", token=token)) == (400, "unauthorized_client")
    assert await machine.is_active(token)


async def test_unknown_token_is_revoked_without_an_error(machine: Machine) -> None:
    assert (await machine.post("revoke", token="unknown")).status_code == 200
    assert error(await machine.post("revoke")) == (400, "invalid_request")
    assert error(await machine.post("introspect")) == (400, "invalid_request")


async def test_tokens_end_with_their_application(machine: Machine, new_machine: NewMachine) -> None:
    reader = await new_machine(machine.tenant)
    token = await machine.token()
    await machine.manage("PATCH", f"/{machine.client_id}", {"enabled": False})
    while_disabled = await reader.is_active(token)
    await machine.manage("PATCH", f"/{machine.client_id}", {"enabled": True})
    while_enabled = await reader.is_active(token)
    await machine.manage("DELETE", f"/{machine.client_id}")

    assert (while_disabled, while_enabled, await reader.is_active(token)) == (False, True, False)


async def test_introspection_returns_the_claims(machine: Machine) -> None:
    token = await machine.token(scope="invoices:read")
    body = (await machine.post("introspect", token=token, token_type_hint="access_token")).json()

    claims = jwt.decode(token, options={"verify_signature": False})
    assert body == {"active": True, "token_type": "Bearer", **claims}
