"""Twilio's status callbacks through the API: what they change, and what they cannot change."""

import pytest
from prometheus_client import REGISTRY

from tests.messaging.callbacks import FAILED, PATH, SID, UNDELIVERED, Report, ids_in
from tests.messaging.conftest import APP_URL, TenantApp
from tests.support.api_client import ApiClient


def counted(state: str) -> float:
    labels = {"provider": "twilio", "state": state}
    return REGISTRY.get_sample_value("auth1_deliveries_total", labels) or 0.0


async def test_delivery_report_marks_the_message_delivered(app: TenantApp, phone: str, url: str) -> None:
    row = await app.message(phone)
    assert ids_in(url) == {"tenant_id": app.id, "message_id": row["id"]}
    before = counted("delivered")

    answer = await Report(url, "delivered", row["provider_message_id"]).send(app.api)

    assert (answer.status_code, answer.content) == (204, b"")
    after = await app.message(phone)
    assert (after["state"], after["provider"], after["error"]) == ("delivered", "twilio", None)
    assert after["provider_message_id"] == row["provider_message_id"]
    assert after["updated_at"] > row["updated_at"]
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.delivered"
    assert row["challenge_id"] in data
    assert counted("delivered") == before + 1
    assert '"type":"message.delivered"' in await app.api.log()


@pytest.mark.parametrize("status", ["queued", "accepted", "scheduled", "sending", "sent"])
async def test_intermediate_status_keeps_the_message_sent(app: TenantApp, phone: str, url: str, status: str) -> None:
    assert (await Report(url, status).send(app.api)).status_code == 204

    row = await app.message(phone)
    assert (row["state"], row["error"]) == ("sent", None)
    assert await app.message_db.events(app.id, row["id"]) == []


@pytest.mark.parametrize("status", ["delivered", "read"])
async def test_delivered_and_read_statuses_mark_the_message_delivered(
    app: TenantApp, phone: str, url: str, status: str
) -> None:
    assert (await Report(url, status).send(app.api)).status_code == 204

    assert (await app.message(phone))["state"] == "delivered"


@pytest.mark.parametrize(
    ("status", "more", "error"),
    [
        ("undelivered", UNDELIVERED, "undelivered:30003"),
        ("failed", FAILED, "failed:30008"),
        ("canceled", {}, "canceled:none"),
        ("failed", {"ErrorCode": "'); drop table messages; --"}, "failed:none"),
    ],
)
async def test_failure_status_marks_the_message_failed_with_its_error(
    app: TenantApp, phone: str, url: str, status: str, more: dict[str, str], error: str
) -> None:
    before = counted("failed")

    assert (await Report(url, status, more=more).send(app.api)).status_code == 204

    row = await app.message(phone)
    assert (row["state"], row["provider"], row["error"]) == ("failed", "twilio", error)
    [(event, data)] = await app.message_db.events(app.id, row["id"])
    assert event == "message.failed"
    assert error in data
    assert counted("failed") == before + 1
    # It was sent and is paid for: it counts, and what the person has of the code still works.
    assert await app.sends_counted(phone) == 1
    assert await app.log_in(phone) == 200


async def test_replayed_delivery_report_changes_nothing(app: TenantApp, phone: str, url: str) -> None:
    report = Report(url, "undelivered", more=UNDELIVERED)
    await report.send(app.api)
    before, counted_before = await app.message(phone), counted("failed")

    for _ in range(3):
        assert (await report.send(app.api)).status_code == 204

    assert await app.message(phone) == before
    assert len(await app.message_db.events(app.id, before["id"])) == 1
    assert counted("failed") == counted_before


async def test_delivery_report_for_another_tenant_changes_nothing(app: TenantApp, phone: str, url: str) -> None:
    """Twilio signs any URL it was given, but only its own tenant is given one."""
    other = (await app.api.tenant())["tenant_id"]
    before = await app.message(phone)

    for tenant_id in (other, f"{app.id}:test", app.id.upper(), ""):
        crossed = url.replace(f"tenant_id={app.id}", f"tenant_id={tenant_id}")
        assert crossed != url
        assert (await Report(crossed, "delivered").send(app.api)).status_code == 204

    assert await app.message(phone) == before
    assert await app.message_db.events(other, before["id"]) == []


QUERIES = [
    ("", 204),
    ("?tenant_id=&message_id=", 204),
    ("?tenant_id=tn_%00&message_id=msg_%00", 422),
    ("?a=" + "x" * 1900, 204),
]


@pytest.mark.parametrize(("query", "status"), QUERIES)
async def test_signed_url_without_valid_ids_changes_nothing(
    app: TenantApp, phone: str, url: str, query: str, status: int
) -> None:
    before = await app.message(phone)

    assert (await Report(APP_URL + PATH + query, "delivered").send(app.api)).status_code == status

    assert await app.message(phone) == before


@pytest.mark.parametrize(
    "status", ["", "DELIVERED", "delivered ", "receiving", "partially_delivered", "\x00", "é" * 99]
)
async def test_unknown_status_changes_nothing(app: TenantApp, phone: str, url: str, status: str) -> None:
    before = await app.message(phone)

    assert (await Report(url, status).send(app.api)).status_code == 204

    assert await app.message(phone) == before


@pytest.mark.parametrize("sid", ["", "\x00", "SM", "SM" + "g" * 32, SID + "0", "é"])
async def test_invalid_message_sid_is_not_stored(app: TenantApp, phone: str, url: str, sid: str) -> None:
    known = (await app.message(phone))["provider_message_id"]

    assert (await Report(url, "delivered", sid).send(app.api)).status_code == 204

    row = await app.message(phone)
    assert (row["state"], row["provider_message_id"]) == ("delivered", known)


async def test_only_a_form_within_the_size_limit_is_accepted(api: ApiClient) -> None:
    signed = {"x-twilio-signature": "invalid"}
    headers = signed | {"content-type": "application/x-www-form-urlencoded"}
    rejections = [
        (
            await api.post(PATH, {"MessageStatus": "delivered"}, x_twilio_signature="invalid"),
            415,
            "unsupported_media_type",
        ),
        (await api.client.post(PATH, content=b"", headers=signed), 415, "unsupported_media_type"),
        (await api.client.post(PATH, files={"a": b"1"}, headers=signed), 415, "unsupported_media_type"),
        (await api.client.post(PATH, data={"a": "x" * 16_384}, headers=signed), 413, "payload_too_large"),
        (await api.client.post(PATH, content=b"a=%FF", headers=headers), 400, "bad_request"),
        (await api.client.get(PATH), 405, "method_not_allowed"),
    ]
    for rejected, status, code in rejections:
        assert (rejected.status_code, rejected.json()["code"]) == (status, code)
    assert "application/x-www-form-urlencoded" in rejections[0][0].json()["detail"]
