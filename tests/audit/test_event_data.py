"""Recorded events agree with the documented types: fields and size."""

import asyncpg

from auth1.events.types import MAX_DATA_BYTES, EventType
from tests.conftest import JWT_SECRET, new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

METADATA = {"note": "ä" * 400}  # nearly 1 KiB


async def test_recorded_events_have_documented_fields_and_sizes(
    api: ApiClient, twilio_server: TwilioServer, database_url: str
) -> None:
    tenant = await api.tenant()
    phone, path = new_phone(), f"/api/admin/tenants/{tenant['tenant_id']}"
    await api.post("/api/auth/request", {"phone": phone, "metadata": METADATA}, tenant["api_key"])
    code = twilio_server.code_for(phone)
    wrong = "000000" if code != "000000" else "111111"
    await api.post("/api/auth/verify", {"phone": phone, "code": wrong}, tenant["api_key"])
    login = await api.post("/api/auth/verify", {"phone": phone, "code": code}, tenant["api_key"])
    user = f"{path}/users/{login.json()['user_id']}"
    for method, target, body in (
        ("PATCH", user, {"metadata": {"plan": "pro"}}),
        ("POST", user + "/ban", {"reason": "a test"}),
        ("POST", user + "/unban", None),
        ("DELETE", user, None),
        ("PATCH", f"{path}/settings", {"otp_length": 8}),
        ("GET", f"{path}/jwt-secret", None),
        ("POST", f"{path}/jwt-secret/rotate", None),
        ("POST", f"{path}/suspend", None),
        ("POST", f"{path}/resume", None),
    ):
        assert (await api.admin(method, target, body)).status_code < 300, target

    connection = await asyncpg.connect(database_url)
    rows = await connection.fetch(
        """select type, array_agg(distinct name) as fields, max(octet_length(data::text)) as bytes
           from events left join lateral jsonb_object_keys(data) as name on true group by type"""
    )
    text = await connection.fetchval(
        "select string_agg(e::text, ' ') from events e where tenant_id = $1", tenant["tenant_id"]
    )
    await connection.close()

    types = {event.value: event for event in EventType}
    assert len(rows) > 10
    for row in rows:
        assert set(row["fields"]) - {None} <= set(types[row["type"]].fields), row["type"]
        assert row["bytes"] <= MAX_DATA_BYTES
    for secret in (phone, code, tenant["secret_key"], tenant["jwt_secret"], JWT_SECRET):
        assert secret not in text
