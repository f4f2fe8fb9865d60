"""Logs and responses contain what is needed and no secret (contract: section 3)."""

import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import asyncpg
import httpx
import pytest
from twilio.request_validator import RequestValidator

from auth1 import errors
from auth1.api_error import ApiError
from auth1.challenges import magic_link
from auth1.core.crypto import s256
from auth1.core.http.router import Router
from auth1.dev.postgres import PostgresServer
from auth1.events.log import EventContext
from auth1.events.types import EventType
from auth1.fraud.decisions.attacks import ATTACK_REJECTIONS
from auth1.messaging.dispatcher import Messenger
from auth1.messaging.outbox import Outbox
from auth1.messaging.providers.console import Console
from auth1.oauth import backchannel
from auth1.oauth.authorization.consents import give_consent
from auth1.routes import ROUTES
from auth1.webhooks.delivery import fan_out
from auth1.webhooks.delivery.worker import DeliveryWorker
from tests.api.error_triggers import ERROR_TRIGGERS
from tests.api.scenario import TOLL_FREE, ApiScenario
from tests.conftest import JWT_SECRET, Started, new_phone
from tests.hosted.browser import Browser
from tests.oauth.login_app import LoginApp
from tests.oauth.test_authorize import parameters
from tests.support.api_client import ADMIN_TOKEN, REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.api_keys import add, patch, rotate
from tests.support.dns import DnsServer
from tests.support.elapsed import end_resend_delay
from tests.support.polling import until
from tests.support.postgres_files import new_database
from tests.support.providers import twilio
from tests.support.providers.twilio import TwilioServer, answer, hang_up, reject
from tests.support.raw_asgi import RawAsgi
from tests.support.receiver import Receiver
from tests.support.relaxed import RELAXED

EMAIL = "some.special.person@example.com"
NOTE = "a note about a person"
APP_URL = "https://auth.example.com"
CALLBACK = "https://app.example.com/callback"
VERIFIER = "a-verifier-of-an-application-that-no-log-line-has"
CODE_LENGTH = 10  # no number in a log line is equal to a code of ten digits by chance
# Fields that show a secret once, to its owner (contract: section 4), by the route that shows them.
_TOKENS = ("token", "refresh_token")
SHOWN_ONCE: dict[str, tuple[str, ...]] = {
    "POST /api/admin/tenants": ("api_key", "secret_key", "test_key", "jwt_secret"),
    "POST /api/auth/request": ("challenge_secret", "link"),
    "POST /api/auth/verify": _TOKENS,
    "POST /api/auth/token": _TOKENS,
    "POST /api/tenant/keys": ("api_key",),
    "POST /api/tenant/keys/{key_id}/rotate": ("api_key",),
    "GET /api/tenant/jwt-secret": ("jwt_secret",),
    "POST /api/tenant/jwt-secret/rotate": ("jwt_secret",),
    "POST /api/tenant/webhooks": ("secret",),
    "PUT /api/tenant/hooks/{hook}": ("secret",),
    "POST /api/tenant/applications": ("client_secret",),
    "POST /api/tenant/applications/{client_id}/rotate-secret": ("client_secret",),
    "POST /t/{slug}/token": ("access_token", "refresh_token", "id_token"),
    "POST /t/{slug}/test/token": ("access_token", "refresh_token", "id_token"),
    "POST /t/{slug}/par": ("request_uri",),
    "POST /t/{slug}/test/par": ("request_uri",),
}
SECRET_NAMES = {name for names in SHOWN_ONCE.values() for name in names}
SHOWN_HEADERS = ("set-cookie", "location")  # a cookie of the browser, and the code of an application
PERSONAL = ("/api/auth/me", "/api/auth/introspect", "/api/tenant/users")  # routes that show a person's data
SCRIPT = re.compile(r"<script\b.*?</script>", re.DOTALL)
SQL = re.compile(
    r"\b(select|insert into|update|delete from|returning|on conflict)\b .*\b(from|values|set|where)\b", re.I
)


