"""Errors that a route declares and that no other test sees, and the comparison of seen and declared errors."""

import pytest

from auth1.routes import ROUTES
from tests.conftest import new_phone
from tests.declared_errors import unseen
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

MISSING_ID = "01kf0fv2z4z60fen5rnweennx2"


@pytest.mark.parametrize(
    ("fields", "code"), [({"phone": "5551234567"}, "invalid_phone"), ({"email": "a"}, "invalid_email")]
)
async def test_verify_checks_the_identifier(api: ApiClient, fields: dict[str, str], code: str) -> None:
    tenant = await api.tenant()

    answer = await api.post("/api/auth/verify", {**fields, "code": "123456"}, tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (422, code)


async def test_unknown_challenge_is_not_found(api: ApiClient) -> None:
    tenant = await api.tenant()

    answer = await api.client.get(f"/api/auth/challenges/ch_{MISSING_ID}", headers={"x-api-key": tenant["api_key"]})

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_refresh_with_an_invalid_token_is_rejected(api: ApiClient) -> None:
    tenant = await api.tenant()

    grant = {"grant_type": "refresh_token", "refresh_token": "auth1_rt_invented"}
    answer = await api.post("/api/auth/token", grant, tenant["api_key"])

    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")


async def test_user_cannot_get_an_invalid_email(api: ApiClient) -> None:
    tenant = await api.tenant()
    users = f"/api/admin/tenants/{tenant['tenant_id']}/users"
    user = (await api.admin("POST", users, {"phone": new_phone()})).json()

    answer = await api.admin("PATCH", f"{users}/{user['user_id']}", {"email": "a"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_email")


async def test_revoked_key_cannot_be_changed_or_rotated(api: ApiClient) -> None:
    tenant = await api.tenant()
    keys = f"/api/admin/tenants/{tenant['tenant_id']}/keys"
    key_id = (await api.admin("POST", keys, {"kind": "pk"})).json()["key_id"]
    await api.admin("DELETE", f"{keys}/{key_id}")

    changed = await api.admin("PATCH", f"{keys}/{key_id}", {"allowed_origins": ["https://app.example.com"]})
    rotated = await api.admin("POST", f"{keys}/{key_id}/rotate")

    assert [answer.json()["code"] for answer in (changed, rotated)] == ["conflict", "conflict"]


async def test_adding_an_identifier_needs_a_channel_and_a_budget(api: ApiClient, twilio_server: TwilioServer) -> None:
    tenant, phone = await api.tenant(messages_per_day=1), new_phone()
    assert (await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"])).status_code == 200
    body = {"phone": phone, "code": twilio_server.code_for(phone)}
    tokens = (await api.post("/api/auth/verify", body, tenant["api_key"])).json()
    authorization = f"Bearer {tokens['token']}"

    answers = [
        await api.post("/api/auth/me/identifiers", fields, tenant["api_key"], authorization=authorization)
        for fields in ({"email": "ada@example.com"}, {"phone": new_phone()})
    ]
    session = f"/api/auth/me/sessions/ses_{MISSING_ID}"
    headers = {"authorization": authorization, "x-api-key": tenant["api_key"]}
    missing = [await api.client.request(method, session, headers=headers) for method in ("DELETE", "GET")]

    assert [answer.json()["code"] for answer in answers] == ["channel_unavailable", "budget_exceeded"]
    assert [(answer.status_code, answer.json()["code"]) for answer in missing] == [(404, "not_found")] * 2


def test_unseen_errors_are_listed_once_no_route_of_the_handler_showed_them() -> None:
    everything = {(route.method, route.path, error.code) for route in ROUTES for error in route.errors}
    tenants_only = {seen for seen in everything if not seen[1].startswith("/api/admin/tenants/{tenant_id}/users")}
    without_one = everything - {("POST", "/api/auth/verify", "invalid_code")}

    assert unseen(everything) == []
    assert unseen(tenants_only) == []
    assert unseen(without_one) == ["POST /api/auth/verify: invalid_code"]
