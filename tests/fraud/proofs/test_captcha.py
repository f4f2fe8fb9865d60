"""Captchas: the request to siteverify, its results, a bounded time for each fault, and requests with a token."""

import asyncio
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pytest

from auth1.core import crypto, ratelimit
from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.fraud.policy import Captcha
from auth1.fraud.policy_store import captcha_secret
from auth1.fraud.proofs import captcha as captcha_client
from auth1.fraud.proofs.captcha import DEADLINE_S, URLS, CaptchaVerifier
from auth1.fraud.proofs.redeem import find_redemption, proof_required
from auth1.fraud.proofs.schemas import CaptchaProof, PowProof
from auth1.identifiers import parse_identifier
from auth1.tenants.settings import Tenant
from tests.conftest import Started, new_phone
from tests.fraud.conftest import ManagedTenant, managed_tenant
from tests.support.process import until
from tests.support.providers.siteverify import FAULTS, HOST, SECRET, SITE_KEY, SiteverifyServer, solved, unsolved
from tests.support.providers.twilio import Behaviour, Request, TwilioServer

PATIENT = 20.0  # scale of the deadlines where none is tested: a busy machine may take seconds to connect
BRIEF = 0.3  # scale where one is
SLACK_S = 10.0  # what a busy machine may add to a deadline
CAPTCHA = Captcha(provider="turnstile", site_key=SITE_KEY, hostnames=(HOST,))
TENANT_ID = "tn_1"
REQUEST, PHONE = "/api/auth/request", "+15005550006"


@pytest.fixture
async def server() -> AsyncIterator[SiteverifyServer]:
    async with SiteverifyServer(behaviour=solved()) as server:
        yield server


@pytest.fixture
async def verifier(server: SiteverifyServer) -> AsyncIterator[CaptchaVerifier]:
    verifier = CaptchaVerifier(server.url, timeout_scale=PATIENT)
    yield verifier
    await verifier.close()


@pytest.fixture
async def brief_verifier(server: SiteverifyServer) -> AsyncIterator[CaptchaVerifier]:
    verifier = CaptchaVerifier(server.url, timeout_scale=BRIEF)
    yield verifier
    await verifier.close()


@pytest.mark.parametrize("provider", ["turnstile", "hcaptcha"])
async def test_token_is_sent_with_the_secret(
    server: SiteverifyServer, verifier: CaptchaVerifier, provider: Any
) -> None:
    captcha = msgspec.structs.replace(CAPTCHA, provider=provider)

    assert await verifier.verify(TENANT_ID, captcha, SECRET, "a token & more") == "accepted"

    (request,) = server.requests
    assert request.method == "POST"
    assert request.form == {"secret": SECRET, "response": "a token & more", "sitekey": SITE_KEY}


async def test_provider_addresses_are_the_documented_ones() -> None:
    seen = []

    def respond(request: httpx.Request) -> httpx.Response:
        seen.append(str(request.url))
        return httpx.Response(200, stream=httpx.ByteStream(b'{"success":true}'))

    verifier = CaptchaVerifier(None, httpx.MockTransport(respond))
    for provider in ("turnstile", "hcaptcha"):
        captcha = Captcha(provider=provider, site_key=SITE_KEY)
        assert await verifier.verify(TENANT_ID, captcha, SECRET, "token") == "accepted"
    assert seen == [*URLS.values()]


@pytest.mark.parametrize(
    ("behaviour", "result"),
    [
        (solved("evil.example.com"), "wrong_host"),
        (solved(None), "wrong_host"),
        (solved([HOST]), "wrong_host"),
        (unsolved(), "rejected"),
        (unsolved("invalid-input-response"), "rejected"),
        (unsolved("timeout-or-duplicate"), "rejected"),
        (unsolved("invalid-input-response", status=400), "rejected"),
        (unsolved("invalid-or-already-seen-response"), "rejected"),
        (unsolved("invalid-input-secret"), "failed"),
        (unsolved("sitekey-secret-mismatch"), "failed"),
    ],
)
async def test_result_follows_the_response(
    server: SiteverifyServer, verifier: CaptchaVerifier, behaviour: Behaviour, result: str
) -> None:
    server.behaviour = behaviour
    for _ in range(MAX_FAILURES + 1):
        assert await verifier.verify(TENANT_ID, CAPTCHA, SECRET, "token") == result
    assert len(server.requests) == MAX_FAILURES + 1, "the breaker stays closed"


async def test_policy_without_host_names_accepts_any_host(server: SiteverifyServer, verifier: CaptchaVerifier) -> None:
    server.behaviour = solved("elsewhere.example.com")

    assert (
        await verifier.verify(TENANT_ID, msgspec.structs.replace(CAPTCHA, hostnames=()), SECRET, "token") == "accepted"
    )