@dataclass
class Said:
    """All output of one application that was used in every way."""

    api: ApiClient
    twilio: TwilioServer
    database: asyncpg.Connection
    tenant: dict[str, Any]
    secrets: set[str] = field(default_factory=set)
    unshown: set[str] = field(default_factory=set)  # secrets that pages and redirects show to their browser
    phones: list[str] = field(default_factory=list)
    answers: list[httpx.Response] = field(default_factory=list)

    async def keep(self, response: httpx.Response) -> None:
        await response.aread()
        self.answers.append(response)

    @property
    def stdout(self) -> str:
        return self.api.log_path.read_text()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    def responses(self) -> list[str]:
        """Return headers and bodies of all responses without the fields that show a secret."""
        return [f"{_headers(answer)} {_without_shown(answer)}" for answer in self.answers]

    def public_texts(self) -> list[str]:
        """Return the responses without the fields that show personal data to its owner."""
        pairs = zip(self.answers, self.responses(), strict=True)
        return [text for answer, text in pairs if not answer.request.url.path.startswith(PERSONAL)]

    def phone(self) -> str:
        self.phones.append(new_phone())
        return self.phones[-1]


def _is_json(answer: httpx.Response) -> bool:
    """Return whether the text is one JSON document; an export is many."""
    return answer.headers.get("content-type", "") in ("application/json", "application/problem+json")


_router = Router(ROUTES)


def _route_of(answer: httpx.Response) -> str:
    """Return method and path of a route, the operator's as the tenant's; empty where there is none."""
    try:
        route, _ = _router.find(answer.request.method, answer.request.url.path)
    except ApiError:
        return ""
    return f"{route.method} {route.path}".replace("/api/admin/tenants/{tenant_id}/", "/api/tenant/")


def _shown(answer: httpx.Response) -> dict[str, Any]:
    """Return the fields of a response that show a secret."""
    names = SHOWN_ONCE.get(_route_of(answer), ())
    return {name: value for name, value in answer.json().items() if name in names}


def _without_shown(answer: httpx.Response) -> str:
    if not _is_json(answer):
        return SCRIPT.sub("", answer.text)  # which throws errors of its own
    shown = _shown(answer)
    return json.dumps({name: value for name, value in answer.json().items() if name not in shown}, ensure_ascii=False)


def _headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in SHOWN_HEADERS}


@pytest.fixture(scope="module")
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture(scope="module")
async def said(
    start_app: Started,
    dns: DnsServer,
    twilio_server: TwilioServer,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Said]:
    """Log in, trigger every error, manage a tenant, and wait for the last log line."""
    url = await new_database(postgres_server, "auth1_said", is_relaxed=False)
    changes = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DNS_SERVERS": f"127.0.0.1:{dns.port}"}
    api = await start_app(DATABASE_URL=url, APP_URL=APP_URL, **changes)
    said = Said(api, twilio_server, await asyncpg.connect(url), {})

    api.client.event_hooks["response"].append(said.keep)
    await api.admin("PUT", "/api/admin/fraud/policy", RELAXED)
    said.tenant = await api.tenant(otp_length=CODE_LENGTH, sms_branding="MyApp", retry_undelivered=True)
    await log_in_and_fail(said)
    await log_in_by_link(said)
    await try_another_provider(said)
    await let_providers_fail(said)
    await manage_users(said)
    await manage_applications(said)
    await manage_hosts(said, dns)
    await give_and_end_access(said)
    await log_in_on_pages(said)
    await deliver_events(said)
    await manage(said)
    await attack(said)
    await trigger_errors(said, postgres_server, start_app, tmp_path_factory.mktemp("world"))
    await break_the_schema(said)
    said.secrets |= {ADMIN_TOKEN, JWT_SECRET, twilio.AUTH_TOKEN, api.settings.database_url, api.settings.redis_url}
    for response in said.answers:
        if _is_json(response):
            said.secrets.update(_shown(response).values())
    for request in twilio_server.requests:
        if found := re.search(r"code is: (\d{10})\.", request.form.get("Body", "")):
            said.secrets.add(found[1])
    last = said.answers[-1].headers["x-request-id"]

    async def is_written() -> bool:
        return any(line.get("request_id") == last and line["msg"] == "request" for line in said.lines)

    assert await until(is_written)
    yield said
    await said.database.close()


