"""Spans of OpenTelemetry, kept in memory: one for the request, and one for each thing that it does."""

import asyncio
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from auth1.core.telemetry import tracing
from tests.conftest import Started, new_phone
from tests.support.api_client import ApiClient
from tests.support.providers.twilio import TwilioServer

pytest.importorskip("opentelemetry.sdk", reason="the extra auth1[tracing] is not installed")

from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from auth1.core.telemetry.tracing_export import OpenTelemetryTracer

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADER = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def exporter() -> Iterator[Any]:
    """Turn tracing on; return the exporter, which keeps the spans."""
    exporter = InMemorySpanExporter()
    tracer = OpenTelemetryTracer(SimpleSpanProcessor(exporter))
    tracing.set_tracer(tracer)
    yield exporter
    tracing.set_tracer(None)
    tracer.close()


@pytest.fixture(scope="module")
async def api(start_app: Started) -> ApiClient:
    return await start_app()


def by_name(exporter: Any) -> dict[str, Any]:
    return {span.name: span for span in exporter.get_finished_spans()}


async def test_code_request_has_a_span_for_each_step(
    api: ApiClient, exporter: Any, twilio_server: TwilioServer
) -> None:
    tenant = await api.tenant()
    exporter.clear()
    phone = new_phone()
    answer = await api.post("/api/auth/request", {"phone": phone}, tenant["api_key"], traceparent=HEADER)
    assert answer.status_code == 200
    spans = by_name(exporter)
    request = spans["POST /api/auth/request"]
    assert request.parent.span_id == int(SPAN, 16)
    assert {span.context.trace_id for span in spans.values()} == {int(TRACE, 16)}
    assert request.attributes["http.response.status_code"] == 200
    assert request.attributes["auth1.request_id"] == answer.headers["x-request-id"]
    for name in ("redis ratelimit_acquire", "postgresql open_challenges", "send twilio"):
        assert spans[name].parent.span_id == request.context.span_id, name
    call = spans["POST 127.0.0.1"]
    assert call.parent.span_id == spans["send twilio"].context.span_id
    assert twilio_server.requests[-1].headers["traceparent"] == f"00-{TRACE}-{call.context.span_id:016x}-01"
    assert phone.removeprefix("+") not in "".join(span.to_json() for span in spans.values())


async def test_request_without_traceparent_begins_a_trace(api: ApiClient, exporter: Any) -> None:
    assert (await api.client.get("/health/live")).status_code == 200
    [span] = exporter.get_finished_spans()
    assert (span.name, span.parent) == ("GET /health/live", None)


async def test_failed_step_and_failed_request_are_marked(api: ApiClient, exporter: Any) -> None:
    with tracing.request([HEADER.encode()]), pytest.raises(ZeroDivisionError), tracing.span("step"):
        raise ZeroDivisionError("a text that may contain a number")
    span = by_name(exporter)["step"]
    assert span.status.status_code.name == "ERROR"
    assert span.attributes["error.type"] == "ZeroDivisionError"
    assert (span.events, span.status.description) == ((), None)


async def test_caller_decides_whether_a_trace_is_sampled(api: ApiClient, exporter: Any) -> None:
    unsampled = f"00-{TRACE}-{SPAN}-00"
    assert (await api.client.get("/health/live", headers={"traceparent": unsampled})).status_code == 200
    assert exporter.get_finished_spans() == ()


async def test_background_work_has_no_spans(api: ApiClient, exporter: Any) -> None:
    await api.services.outbox.run_once()
    assert exporter.get_finished_spans() == ()


async def test_requests_of_one_statement_are_in_their_own_traces(api: ApiClient, exporter: Any) -> None:
    tenant = await api.tenant()
    traces = [f"{number:032x}" for number in range(1, 9)]
    exporter.clear()

    async def ask(trace: str) -> None:
        header = f"00-{trace}-{SPAN}-01"
        await api.post("/api/auth/request", {"phone": new_phone()}, tenant["test_key"], traceparent=header)

    await asyncio.gather(*map(ask, traces))
    spans = [span for span in exporter.get_finished_spans() if span.name == "postgresql open_challenges"]
    assert sorted(f"{span.context.trace_id:032x}" for span in spans) == traces


def test_spans_reach_a_collector_before_the_process_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[tuple[str, str | None, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the name that the library calls
            body = self.rfile.read(int(self.headers["content-length"]))
            received.append((self.path, self.headers["content-type"], body))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=production")
        tracer = OpenTelemetryTracer()
        with tracer.span("a span", "server", {}, None):
            pass
        tracer.close()
        server.shutdown()
        thread.join()
    [(path, content_type, body)] = received
    assert (path, content_type) == ("/v1/traces", "application/x-protobuf")
    assert all(text in body for text in (b"a span", b"auth1", b"production"))
