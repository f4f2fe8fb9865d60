"""Use every part of an application, so that its output can be searched for secrets."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from twilio.request_validator import RequestValidator

from auth1 import errors
from auth1.challenges import magic_link
from auth1.core.crypto import s256
from auth1.dev.postgres import PostgresServer
from auth1.events.log import EventContext
from auth1.fraud.decisions.attacks import ATTACK_REJECTIONS
from auth1.messaging.dispatcher import Messenger
from auth1.messaging.outbox import Outbox
from auth1.messaging.providers.console import Console
from auth1.oauth import backchannel
from auth1.oauth.authorization.consents import give_consent
from auth1.webhooks.delivery import fan_out
from auth1.webhooks.delivery.worker import DeliveryWorker
from tests.api.error_triggers import ERROR_TRIGGERS
from tests.api.output import (
    APP_URL,
    CALLBACK,
    CODE_LENGTH,
    EMAIL,
    NOTE,
    VERIFIER,
    Output,
)
from tests.api.scenario import ApiScenario
from tests.conftest import Started
from tests.hosted.browser import Browser
from tests.oauth.login_app import LoginApp
from tests.oauth.test_authorize import parameters
from tests.support.api_client import REQUEST, TENANTS, VERIFY
from tests.support.api_keys import add, patch, rotate
from tests.support.dns import DnsServer
from tests.support.elapsed import end_resend_delay
from tests.support.providers import twilio
from tests.support.providers.twilio import answer, hang_up, reject
from tests.support.raw_asgi import RawAsgi
from tests.support.receiver import Receiver


async def log_in_and_fail(output: Output) -> None:
    api, key, phone = output.api, output.tenant["api_key"], output.phone()
    await api.post(REQUEST, {"phone": phone, "metadata": {"note": NOTE}}, key)
    code = output.twilio.code_for(phone)
    wrong = f"{(int(code) + 1) % 10**10:010d}"
    output.secrets.add(wrong)
    await report_delivery(output, output.twilio.requests[-1].form["StatusCallback"], phone)
    await api.post(REQUEST, {"phone": phone}, key)
    await end_resend_delay(output.database, phone)
    await api.post(REQUEST, {"phone": phone}, key)
    await api.post(VERIFY, {"phone": phone, "code": wrong}, key)
    verified = await api.post(VERIFY, {"phone": phone, "code": code, "device": {"name": "Ada's phone"}}, key)
    assert verified.status_code == 200
    await api.post(VERIFY, {"phone": phone, "code": code}, key)
    await change_the_account(output, phone, verified.json())
    await refresh_and_log_out(output, verified.json())
    await api.post(REQUEST, {"email": EMAIL}, key)
    await api.post(REQUEST, {"phone": phone}, output.tenant["test_key"])
    await api.client.get(f"/health?key={key}&phone={phone}", headers={"x-api-key": key})
    await api.client.get("/metrics")
    await api.client.get("/health/ready")


async def change_the_account(output: Output, phone: str, tokens: dict[str, str]) -> None:
    """Change metadata, and add, change and remove identifiers in the sandbox."""
    api, path = output.api, "/api/auth/me/identifiers"
    live = {"x-api-key": output.tenant["api_key"], "authorization": f"Bearer {tokens['token']}"}
    patched = await api.client.patch("/api/auth/me", json={"user_metadata": {"a note": NOTE}}, headers=live)
    assert patched.status_code == 200
    key, code = output.tenant["test_key"], "0" * CODE_LENGTH
    taken_phone, new = output.phone(), output.phone()
    for number in (taken_phone, phone):
        await api.post(REQUEST, {"phone": number}, key)
        verified = await api.post(VERIFY, {"phone": number, "code": code}, key)
    test = {"authorization": f"Bearer {verified.json()['token']}"}
    for named, status in (({"email": EMAIL}, 200), ({"phone": new}, 200), ({"phone": taken_phone}, 409)):
        assert (await api.post(path, named, key, **test)).status_code == 200
        assert (await api.post(f"{path}/verify", {**named, "code": code}, key, **test)).status_code == status
    await api.client.get(path, headers={"x-api-key": key, **test})
    assert (await api.client.delete(f"{path}/email", headers={"x-api-key": key, **test})).status_code == 204


async def refresh_and_log_out(output: Output, tokens: dict[str, str]) -> None:
    api, key = output.api, output.tenant["api_key"]
    bearer = {"authorization": f"Bearer {tokens['token']}"}
    await api.post("/api/auth/token", {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, key)
    await api.client.get("/api/auth/me/sessions", headers={"x-api-key": key, **bearer})
    await api.post("/api/auth/introspect", {"token": tokens["token"]}, output.tenant["secret_key"])
    assert (await api.post("/api/auth/logout", {"scope": "global"}, key, **bearer)).status_code == 204


async def log_in_by_link(output: Output) -> None:
    """Log in by a sandbox link, which is derived as for an email."""
    api, key = output.api, output.tenant["test_key"]
    requested = (await api.post(REQUEST, {"email": EMAIL, "mode": "both"}, key)).json()
    message_id = await output.database.fetchval(
        "select message_id from challenges where id = $1", requested["challenge_id"]
    )
    [token] = magic_link.derive(api.services.keyring, f"{output.tenant['tenant_id']}:test", message_id)
    output.secrets.add(token)
    await api.client.get(f"/api/auth/link/{token}")
    await api.client.post(f"/api/auth/link/{token}")
    named = {name: requested[name] for name in ("challenge_id", "challenge_secret")}
    redeemed = await api.post("/api/auth/token", {"grant_type": "challenge", **named}, key)
    assert redeemed.status_code == 200


async def report_delivery(output: Output, callback: str, phone: str, status: str = "delivered") -> None:
    form = {"MessageSid": "SM" + "0" * 32, "MessageStatus": status, "To": phone}
    signature = RequestValidator(twilio.AUTH_TOKEN).compute_signature(callback, form)
    headers = {"x-twilio-signature": signature}
    reported = await output.api.client.post(callback.removeprefix(APP_URL), data=form, headers=headers)
    assert reported.status_code == 204


async def try_another_provider(output: Output) -> None:
    """Queue a retry for another provider without sending it, because the console would print the code."""
    phone, services = output.phone(), output.api.services
    await output.api.post(REQUEST, {"phone": phone}, output.tenant["api_key"])
    await report_delivery(output, output.twilio.requests[-1].form["StatusCallback"], phone, "undelivered")
    messenger = Messenger(services.postgres, services.log, {"sms": [Console(services.log)]})
    rates = services.settings.sms_rates
    outbox = Outbox(services.postgres, services.log, messenger, rates, lambda _: None, services.exposures)
    await outbox.retry()


async def let_providers_fail(output: Output) -> None:
    for behaviour in (reject(21610), reject(21211), reject(20003), answer(500, b"no"), answer(201, b"{"), hang_up):
        output.twilio.script.append(behaviour)
        rejected = await output.api.post(REQUEST, {"phone": output.phone()}, output.tenant["secret_key"])
        assert rejected.status_code in (422, 502)


async def manage_users(output: Output) -> None:
    api, headers = output.api, {"x-api-key": output.tenant["secret_key"]}
    users, phone = "/api/tenant/users", output.phone()
    made = await api.post(users, {"phone": phone, "metadata": {"note": "a note about a person"}}, headers["x-api-key"])
    path = f"{users}/{made.json()['user_id']}"
    await api.client.patch(path, json={"phone": (phone := output.phone())}, headers=headers)
    for method, end in (("POST", "/ban"), ("POST", "/unban"), ("GET", "/export"), ("GET", ""), ("DELETE", "")):
        assert (await api.client.request(method, path + end, headers=headers)).status_code in (200, 204)
    upload = json.dumps({"phone": phone}) + '\n{"phone": "missing"}\n'
    ndjson = headers | {"content-type": "application/x-ndjson"}
    assert (await api.client.post(f"{users}/import", content=upload, headers=ndjson)).json()["rejected"] == 1
    for query in ("/export", f"?phone={phone}", f"?q={phone[:-1]}"):
        assert (await api.client.get(users + query, headers=headers)).status_code == 200


async def manage_hosts(output: Output, dns: DnsServer) -> None:
    """Add, verify, make canonical and remove a host."""
    headers, path = {"x-api-key": output.tenant["secret_key"]}, "/api/tenant/hosts"
    made = await output.api.client.post(path, json={"host": "login.example.com"}, headers=headers)
    dns.texts[made.json()["txt_name"]] = [made.json()["txt_value"]]
    for method, end, body in (("POST", "/verify", None), ("PATCH", "", {"canonical": True})):
        address = f"{path}/{made.json()['host_id']}{end}"
        changed = await output.api.client.request(method, address, json=body, headers=headers)
        assert changed.status_code == 200, changed.text
    removed = await output.api.client.delete(f"{path}/{made.json()['host_id']}", headers=headers)
    assert removed.status_code == 204


async def manage_applications(output: Output) -> None:
    """Create, change and delete an application; its secrets issue a token."""
    headers, path = {"x-api-key": output.tenant["secret_key"]}, "/api/tenant/applications"
    made = await output.api.client.post(path, json={"name": "Billing", "kind": "machine"}, headers=headers)
    client_id, slug = made.json()["client_id"], output.tenant["slug"]
    for method, end, body in (
        ("PATCH", "", {"scopes": ["invoices:read"]}),
        ("POST", "/rotate-secret", {}),
    ):
        changed = await output.api.client.request(method, f"{path}/{client_id}{end}", json=body, headers=headers)
        assert changed.status_code == 200, changed.text
    issued = await output.api.client.post(
        f"/t/{slug}/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, changed.json()["client_secret"]),
    )
    assert issued.status_code == 200, issued.text
    assert (await output.api.client.delete(f"{path}/{client_id}", headers=headers)).status_code == 204


async def give_and_end_access(output: Output) -> None:
    """Give an application access to an account, end it in each way, and let its address for logouts fail."""
    app, services = LoginApp(output.api, output.database, output.tenant), output.api.services
    headers, user = {"x-api-key": output.tenant["secret_key"]}, f"/api/tenant/users/{app.user_id}"
    await app.create()
    context = EventContext(app.user_id, output.answers[-1].headers["x-request-id"], None)
    await give_consent(services, await app.issuer(), app.user_id, app.client_id, ["openid"], context)
    pushed = await app.post("par", **parameters(app))
    query = {"client_id": app.client_id, "request_uri": pushed.json()["request_uri"]}
    begun = await output.api.client.get(f"{app.path}/authorize", params=query, headers={"host": "auth.example.com"})
    assert begun.status_code == 303
    refresh_token = (await app.tokens())["refresh_token"]
    consent = f"{user}/applications/{app.client_id}"
    assert (await output.api.client.delete(consent, headers=headers)).status_code == 204
    assert (await app.refresh(refresh_token)).status_code == 400
    revoked = await app.post("revoke", token=(await app.tokens())["refresh_token"])
    assert revoked.status_code == 200, revoked.text
    async with Receiver(lambda call: 500) as receiver:
        path = f"/api/tenant/applications/{app.client_id}"
        await app.tokens()
        changed = await output.api.client.patch(path, json={"backchannel_logout_uri": receiver.url}, headers=headers)
        assert changed.status_code == 200, changed.text
        await output.api.client.delete(f"{user}/sessions/{app.session_id}", headers=headers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backchannel, "RETRY_S", (0, 0))
            await services.logouts.run_once(services)
        assert len(receiver.calls) == 3


async def log_in_on_pages(output: Output) -> None:
    """Log in on the pages of the sandbox; exchange the code, and open the account."""
    body = {"name": "Shop", "kind": "web", "redirect_uris": [CALLBACK], "first_party": True, "id_token_alg": "ES256"}
    made = await output.api.post("/api/tenant/applications", body, output.tenant["secret_key"])
    client_id, path = made.json()["client_id"], f"/t/{output.tenant['slug']}/test"
    browser = Browser(output.api)
    browser.client.event_hooks["response"].append(output.keep)
    asks = {"client_id": client_id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid email"}
    asks |= {"state": "s", "code_challenge_method": "S256", "code_challenge": s256(VERIFIER)}
    await browser.open(f"{path}/authorize?{urlencode(asks)}")
    origin = {"origin": APP_URL}
    await browser.submit("proceed", headers=origin, identifier="ada@example.com")
    page = await browser.submit("verify", headers=origin, code="0" * CODE_LENGTH)
    assert page.leads_to is not None, page.text
    code = parse_qs(urlsplit(page.leads_to).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    issued = await output.api.client.post(f"{path}/token", data=form, auth=(client_id, made.json()["client_secret"]))
    assert issued.status_code == 200, issued.text
    assert (await browser.open(f"{path}/account")).status == 200
    cookies = [cookie.value for cookie in browser.client.cookies.jar if cookie.value]
    assert len(cookies) >= 2
    output.unshown |= {code, VERIFIER, *cookies}


async def deliver_events(output: Output) -> None:
    """Manage a hook and a webhook; let the webhook be called, until its answer disables it."""
    services, headers = output.api.services, {"x-api-key": output.tenant["secret_key"]}
    async with Receiver(lambda call: 410) as receiver:
        for method, path, body in (
            ("PUT", "/hooks/before_send", {"url": receiver.url, "on_error": "allow", "timeout_in": 1}),
            ("GET", "/hooks/before_send", None),
            ("DELETE", "/hooks/before_send", None),
            ("GET", "/webhooks", None),
            ("POST", "/webhooks", {"url": receiver.url, "events": ["*"]}),
        ):
            made = await output.api.client.request(method, f"/api/tenant{path}", json=body, headers=headers)
            assert made.status_code in (200, 201, 204), made.text
        await fan_out.fan_out(services)
        worker = DeliveryWorker(services.postgres, services.keyring, services.log, services.guard)
        while await worker.run_once():
            await worker.join()
        await worker.stop()
        assert receiver.calls
    path = f"/api/tenant/webhooks/{made.json()['webhook_id']}"
    for end in ("", "/deliveries"):
        assert (await output.api.client.get(path + end, headers=headers)).status_code == 200
    await output.api.client.patch(path, json={"enabled": True}, headers=headers)
    await output.api.client.delete(path, headers=headers)


async def attack(output: Output) -> None:
    """Request codes that need a proof, until that is an attack; then wait until it has ended."""
    api, tenant = output.api, await output.api.tenant()
    policy = {"rules": {"address": {"allowance": 0.5}}}
    await api.admin("PUT", f"{TENANTS}/{tenant['tenant_id']}/fraud/policy", policy)
    for _ in range(ATTACK_REJECTIONS):
        answer = await api.post(REQUEST, {"phone": output.phone()}, tenant["api_key"])
        assert answer.json()["code"] == "proof_required"
    await api.services.attacks.flush()
    await output.database.execute("update attacks set rejected_at = now() - interval '61 minutes'")
    await api.services.attacks.end_attacks()
    await correct_decision(output, tenant)


async def correct_decision(output: Output, tenant: dict[str, Any]) -> None:
    """Add and remove an entry of a list, and state that a rejection was wrong."""
    api, path = output.api, f"{TENANTS}/{tenant['tenant_id']}/fraud"
    entry = {"list": "block", "kind": "country", "value": "LI", "reason": "a test"}
    made = await api.admin("POST", f"{path}/lists", entry)
    assert made.status_code == 201, made.text
    assert (await api.admin("DELETE", f"{path}/lists/{made.json()['entry_id']}")).status_code == 204
    [decision, *_] = (await api.admin("GET", f"{path}/decisions")).json()["data"]
    feedback = {"decision_id": decision["decision_id"], "was": "honest"}
    assert (await api.admin("POST", f"{path}/feedback", feedback)).status_code == 200


async def manage(output: Output) -> None:
    api, path = output.api, f"{TENANTS}/{output.tenant['tenant_id']}"
    key = await add(api, output.tenant, kind="sk")
    await patch(api, output.tenant, key["key_id"], allowed_origins=["https://app.example.com"])
    key = await rotate(api, output.tenant, key["key_id"], grace_in=0)
    await api.admin("PATCH", path, {"name": "My App"})
    for method, end in (
        ("POST", "/suspend"),
        ("POST", "/resume"),
        ("GET", ""),
        ("GET", "/keys"),
        ("DELETE", f"/keys/{key['key_id']}"),
        ("GET", "/jwt-secret"),
        ("POST", "/jwt-secret/rotate"),
        ("DELETE", "/sessions"),
        ("DELETE", ""),
    ):
        assert (await api.admin(method, path + end)).status_code in (200, 204)


async def trigger_errors(output: Output, postgres: PostgresServer, start_app: Started, directory: Path) -> None:
    """Trigger every error that this application can return."""
    for kind, provoke in ERROR_TRIGGERS.items():
        if kind not in (errors.InternalError, errors.Unavailable, errors.AdminDisabled, errors.RequestTimeout):
            raw_asgi, phone = RawAsgi(output.api), output.phone()
            scenario = ApiScenario(
                output.api, raw_asgi, output.twilio, output.database, postgres, start_app, phone, directory
            )
            assert (await provoke(scenario)).json()["code"] == kind.code


async def break_the_schema(output: Output) -> None:
    tenant = await output.api.tenant(otp_length=CODE_LENGTH)
    await output.database.execute("alter table identifiers rename column code_box to code_crate")
    broken = await output.api.post(REQUEST, {"phone": output.phone()}, tenant["api_key"])
    assert broken.json()["code"] == "internal_error"