async def log_in_and_fail(said: Said) -> None:
    api, key, phone = said.api, said.tenant["api_key"], said.phone()
    await api.post(REQUEST, {"phone": phone, "metadata": {"note": NOTE}}, key)
    code = said.twilio.code_for(phone)
    wrong = f"{(int(code) + 1) % 10**10:010d}"
    said.secrets.add(wrong)
    await report_delivery(said, said.twilio.requests[-1].form["StatusCallback"], phone)
    await api.post(REQUEST, {"phone": phone}, key)
    await end_resend_delay(said.database, phone)
    await api.post(REQUEST, {"phone": phone}, key)
    await api.post(VERIFY, {"phone": phone, "code": wrong}, key)
    verified = await api.post(VERIFY, {"phone": phone, "code": code, "device": {"name": "Ada's phone"}}, key)
    assert verified.status_code == 200
    await api.post(VERIFY, {"phone": phone, "code": code}, key)
    await change_the_account(said, phone, verified.json())
    await refresh_and_log_out(said, verified.json())
    await api.post(REQUEST, {"email": EMAIL}, key)
    await api.post(REQUEST, {"phone": phone}, said.tenant["test_key"])
    await api.client.get(f"/health?key={key}&phone={phone}", headers={"x-api-key": key})
    await api.client.get("/metrics")
    await api.client.get("/health/ready")


async def change_the_account(said: Said, phone: str, tokens: dict[str, str]) -> None:
    """Change metadata, and add, change and remove identifiers in the sandbox."""
    api, path = said.api, "/api/auth/me/identifiers"
    live = {"x-api-key": said.tenant["api_key"], "authorization": f"Bearer {tokens['token']}"}
    patched = await api.client.patch("/api/auth/me", json={"user_metadata": {"a note": NOTE}}, headers=live)
    assert patched.status_code == 200
    key, code = said.tenant["test_key"], "0" * CODE_LENGTH
    taken_phone, new = said.phone(), said.phone()
    for number in (taken_phone, phone):
        await api.post(REQUEST, {"phone": number}, key)
        verified = await api.post(VERIFY, {"phone": number, "code": code}, key)
    test = {"authorization": f"Bearer {verified.json()['token']}"}
    for named, status in (({"email": EMAIL}, 200), ({"phone": new}, 200), ({"phone": taken_phone}, 409)):
        assert (await api.post(path, named, key, **test)).status_code == 200
        assert (await api.post(f"{path}/verify", {**named, "code": code}, key, **test)).status_code == status
    await api.client.get(path, headers={"x-api-key": key, **test})
    assert (await api.client.delete(f"{path}/email", headers={"x-api-key": key, **test})).status_code == 204


async def refresh_and_log_out(said: Said, tokens: dict[str, str]) -> None:
    api, key = said.api, said.tenant["api_key"]
    bearer = {"authorization": f"Bearer {tokens['token']}"}
    await api.post("/api/auth/token", {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}, key)
    await api.client.get("/api/auth/me/sessions", headers={"x-api-key": key, **bearer})
    await api.post("/api/auth/introspect", {"token": tokens["token"]}, said.tenant["secret_key"])
    assert (await api.post("/api/auth/logout", {"scope": "global"}, key, **bearer)).status_code == 204


async def log_in_by_link(said: Said) -> None:
    """Log in by a sandbox link, which is derived as for an email."""
    api, key = said.api, said.tenant["test_key"]
    requested = (await api.post(REQUEST, {"email": EMAIL, "mode": "both"}, key)).json()
    message_id = await said.database.fetchval(
        "select message_id from challenges where id = $1", requested["challenge_id"]
    )
    [token] = magic_link.derive(api.services.keyring, f"{said.tenant['tenant_id']}:test", message_id)
    said.secrets.add(token)
    await api.client.get(f"/api/auth/link/{token}")
    await api.client.post(f"/api/auth/link/{token}")
    named = {name: requested[name] for name in ("challenge_id", "challenge_secret")}
    redeemed = await api.post("/api/auth/token", {"grant_type": "challenge", **named}, key)
    assert redeemed.status_code == 200