@pytest.mark.parametrize("behaviour", FAULTS.values(), ids=FAULTS)
async def test_fault_of_the_provider_ends_within_a_second(
    server: SiteverifyServer, brief_verifier: CaptchaVerifier, behaviour: Behaviour
) -> None:
    server.behaviour = behaviour
    started = time.monotonic()

    assert await brief_verifier.verify(TENANT_ID, CAPTCHA, SECRET, "token") == "failed"
    assert time.monotonic() - started < DEADLINE_S * BRIEF + SLACK_S
    assert len(server.requests) <= 1, "nothing is retried"


async def test_unreachable_provider_fails(server: SiteverifyServer) -> None:
    verifier = CaptchaVerifier("http://127.0.0.1:9", timeout_scale=PATIENT)

    assert await verifier.verify(TENANT_ID, CAPTCHA, SECRET, "token") == "failed"
    await verifier.close()


async def test_breaker_of_one_provider_opens_after_failures(
    server: SiteverifyServer, verifier: CaptchaVerifier
) -> None:
    server.behaviour = FAULTS["server error"]
    for _ in range(MAX_FAILURES + 3):
        assert await verifier.verify(TENANT_ID, CAPTCHA, SECRET, "token") == "failed"
    assert len(server.requests) == MAX_FAILURES

    server.behaviour = solved()
    other = msgspec.structs.replace(CAPTCHA, provider="hcaptcha")
    assert await verifier.verify(TENANT_ID, other, SECRET, "token") == "accepted"


@pytest.fixture
async def captcha_tenant(start_app: Started, server: SiteverifyServer) -> ManagedTenant:
    """Return a tenant whose policy has a captcha."""
    managed = await managed_tenant(await start_app(CAPTCHA_VERIFY_URL=server.url))
    await put_captcha(managed)
    return managed


async def put_captcha(managed: ManagedTenant, policy: dict[str, object] | None = None, **changes: object) -> None:
    """Set the policy of a tenant: a captcha, with changes, and other fields."""
    captcha = {"provider": "turnstile", "site_key": SITE_KEY, "secret": SECRET, "hostnames": [HOST]} | changes
    response = await managed.call("PUT", "/fraud/policy", {"captcha": captcha} | (policy or {}))
    assert response.status_code == 200, response.text
    assert SECRET not in response.text


async def live_tenant(managed: ManagedTenant) -> Tenant:
    """Return the tenant as its publishable key calls it."""
    tenant = await managed.api.services.tenants.find(crypto.digest(managed.made["api_key"]))
    assert tenant is not None
    return tenant


async def redemption(managed: ManagedTenant, proof: CaptchaProof | PowProof) -> str | None:
    """Return the digest of a proof of a live request."""
    services = managed.api.services
    tenant = await live_tenant(managed)
    return await find_redemption(services, tenant, parse_identifier(phone="+15551234567", email=None), proof)


async def test_accepted_token_is_redeemed_by_its_digest(
    captcha_tenant: ManagedTenant, server: SiteverifyServer
) -> None:
    first, again = [await redemption(captcha_tenant, CaptchaProof("token")) for _ in range(2)]

    assert first == again is not None
    assert await redemption(captcha_tenant, CaptchaProof("other")) != first
    assert server.requests[0].form["secret"] == SECRET


@pytest.mark.parametrize(("on_failure", "accepted"), [("allow", True), ("deny", False)])
async def test_policy_decides_when_the_provider_fails(
    captcha_tenant: ManagedTenant, server: SiteverifyServer, on_failure: str, accepted: bool
) -> None:
    await put_captcha(captcha_tenant, on_failure=on_failure)
    server.behaviour = FAULTS["server error"]
    assert (await redemption(captcha_tenant, CaptchaProof("token")) is not None) == accepted

    server.behaviour = unsolved("invalid-input-response")
    assert await redemption(captcha_tenant, CaptchaProof("token")) is None


async def test_sandbox_requires_the_captcha_and_accepts_any_token(
    captcha_tenant: ManagedTenant, server: SiteverifyServer
) -> None:
    api, key = captcha_tenant.api, captcha_tenant.made["test_key"]

    required = await api.post(REQUEST, {"phone": PHONE}, key)
    solved = {"kind": "captcha", "token": "any"}
    sent = await api.post(REQUEST, {"phone": PHONE, "proof": solved}, key)
    again = await api.post(REQUEST, {"phone": PHONE, "proof": solved}, key)

    expected = {"kind": "captcha", "provider": "turnstile", "site_key": SITE_KEY}
    assert (required.status_code, required.json()["proof"]) == (403, expected)
    assert (sent.status_code, again.status_code) == (200, 403)
    assert server.requests == []


