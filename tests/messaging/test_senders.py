"""SMS sender IDs: the operator's, or the tenant's for a country."""

import pytest

from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.tenants.settings import OPERATOR_SETTINGS, TenantSettings
from tests.conftest import Started
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp, spread_phones
from tests.messaging.test_twilio import official
from tests.support.providers.twilio import SERVICE_SID, TwilioServer, reject

SERVICE, NUMBER, NAME = "MG" + "b" * 32, "+12015550123", "My App & Co"
GERMAN, FRENCH = "+491713920001", "+33639980001"  # of the ranges that are kept free for drama


@pytest.mark.parametrize(
    ("senders", "named"),
    [
        ({"US": {"twilio": SERVICE}}, {"messaging_service_sid": SERVICE}),
        ({"US": {"twilio": NUMBER}}, {"from_": NUMBER}),
        ({"US": {"twilio": NAME}}, {"from_": NAME}),
        ({"DE": {"twilio": NAME}}, {"messaging_service_sid": SERVICE_SID}),
        ({"*": {"sns": "MyApp"}}, {"messaging_service_sid": SERVICE_SID}),
    ],
)
async def test_sender_parameter_equals_that_of_the_twilio_client(
    app: TenantApp, phone: str, senders: dict[str, object], named: dict[str, str]
) -> None:
    app.tenant = await app.api.tenant(sms_senders=senders)

    assert (await app.ask(phone))[0] == 200

    [ours] = app.handed_over(phone)
    theirs = official(to=phone, body=ours.form["Body"], validity_period=600, **named)
    assert ours.form == {name: str(value) for name, value in theirs["data"].items()} | {
        "StatusCallback": ours.form["StatusCallback"]
    }


async def test_country_sender_is_used_before_the_wildcard_sender(app: TenantApp, phone: str) -> None:
    senders = {"DE": {"twilio": "MyApp DE"}, "FR": {"sns": "MyAppFR"}, "*": {"twilio": NUMBER}}
    app.tenant = await app.api.tenant(sms_senders=senders)

    for to in (GERMAN, FRENCH, phone):
        assert (await app.ask(to))[0] == 200

    froms = [app.handed_over(to)[-1].form["From"] for to in (GERMAN, FRENCH, phone)]
    assert froms == ["MyApp DE", NUMBER, NUMBER]


async def test_invalid_tenant_sender_does_not_open_the_circuit_breaker(
    start_app: Started, carrier: TwilioServer, message_db: MessageDatabase
) -> None:
    api = await start_app(TWILIO_API_URL=carrier.url, APP_URL=APP_URL)
    app = TenantApp(api, carrier, message_db, await api.tenant(sms_senders={"*": {"twilio": NUMBER}}))
    carrier.behaviour = reject(21606)

    for phone in spread_phones(MAX_FAILURES + 1):
        assert (await app.ask(phone))[0] == 502
    assert api.services.messenger.breakers["twilio"] == "closed"

    app.tenant = await api.tenant()  # with the operator's sender it is the operator's matter
    for phone in spread_phones(MAX_FAILURES):
        await app.ask(phone)
    assert api.services.messenger.breakers["twilio"] == "open"


async def test_tenant_reads_senders_and_only_the_operator_sets_them(app: TenantApp) -> None:
    headers, senders = {"x-api-key": app.tenant["secret_key"]}, {"US": {"twilio": "MyApp", "sns": None}}
    wanted = {"sms_senders": senders}

    rejected = await app.api.client.patch("/api/tenant/settings", json=wanted, headers=headers)
    done = await app.api.admin("PATCH", f"/api/admin/tenants/{app.id}/settings", wanted)
    seen = await app.api.client.get("/api/tenant/settings", headers=headers)

    assert (rejected.status_code, rejected.json()["code"]) == (403, "forbidden")
    assert "sms_senders" in rejected.json()["detail"]
    assert done.status_code == 200
    assert seen.json()["sms_senders"] == senders


def test_operator_settings_are_tenant_settings() -> None:
    assert {"sms_senders", "email_from"} <= OPERATOR_SETTINGS
    assert set(TenantSettings.__struct_fields__) >= OPERATOR_SETTINGS