async def report_delivery(said: Said, callback: str, phone: str, status: str = "delivered") -> None:
    form = {"MessageSid": "SM" + "0" * 32, "MessageStatus": status, "To": phone}
    signature = RequestValidator(twilio.AUTH_TOKEN).compute_signature(callback, form)
    headers = {"x-twilio-signature": signature}
    reported = await said.api.client.post(callback.removeprefix(APP_URL), data=form, headers=headers)
    assert reported.status_code == 204


async def try_another_provider(said: Said) -> None:
    """Queue a retry for another provider without sending it, because the console would print the code."""
    phone, services = said.phone(), said.api.services
    await said.api.post(REQUEST, {"phone": phone}, said.tenant["api_key"])
    await report_delivery(said, said.twilio.requests[-1].form["StatusCallback"], phone, "undelivered")
    messenger = Messenger(services.postgres, services.log, {"sms": [Console(services.log)]})
    rates = services.settings.sms_rates
    outbox = Outbox(services.postgres, services.log, messenger, rates, lambda _: None, services.exposures)
    await outbox.retry()


async def let_providers_fail(said: Said) -> None:
    for behaviour in (reject(21610), reject(21211), reject(20003), answer(500, b"no"), answer(201, b"{"), hang_up):
        said.twilio.script.append(behaviour)
        rejected = await said.api.post(REQUEST, {"phone": said.phone()}, said.tenant["secret_key"])
        assert rejected.status_code in (422, 502)


async def manage_users(said: Said) -> None:
    api, headers = said.api, {"x-api-key": said.tenant["secret_key"]}
    users, phone = "/api/tenant/users", said.phone()
    made = await api.post(users, {"phone": phone, "metadata": {"note": "a note about a person"}}, headers["x-api-key"])
    path = f"{users}/{made.json()['user_id']}"
    await api.client.patch(path, json={"phone": (phone := said.phone())}, headers=headers)
    for method, end in (("POST", "/ban"), ("POST", "/unban"), ("GET", "/export"), ("GET", ""), ("DELETE", "")):
        assert (await api.client.request(method, path + end, headers=headers)).status_code in (200, 204)
    upload = json.dumps({"phone": phone}) + '\n{"phone": "missing"}\n'
    ndjson = headers | {"content-type": "application/x-ndjson"}
    assert (await api.client.post(f"{users}/import", content=upload, headers=ndjson)).json()["rejected"] == 1
    for query in ("/export", f"?phone={phone}", f"?q={phone[:-1]}"):
        assert (await api.client.get(users + query, headers=headers)).status_code == 200


async def manage_hosts(said: Said, dns: DnsServer) -> None:
    """Add, verify, make canonical and remove a host."""
    headers, path = {"x-api-key": said.tenant["secret_key"]}, "/api/tenant/hosts"
    made = await said.api.client.post(path, json={"host": "login.example.com"}, headers=headers)
    dns.texts[made.json()["txt_name"]] = [made.json()["txt_value"]]
    for method, end, body in (("POST", "/verify", None), ("PATCH", "", {"canonical": True})):
        address = f"{path}/{made.json()['host_id']}{end}"
        changed = await said.api.client.request(method, address, json=body, headers=headers)
        assert changed.status_code == 200, changed.text
    removed = await said.api.client.delete(f"{path}/{made.json()['host_id']}", headers=headers)
    assert removed.status_code == 204


async def manage_applications(said: Said) -> None:
    """Create, change and delete an application; its secrets issue a token."""
    headers, path = {"x-api-key": said.tenant["secret_key"]}, "/api/tenant/applications"
    made = await said.api.client.post(path, json={"name": "Billing", "kind": "machine"}, headers=headers)
    client_id, slug = made.json()["client_id"], said.tenant["slug"]
    for method, end, body in (
        ("PATCH", "", {"scopes": ["invoices:read"]}),
        ("POST", "/rotate-secret", {}),
    ):
        changed = await said.api.client.request(method, f"{path}/{client_id}{end}", json=body, headers=headers)
        assert changed.status_code == 200, changed.text
    issued = await said.api.client.post(
        f"/t/{slug}/token",
        data={"grant_type": "client_credentials"},
        auth=(client_id, changed.json()["client_secret"]),
    )
    assert issued.status_code == 200, issued.text
    assert (await said.api.client.delete(f"{path}/{client_id}", headers=headers)).status_code == 204


