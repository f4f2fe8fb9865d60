"""The session token as an application verifies it: with any JWT library and the tenant's secret."""

import re
import time
from typing import Any

import asyncpg
import jwt
import pytest

from tests.conftest import JWT_SECRET, Started
from tests.support.api_client import REQUEST, VERIFY, ApiClient
from tests.support.dump import dump
from tests.support.elapsed import end_resend_delay
from tests.support.providers.twilio import TwilioServer

ISSUER = "http://localhost:3000"


async def login(
    api: ApiClient, twilio: TwilioServer, tenant: dict[str, Any], phone: str, key: str = "api_key", **body: object
) -> dict[str, Any]:
    """Log in; return the response of /verify."""
    requested = await api.post(REQUEST, {"phone": phone}, tenant[key])
    assert requested.status_code == 200, requested.text
    code = "000000" if key == "test_key" else twilio.code_for(phone)
    verified = await api.post(VERIFY, {"phone": phone, "code": code, **body}, tenant[key])
    assert verified.status_code == 200, verified.text
    answer: dict[str, Any] = verified.json()
    return answer


def decode(token: str, secret: str, audience: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(
        token,
        secret,
        algorithms=["HS256"],
        audience=audience,
        issuer=ISSUER,
        options={"require": ["iss", "aud", "sub", "sid", "iat", "exp", "jti"]},
    )
    return claims


async def test_verification_response_has_the_documented_fields(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    answer = await login(api, twilio_server, tenant, phone)

    assert set(answer) == set(
        "verified token token_type expires_in refresh_token user_id session_id is_new_user".split()
    )
    assert (answer["verified"], answer["token_type"], answer["expires_in"]) == (True, "Bearer", 900)
    assert re.fullmatch(r"usr_[0-9a-z]{26}", answer["user_id"])
    assert re.fullmatch(r"ses_[0-9a-z]{26}", answer["session_id"])
    assert len(answer["refresh_token"]) > 60


async def test_token_verifies_with_the_tenant_secret_and_has_the_user_claims(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    before = int(time.time())
    answer = await login(api, twilio_server, tenant, phone)

    claims = decode(answer["token"], tenant["jwt_secret"], tenant["tenant_id"])

    assert jwt.get_unverified_header(answer["token"]) == {
        "alg": "HS256",
        "typ": "at+jwt",
        "kid": f"{tenant['tenant_id']}.1",
    }
    assert re.fullmatch(r"jti_[0-9a-z]{26}", claims.pop("jti"))
    issued_at = claims["iat"]
    assert before <= claims.pop("auth_time") <= issued_at <= time.time()
    assert claims == {
        "iss": ISSUER,
        "aud": tenant["tenant_id"],
        "sub": answer["user_id"],
        "sid": answer["session_id"],
        "iat": issued_at,
        "exp": issued_at + 900,
        "amr": ["otp", "sms"],
        "acr": "urn:auth1:aal1",
        "phone_number": phone,
    }


async def test_each_login_has_its_own_session_and_tokens(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    first, second = [await login(api, twilio_server, tenant, phone) for _ in range(2)]

    assert (first["is_new_user"], second["is_new_user"]) == (True, False)
    assert first["user_id"] == second["user_id"]
    for field in ("session_id", "token", "refresh_token"):
        assert first[field] != second[field]
    ids = [jwt.decode(answer["token"], options={"verify_signature": False})["jti"] for answer in (first, second)]
    assert len(set(ids)) == 2


async def test_token_does_not_verify_with_another_secret(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    other = await api.tenant()
    token = (await login(api, twilio_server, tenant, phone))["token"]

    for secret in (other["jwt_secret"], JWT_SECRET, tenant["tenant_id"].ljust(32), tenant["secret_key"]):
        with pytest.raises(jwt.InvalidSignatureError):
            decode(token, secret, tenant["tenant_id"])
    with pytest.raises(jwt.InvalidAudienceError):
        decode(token, tenant["jwt_secret"], other["tenant_id"])


async def test_same_phone_is_a_different_user_at_each_tenant(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    here = await login(api, twilio_server, tenant, phone)
    there = await login(api, twilio_server, await api.tenant(), phone)

    assert there["is_new_user"] is True
    assert here["user_id"] != there["user_id"]


async def test_sandbox_token_is_marked_and_has_a_separate_signing_key(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str
) -> None:
    live = await login(api, twilio_server, tenant, phone)
    test = await login(api, twilio_server, tenant, phone, key="test_key")

    assert test["is_new_user"] is True  # users are separate
    with pytest.raises(jwt.InvalidSignatureError):
        decode(test["token"], tenant["jwt_secret"], f"{tenant['tenant_id']}:test")
    claims = jwt.decode(test["token"], options={"verify_signature": False})
    assert (claims["aud"], claims["test"]) == (f"{tenant['tenant_id']}:test", True)
    assert "test" not in jwt.decode(live["token"], options={"verify_signature": False})


async def test_issuer_is_app_url(start_app: Started, twilio_server: TwilioServer, phone: str) -> None:
    api = await start_app(APP_URL="https://auth.example.com/")
    answer = await login(api, twilio_server, await api.tenant(), phone)

    claims = jwt.decode(answer["token"], options={"verify_signature": False})

    assert claims["iss"] == "https://auth.example.com"


async def test_refresh_token_is_not_stored(
    api: ApiClient, twilio_server: TwilioServer, tenant: dict[str, Any], phone: str, database: asyncpg.Connection
) -> None:
    answer = await login(api, twilio_server, tenant, phone, device={"name": "Ümläut's phone"})

    row = await database.fetchrow("select * from sessions where id = $1", answer["session_id"])
    assert row is not None
    assert (row["tenant_id"], row["user_id"], row["device_name"], row["revoked_at"]) == (
        tenant["tenant_id"],
        answer["user_id"],
        "Ümläut's phone",
        None,
    )
    everything = await dump(database)
    mac = answer["refresh_token"].split("_", 4)[4]  # which may contain "_", too
    assert len(mac) == 43
    for secret in (answer["refresh_token"], mac, answer["token"]):
        assert secret not in everything
        assert secret.encode().hex() not in everything


async def test_code_sent_under_the_previous_secret_is_accepted(
    api: ApiClient, start_app: Started, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant()
    rotated = await start_app(JWT_SECRET="another secret that only the tests know", JWT_SECRET_PREVIOUS=JWT_SECRET)
    assert (await api.post(REQUEST, {"phone": phone}, tenant["api_key"])).status_code == 200
    body = {"phone": phone, "code": twilio_server.code_for(phone)}

    answer = await rotated.post(VERIFY, body, tenant["api_key"])

    assert answer.status_code == 200
    with pytest.raises(jwt.InvalidSignatureError):  # the new secret alone signs
        decode(answer.json()["token"], tenant["jwt_secret"], tenant["tenant_id"])


async def test_resend_after_secret_rotation_sends_the_same_code(
    api: ApiClient, start_app: Started, twilio_server: TwilioServer, phone: str, database: asyncpg.Connection
) -> None:
    tenant = await api.tenant()
    rotated = await start_app(JWT_SECRET="another secret that only the tests know", JWT_SECRET_PREVIOUS=JWT_SECRET)
    await api.post(REQUEST, {"phone": phone}, tenant["api_key"])
    first = twilio_server.code_for(phone)
    await end_resend_delay(database, phone)

    assert (await rotated.post(REQUEST, {"phone": phone}, tenant["api_key"])).status_code == 200

    assert len(twilio_server.sent_to(phone)) == 2
    assert twilio_server.code_for(phone) == first


async def test_code_of_an_unknown_secret_is_invalid(
    api: ApiClient, start_app: Started, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant()
    forgetful = await start_app(JWT_SECRET="another secret that only the tests know")
    await api.post(REQUEST, {"phone": phone}, tenant["api_key"])
    body = {"phone": phone, "code": twilio_server.code_for(phone)}

    assert (await forgetful.post(VERIFY, body, tenant["api_key"])).json()["code"] == "invalid_code"
    assert (await api.post(VERIFY, body, tenant["api_key"])).status_code == 200


async def test_secret_change_without_the_previous_secret_creates_a_new_code(
    start_app: Started, api: ApiClient, database: asyncpg.Connection, twilio_server: TwilioServer, phone: str
) -> None:
    tenant = await api.tenant()
    await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])
    old_code = twilio_server.code_for(phone)
    changed = await start_app(JWT_SECRET="another secret for signing, as long as it has to be")
    await end_resend_delay(database, phone)

    requested = await changed.post("/api/auth/request", {"phone": phone}, tenant["api_key"])

    assert requested.status_code == 200
    new_code = twilio_server.code_for(phone)
    assert len(twilio_server.sent_to(phone)) == 2
    rejected = await changed.post("/api/auth/verify", {"phone": phone, "code": old_code}, tenant["api_key"])
    verified = await changed.post("/api/auth/verify", {"phone": phone, "code": new_code}, tenant["api_key"])
    assert (rejected.status_code == 400) == (old_code != new_code)
    assert verified.status_code == 200