async def test_captcha_of_a_tenant_without_one_is_not_accepted(managed: ManagedTenant) -> None:
    assert await redemption(managed, CaptchaProof("token")) is None


async def test_proof_of_work_of_a_tenant_with_a_captcha_is_not_accepted(captcha_tenant: ManagedTenant) -> None:
    services = captcha_tenant.api.services
    tenant = await live_tenant(captcha_tenant)
    identifier = parse_identifier(phone="+15551234567", email=None)
    error = proof_required(services, tenant, identifier, 1.0, None, channels=["email"])

    assert captcha_secret(services.keyring, tenant) == SECRET
    assert msgspec.to_builtins(error.proof)["kind"] == "captcha"
    assert error.channels == ["email"]


async def test_token_lets_one_doubtful_request_through(
    captcha_tenant: ManagedTenant, server: SiteverifyServer, twilio_server: TwilioServer
) -> None:
    await put_captcha(captcha_tenant, policy={"line_types": {"unknown": "proof_required"}})
    api, key, phones = captcha_tenant.api, captcha_tenant.made["api_key"], [new_phone() for _ in range(3)]
    proof = {"kind": "captcha", "token": "token"}

    required = await api.post(REQUEST, {"phone": phones[0]}, key)
    sent = await api.post(REQUEST, {"phone": phones[0], "proof": proof}, key)
    again = await api.post(REQUEST, {"phone": phones[1], "proof": proof}, key)
    server.behaviour = unsolved("invalid-input-response")
    rejected = await api.post(REQUEST, {"phone": phones[2], "proof": {"kind": "captcha", "token": "other"}}, key)

    assert (required.json()["code"], required.json()["proof"]["kind"]) == ("proof_required", "captcha")
    assert sent.status_code == 200, sent.text
    assert [again.json()["code"], rejected.json()["code"]] == ["proof_required"] * 2
    assert [len(twilio_server.sent_to(phone)) for phone in phones] == [1, 0, 0]


async def test_junk_tokens_above_our_capacity_are_not_accepted(
    start_app: Started, server: SiteverifyServer, twilio_server: TwilioServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(captcha_client, "MAX_CALLS", 1)
    monkeypatch.setattr(captcha_client, "WAIT_S", 0.01)
    managed = await managed_tenant(await start_app(CAPTCHA_VERIFY_URL=server.url, TIMEOUT_SCALE="30"))
    await put_captcha(managed, policy={"line_types": {"unknown": "proof_required"}})
    released = asyncio.Event()

    async def reject_slowly(request: Request, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await unsolved("invalid-input-response")(request, writer)

    async def request(phone: str) -> httpx.Response:
        proof = {"kind": "captcha", "token": f"junk {phone}"}
        return await managed.api.post(REQUEST, {"phone": phone, "proof": proof}, managed.made["api_key"])

    server.behaviour, phones = reject_slowly, [new_phone() for _ in range(50)]
    tasks = [asyncio.create_task(request(phone)) for phone in phones]
    await until(lambda: sum(task.done() for task in tasks) == len(tasks) - 1)
    released.set()
    answers = await asyncio.gather(*tasks)

    assert sorted(answer.json()["code"] for answer in answers) == ["proof_required"] + ["unavailable"] * 49
    assert all("retry-after" in answer.headers for answer in answers if answer.status_code == 503)
    assert [phone for phone in phones if twilio_server.sent_to(phone)] == []
    verifier = managed.api.services.fraud_sources.captcha
    assert verifier.breakers["turnstile"].is_idle, "our own lack of connections is no failure of the provider"


async def test_token_is_not_checked_while_a_rate_limit_is_full(
    start_app: Started, server: SiteverifyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed = await managed_tenant(await start_app(CAPTCHA_VERIFY_URL=server.url), requests_per_minute=1)
    await put_captcha(managed)
    clock = SimpleNamespace(monotonic=lambda: 1000.0, time_ns=time.time_ns)  # a full limit is known for a second
    monkeypatch.setattr(ratelimit, "time", clock)

    async def request(**body: object) -> str:
        response = await managed.api.post(REQUEST, {"phone": new_phone()} | body, managed.made["api_key"])
        return "sent" if response.status_code == 200 else str(response.json()["code"])

    codes = [await request(), await request(), await request(proof={"kind": "captcha", "token": "token"})]

    assert codes == ["sent", "rate_limited", "rate_limited"]
    assert server.requests == []