async def give_and_end_access(said: Said) -> None:
    """Give an application access to an account, end it in each way, and let its address for logouts fail."""
    app, services = LoginApp(said.api, said.database, said.tenant), said.api.services
    headers, user = {"x-api-key": said.tenant["secret_key"]}, f"/api/tenant/users/{app.user_id}"
    await app.create()
    context = EventContext(app.user_id, said.answers[-1].headers["x-request-id"], None)
    await give_consent(services, await app.issuer(), app.user_id, app.client_id, ["openid"], context)
    pushed = await app.post("par", **parameters(app))
    query = {"client_id": app.client_id, "request_uri": pushed.json()["request_uri"]}
    begun = await said.api.client.get(f"{app.path}/authorize", params=query, headers={"host": "auth.example.com"})
    assert begun.status_code == 303
    refresh_token = (await app.tokens())["refresh_token"]
    consent = f"{user}/applications/{app.client_id}"
    assert (await said.api.client.delete(consent, headers=headers)).status_code == 204
    assert (await app.refresh(refresh_token)).status_code == 400
    revoked = await app.post("revoke", token=(await app.tokens())["refresh_token"])
    assert revoked.status_code == 200, revoked.text
    async with Receiver(lambda call: 500) as receiver:
        path = f"/api/tenant/applications/{app.client_id}"
        await app.tokens()
        changed = await said.api.client.patch(path, json={"backchannel_logout_uri": receiver.url}, headers=headers)
        assert changed.status_code == 200, changed.text
        await said.api.client.delete(f"{user}/sessions/{app.session_id}", headers=headers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(backchannel, "RETRY_S", (0, 0))
            await services.logouts.run_once(services)
        assert len(receiver.calls) == 3


async def log_in_on_pages(said: Said) -> None:
    """Log in on the pages of the sandbox; exchange the code, and open the account."""
    body = {"name": "Shop", "kind": "web", "redirect_uris": [CALLBACK], "first_party": True, "id_token_alg": "ES256"}
    made = await said.api.post("/api/tenant/applications", body, said.tenant["secret_key"])
    client_id, path = made.json()["client_id"], f"/t/{said.tenant['slug']}/test"
    browser = Browser(said.api)
    browser.client.event_hooks["response"].append(said.keep)
    asks = {"client_id": client_id, "redirect_uri": CALLBACK, "response_type": "code", "scope": "openid email"}
    asks |= {"state": "s", "code_challenge_method": "S256", "code_challenge": s256(VERIFIER)}
    await browser.open(f"{path}/authorize?{urlencode(asks)}")
    origin = {"origin": APP_URL}
    await browser.submit("proceed", headers=origin, identifier="ada@example.com")
    page = await browser.submit("verify", headers=origin, code="0" * CODE_LENGTH)
    assert page.leads_to is not None, page.text
    code = parse_qs(urlsplit(page.leads_to).query)["code"][0]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK, "code_verifier": VERIFIER}
    issued = await said.api.client.post(f"{path}/token", data=form, auth=(client_id, made.json()["client_secret"]))
    assert issued.status_code == 200, issued.text
    assert (await browser.open(f"{path}/account")).status == 200
    cookies = [cookie.value for cookie in browser.client.cookies.jar if cookie.value]
    assert len(cookies) >= 2
    said.unshown |= {code, VERIFIER, *cookies}


async def deliver_events(said: Said) -> None:
    """Manage a hook and a webhook; let the webhook be called, until its answer disables it."""
    services, headers = said.api.services, {"x-api-key": said.tenant["secret_key"]}
    async with Receiver(lambda call: 410) as receiver:
        for method, path, body in (
            ("PUT", "/hooks/before_send", {"url": receiver.url, "on_error": "allow", "timeout_in": 1}),
            ("GET", "/hooks/before_send", None),
            ("DELETE", "/hooks/before_send", None),
            ("GET", "/webhooks", None),
            ("POST", "/webhooks", {"url": receiver.url, "events": ["*"]}),
        ):
            made = await said.api.client.request(method, f"/api/tenant{path}", json=body, headers=headers)
            assert made.status_code in (200, 201, 204), made.text
        await fan_out.fan_out(services)
        worker = DeliveryWorker(services.postgres, services.keyring, services.log, services.guard)
        while await worker.run_once():
            await worker.join()
        await worker.stop()
        assert receiver.calls
    path = f"/api/tenant/webhooks/{made.json()['webhook_id']}"
    for end in ("", "/deliveries"):
        assert (await said.api.client.get(path + end, headers=headers)).status_code == 200
    await said.api.client.patch(path, json={"enabled": True}, headers=headers)
    await said.api.client.delete(path, headers=headers)


