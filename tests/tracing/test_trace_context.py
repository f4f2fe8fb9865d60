"""`traceparent` of a request: parsed strictly, logged, and passed to other services."""

import json
from typing import Any

import pytest

from auth1.core.telemetry import tracing
from auth1.webhooks.delivery import fan_out
from auth1.webhooks.delivery.worker import DeliveryWorker
from tests.conftest import Started, new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer
from tests.support.receiver import Receiver

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"
ALLOW = b'HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n{"decision":"allow"}'
INVALID = {
    "upper case": HEADER.upper(),
    "version ff": f"ff-{TRACE}-{SPAN}-01",
    "more fields in version 00": f"{HEADER}-00",
    "more characters": f"{HEADER}0",
    "zero trace id": f"00-{'0' * 32}-{SPAN}-01",
    "zero span id": f"00-{TRACE}-{'0' * 16}-01",
    "short trace id": f"00-{TRACE[:-1]}-{SPAN}-01",
    "no flags": f"00-{TRACE}-{SPAN}",
    "empty": "",
    "space": f" {HEADER}",
    "later version without separator": f"01-{TRACE}-{SPAN}-01x",
}


@pytest.mark.parametrize("value", INVALID.values(), ids=INVALID.keys())
def test_invalid_traceparent_is_ignored(value: str) -> None:
    assert tracing.parse([value.encode()]) is None


def test_several_traceparents_are_ignored() -> None:
    assert tracing.parse([HEADER.encode()] * 2) is None
    assert tracing.parse([]) is None


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (HEADER, HEADER),
        (f"00-{TRACE}-{SPAN}-00", f"00-{TRACE}-{SPAN}-00"),
        (f"cc-{TRACE}-{SPAN}-01-of.a.later.version", HEADER),
        (f"00-{TRACE}-{SPAN}-ff", f"00-{TRACE}-{SPAN}-03"),
    ],
    ids=["sampled", "not sampled", "later version", "unknown flags"],
)
def test_valid_traceparent_is_sent_on_in_version_00(value: str, sent: str) -> None:
    assert str(tracing.parse([value.encode()])) == sent


def test_each_request_has_a_span_id_of_its_own() -> None:
    contexts = []
    for _ in range(2):
        with tracing.request([HEADER.encode()]):
            contexts.append(tracing.current())
    assert [context and context.trace_id for context in contexts] == [TRACE, TRACE]
    assert len({SPAN, *(context and context.span_id for context in contexts)}) == 3
    assert tracing.current() is None


@pytest.fixture(scope="module")
async def traced(start_app: Started) -> ApiClient:
    """Return an application whose webhooks and hooks may call the loopback."""
    return await start_app(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")


async def lines(api: ApiClient, request_id: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (await api.log()).splitlines()]
    return [line for line in found if line.get("request_id") == request_id]


async def test_every_log_line_of_a_traced_request_has_its_trace_id(traced: ApiClient, phone: str) -> None:
    tenant = await traced.tenant()
    body = {"phone": phone}
    request_id = (await traced.post("/api/auth/request", body, tenant["api_key"], traceparent=HEADER)).headers[
        "x-request-id"
    ]
    found = await lines(traced, request_id)
    assert {line["msg"] for line in found} >= {"request", "event"}
    assert {line["trace_id"] for line in found} == {TRACE}


async def test_untraced_request_has_no_trace_id_and_sends_none(
    traced: ApiClient, phone: str, twilio_server: TwilioServer
) -> None:
    tenant = await traced.tenant()
    answer = await traced.post("/api/auth/request", {"phone": phone}, tenant["api_key"], traceparent="00-bad")
    assert all("trace_id" not in line for line in await lines(traced, answer.headers["x-request-id"]))
    assert "traceparent" not in twilio_server.requests[-1].headers


async def test_provider_and_hook_receive_the_trace(traced: ApiClient, phone: str, twilio_server: TwilioServer) -> None:
    tenant = await traced.tenant()
    async with Receiver(answer=lambda _: ALLOW) as hook:
        made = await traced.client.put(
            "/api/tenant/hooks/before_send",
            json={"url": hook.url, "on_error": "deny"},
            headers={"x-api-key": tenant["secret_key"]},
        )
        assert made.status_code == 200, made.text
        await traced.post("/api/auth/request", {"phone": phone}, tenant["api_key"], traceparent=HEADER)
    [call] = hook.calls
    sent = [tracing.parse([one["traceparent"].encode()]) for one in (call.headers, twilio_server.requests[-1].headers)]
    assert [context and (context.trace_id, context.flags) for context in sent] == [(TRACE, 1)] * 2
    assert sent[0] == sent[1]
    assert sent[0] is not None
    assert sent[0].span_id != SPAN


async def deliver(api: ApiClient) -> None:
    """Send all deliveries that are due."""
    services = api.services
    while await fan_out.fan_out(services):
        pass
    worker = DeliveryWorker(services.postgres, services.keyring, services.log, services.guard, redis=services.redis)
    while await worker.run_once():
        await worker.join()
    await worker.stop()


async def subscribe(api: ApiClient, receiver: Receiver, tenant: dict[str, Any]) -> None:
    body = {"url": receiver.url, "events": ["challenge.opened"]}
    made = await api.post("/api/tenant/webhooks", body, tenant["secret_key"])
    assert made.status_code == 201, made.text


async def test_webhook_receives_the_trace_of_the_request(traced: ApiClient) -> None:
    tenant = await traced.tenant()
    async with Receiver() as receiver:
        await subscribe(traced, receiver, tenant)
        with_trace = await traced.post(
            "/api/auth/request", {"phone": new_phone()}, tenant["api_key"], traceparent=HEADER
        )
        without = await traced.post("/api/auth/request", {"phone": new_phone()}, tenant["api_key"])
        await deliver(traced)
    traces = {call.json["request_id"]: call.headers.get("traceparent", "") for call in receiver.calls}
    assert traces.keys() == {answer.headers["x-request-id"] for answer in (with_trace, without)}
    assert traces[without.headers["x-request-id"]] == ""
    assert traces[with_trace.headers["x-request-id"]].split("-")[1] == TRACE


async def test_webhook_is_sent_without_a_trace_that_redis_lost(traced: ApiClient, phone: str) -> None:
    tenant = await traced.tenant()
    async with Receiver() as receiver:
        await subscribe(traced, receiver, tenant)
        answer = await traced.post("/api/auth/request", {"phone": phone}, tenant["api_key"], traceparent=HEADER)
        key = f"auth1:trace:{{{tenant['tenant_id']}}}:{answer.headers['x-request-id']}"
        assert await traced.services.redis.call("DEL", key) == 1
        await deliver(traced)
    [call] = receiver.calls
    assert "traceparent" not in call.headers
