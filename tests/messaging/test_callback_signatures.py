"""Status callbacks are authenticated only by their signature over the URL of the settings."""

from pathlib import Path

import pytest

from tests.conftest import Started, new_phone
from tests.messaging.callbacks import PATH, Report, post_form, signature, target
from tests.messaging.conftest import APP_URL, MessageDatabase, TenantApp
from tests.support.providers.twilio import AUTH_TOKEN, TwilioServer

EVIL = "https://evil.example"
NEW_TOKEN = "the token after the rotation"
SHA_256 = {"x-twilio-webhooks-signature-settings": "key=webhooks_sharedkey_0123,algorithm=HMAC_SHA256"}


def forgeries(url: str, other_url: str) -> dict[str, tuple[str, Report]]:
    """Return invalid signatures with their requests."""
    report = Report(url, "delivered")
    pairs = report.pairs
    return {
        "empty": ("", report),
        "made up": ("A" * 27 + "=", report),
        "not ASCII": ("é", report),
        "by another token": (signature(url, pairs, "another token"), report),
        "by no token": (signature(url, pairs, ""), report),
        "over another host": (signature(url.replace(APP_URL, EVIL), pairs), report),
        "over plain http": (signature(url.replace("https://", "http://"), pairs), report),
        "without the ids": (signature(APP_URL + PATH, pairs), report),
        "of another message": (signature(other_url, pairs), report),
        "of another status": (signature(url, Report(url, "failed").pairs), report),
        "of another form": (signature(url, pairs), Report(url, "delivered", more={"Added": "1"})),
        "of a part of the form": (signature(url, pairs[1:]), report),
        "by SHA-256, unannounced": (signature(url, pairs, algorithm="HMAC_SHA256"), report),
        "ours for logging in": (AUTH_TOKEN, report),
    }


async def test_invalid_twilio_signature_is_rejected(app: TenantApp, phone: str, url: str) -> None:
    other = new_phone()
    await app.ask(other)
    other_url = app.handed_over(other)[-1].form["StatusCallback"]
    before = await app.message(phone)

    for name, (forged, report) in forgeries(url, other_url).items():
        answer = await report.send(app.api, forged)
        assert (answer.status_code, answer.json()["code"]) == (403, "forbidden"), name

    unsigned = await post_form(app.api, target(url), Report(url, "delivered").pairs, {})
    assert (unsigned.status_code, unsigned.json()["code"]) == (403, "forbidden")
    with_key = await post_form(app.api, target(url), [], {"x-api-key": app.tenant["secret_key"]})
    assert with_key.status_code == 403
    assert await app.message(phone) == before


async def test_signature_is_checked_against_app_url_for_any_host_header(app: TenantApp, phone: str, url: str) -> None:
    report = Report(url, "delivered")
    host = EVIL.partition("://")[2]
    poison = {"host": host, "x_forwarded_host": host, "x_forwarded_proto": "http", "forwarded": f"host={host}"}

    forged = await report.send(app.api, signature(url.replace(APP_URL, EVIL), report.pairs), **poison)

    assert forged.status_code == 403
    assert (await app.message(phone))["state"] == "sent"
    assert (await report.send(app.api, **poison)).status_code == 204
    assert (await app.message(phone))["state"] == "delivered"


@pytest.mark.parametrize(
    ("app_url", "signed_url"),
    [
        ("https://auth.example.com/", "https://auth.example.com:443"),
        ("https://auth.example.com:8443/auth", "https://auth.example.com:8443/auth"),
        ("https://auth.example.com:8443/auth", "https://auth.example.com/auth"),
        ("http://localhost:3000", "http://localhost"),
    ],
)
async def test_signature_is_valid_for_app_url_with_or_without_port(
    start_app: Started, carrier: TwilioServer, message_db: MessageDatabase, app_url: str, signed_url: str
) -> None:
    api = await start_app(TWILIO_API_URL=carrier.url, APP_URL=app_url)
    app, phone = TenantApp(api, carrier, message_db, await api.tenant()), new_phone()
    await app.ask(phone)
    url = app.handed_over(phone)[-1].form["StatusCallback"]
    assert url.startswith(app_url.rstrip("/") + PATH)
    report = Report(url, "delivered")

    answer = await report.send(api, signature(signed_url + target(url), report.pairs))

    assert answer.status_code == 204
    assert (await app.message(phone))["state"] == "delivered"


@pytest.mark.parametrize("as_file", [False, True])
async def test_both_auth_tokens_are_valid_during_rotation(
    start_app: Started, app: TenantApp, phone: str, url: str, tmp_path: Path, as_file: bool
) -> None:
    previous = {"TWILIO_AUTH_TOKEN_PREVIOUS": AUTH_TOKEN}
    if as_file:
        (tmp_path / "token").write_text(AUTH_TOKEN + "\n")
        previous = {"TWILIO_AUTH_TOKEN_PREVIOUS_FILE": str(tmp_path / "token")}
    changes = {"APP_URL": APP_URL, "TWILIO_AUTH_TOKEN": NEW_TOKEN}
    rotating, rotated = await start_app(**changes, **previous), await start_app(**changes)
    report = Report(url, "delivered")

    assert (await report.send(rotated)).status_code == 403
    assert (await app.message(phone))["state"] == "sent"
    assert (await report.send(rotating)).status_code == 204
    assert (await app.message(phone))["state"] == "delivered"
    for api in (rotating, rotated):
        assert (await report.send(api, signature(url, report.pairs, NEW_TOKEN))).status_code == 204
        assert (await report.send(api, signature(url, report.pairs, "a third token"))).status_code == 403


async def test_sha_256_signature_requires_its_header(app: TenantApp, phone: str, url: str) -> None:
    report = Report(url, "delivered")

    assert (await report.send(app.api, **SHA_256)).status_code == 403  # signed with SHA-1
    signed = signature(url, report.pairs, algorithm="HMAC_SHA256")
    assert (await report.send(app.api, signed, **SHA_256)).status_code == 204
    assert (await app.message(phone))["state"] == "delivered"


async def test_form_with_duplicate_and_unicode_names_is_accepted(app: TenantApp, phone: str, url: str) -> None:
    pairs = [*Report(url, "delivered").pairs, ("Médias", "b"), ("Médias", "a & ü=%"), ("Médias", "b"), ("Empty", "")]

    answer = await post_form(app.api, target(url), pairs, {"x-twilio-signature": signature(url, pairs)})

    assert answer.status_code == 204
    assert (await app.message(phone))["state"] == "delivered"


async def test_delivery_report_is_rejected_without_twilio_settings(
    start_app: Started, app: TenantApp, phone: str, url: str
) -> None:
    none = dict.fromkeys(("TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "TWILIO_MESSAGING_SERVICE_SID"), "")
    api = await start_app(**none, APP_URL=APP_URL)

    for token in ("", AUTH_TOKEN):
        report = Report(url, "delivered")
        assert (await report.send(api, signature(url, report.pairs, token))).status_code == 403
    assert (await app.message(phone))["state"] == "sent"