async def attack(said: Said) -> None:
    """Request codes that need a proof, until that is an attack; then wait until it has ended."""
    api, tenant = said.api, await said.api.tenant()
    policy = {"rules": {"address": {"allowance": 0.5}}}
    await api.admin("PUT", f"{TENANTS}/{tenant['tenant_id']}/fraud/policy", policy)
    for _ in range(ATTACK_REJECTIONS):
        answer = await api.post(REQUEST, {"phone": said.phone()}, tenant["api_key"])
        assert answer.json()["code"] == "proof_required"
    await api.services.attacks.flush()
    await said.database.execute("update attacks set rejected_at = now() - interval '61 minutes'")
    await api.services.attacks.end_attacks()
    await correct_decision(said, tenant)


async def correct_decision(said: Said, tenant: dict[str, Any]) -> None:
    """Add and remove an entry of a list, and state that a rejection was wrong."""
    api, path = said.api, f"{TENANTS}/{tenant['tenant_id']}/fraud"
    entry = {"list": "block", "kind": "country", "value": "LI", "reason": "a test"}
    made = await api.admin("POST", f"{path}/lists", entry)
    assert made.status_code == 201, made.text
    assert (await api.admin("DELETE", f"{path}/lists/{made.json()['entry_id']}")).status_code == 204
    [decision, *_] = (await api.admin("GET", f"{path}/decisions")).json()["data"]
    feedback = {"decision_id": decision["decision_id"], "was": "honest"}
    assert (await api.admin("POST", f"{path}/feedback", feedback)).status_code == 200


async def manage(said: Said) -> None:
    api, path = said.api, f"{TENANTS}/{said.tenant['tenant_id']}"
    key = await add(api, said.tenant, kind="sk")
    await patch(api, said.tenant, key["key_id"], allowed_origins=["https://app.example.com"])
    key = await rotate(api, said.tenant, key["key_id"], grace_in=0)
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


async def trigger_errors(said: Said, postgres: PostgresServer, start_app: Started, directory: Path) -> None:
    """Trigger every error that this application can return."""
    for kind, provoke in ERROR_TRIGGERS.items():
        if kind not in (errors.InternalError, errors.Unavailable, errors.AdminDisabled, errors.RequestTimeout):
            raw_asgi, phone = RawAsgi(said.api), said.phone()
            scenario = ApiScenario(
                said.api, raw_asgi, said.twilio, said.database, postgres, start_app, phone, directory
            )
            assert (await provoke(scenario)).json()["code"] == kind.code


async def break_the_schema(said: Said) -> None:
    tenant = await said.api.tenant(otp_length=CODE_LENGTH)
    await said.database.execute("alter table identifiers rename column code_box to code_crate")
    broken = await said.api.post(REQUEST, {"phone": said.phone()}, tenant["api_key"])
    assert broken.json()["code"] == "internal_error"


def test_stdout_contains_no_secret(said: Said) -> None:
    assert len(said.secrets) > 20
    assert len(said.unshown) >= 4
    for secret in said.secrets | said.unshown:
        assert secret not in said.stdout


def test_fields_with_the_names_of_secrets_are_those_of_their_routes(said: Said) -> None:
    """Elsewhere they would not be found by their values alone: a secret may be shown in another form."""
    others = {
        (_route_of(answer), name)
        for answer in said.answers
        if _is_json(answer)
        for name in SECRET_NAMES.intersection(answer.json())
        if name not in _shown(answer)
    }

    assert others == set()


def test_api_shows_no_secret_of_a_browser(said: Said) -> None:
    for response in filter(_is_json, said.answers):
        for secret in said.unshown:
            assert secret not in f"{_headers(response)} {response.text}"


def test_responses_contain_no_secret_outside_documented_fields(said: Said) -> None:
    for response in said.responses():
        for secret in said.secrets:
            assert secret not in response


def test_no_phone_or_email_appears_in_full(said: Said) -> None:
    assert len(said.phones) > 30
    for text in [said.stdout, *said.public_texts()]:
        for phone in said.phones:
            assert phone.removeprefix("+1") not in text
        assert TOLL_FREE.removeprefix("+44") not in text
        assert EMAIL not in text
        assert EMAIL.partition("@")[0] not in text


def test_no_sql_or_traceback_is_exposed(said: Said) -> None:
    for text in [*said.stdout.splitlines(), *said.responses()]:
        assert not SQL.search(text)
        assert "Traceback" not in text
        assert "code_box" not in text
    for response in said.public_texts():
        for word in (".py", "asyncpg", "httpx", "/auth1/", "Error("):
            assert word not in response


def test_user_supplied_texts_are_not_repeated(said: Said) -> None:
    for text in [said.stdout, *said.public_texts()]:
        assert NOTE not in text
        assert "Ada's phone" not in text
        assert "Your MyApp verification" not in text


def test_every_log_line_is_json_with_time_level_and_message(said: Said) -> None:
    for line in said.lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
        assert line["level"] in ("debug", "info", "warn", "error")
        assert line["msg"]


async def test_every_event_is_logged(said: Said) -> None:
    logged = {line["event_id"]: line for line in said.lines if line["msg"] == "event"}
    kept = await said.database.fetch("select * from events")

    assert {row["id"] for row in kept} == set(logged)
    for row in kept:
        line = logged[row["id"]]
        for name in ("type", "tenant_id", "actor", "subject"):
            assert line[name] == row[name]
    # Only old events are purged: tests/audit does it. A tenant moves to another database: tests/cli does it.
    elsewhere = {EventType.AUDIT_PURGED.value, EventType.TENANT_MOVED.value}
    assert {row["type"] for row in kept} == {event.value for event in EventType} - elsewhere


def test_event_log_line_has_its_request_id(said: Said) -> None:
    answered = {response.headers["x-request-id"] for response in said.answers}
    logged = [line for line in said.lines if line["msg"] == "event" and line["actor"] != "auth1"]

    assert [line for line in logged if line.get("request_id") not in answered] == []


def test_every_request_is_logged_once(said: Said) -> None:
    lines = [line for line in said.lines if line["msg"] == "request"]
    by_id = {line["request_id"]: line for line in lines}

    assert len(by_id) == len(lines)
    for response in said.answers:
        line = by_id[response.headers["x-request-id"]]
        assert line["status"] == response.status_code
        assert line["method"] == response.request.method
        assert line["duration_ms"] > 0
        assert line["route"] == "none" or line["route"].startswith(("/api/", "/t/", "/health", "/metrics"))
        assert said.tenant["tenant_id"] not in line["route"]
        if response.status_code >= 400:
            problem = response.json()
            assert line["code"] == (
                problem["error"] if "error" in problem else problem["code"]
            )  # OAuth has its own form


def test_request_log_line_has_the_tenant_and_a_masked_identifier(said: Said) -> None:
    phone = said.phones[0]
    lines = [line for line in said.lines if line["msg"] == "request" and line.get("identifier")]

    assert f"+1•••••••{phone[-3:]}" in {line["identifier"] for line in lines}
    assert "s•••@example.com" in {line["identifier"] for line in lines}
    for line in lines:
        assert re.fullmatch(r"tn_[0-9a-z]{26}(:test)?", line["tenant_id"])
        assert "•••" in line["identifier"]
    by_route = [line for line in said.lines if line.get("route") in (REQUEST, VERIFY) and line["msg"] == "request"]
    named = [line for line in by_route if line.get("code") not in ("invalid_api_key", "not_authenticated")]
    assert all("tenant_id" in line or line["code"] == "method_not_allowed" for line in named)


def test_probes_are_logged_at_debug_level(said: Said) -> None:
    for line in said.lines:
        if line["msg"] == "request":
            assert (line["level"] == "debug") == (line["route"].startswith(("/health", "/metrics")))
