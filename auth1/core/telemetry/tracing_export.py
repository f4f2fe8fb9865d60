"""Spans by OpenTelemetry. Imported only where tracing is on: it is an optional extra, and takes 0.5 s and 16 MB.

The exporter, its endpoint and headers, the sampler and the resource are configured by the standard OTEL_* variables.
Spans are exported by a thread in batches; when its queue is full they are dropped.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from auth1 import __version__
from auth1.core.telemetry.tracing import Attributes, Kind, TraceContext, resumed

CLOSE_S = 2.0  # to export the last spans; without an answer they are lost

_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}

_request_span: ContextVar[Span | None] = ContextVar("request span", default=None)


class OpenTelemetryTracer:
    """Makes spans that a processor receives; by default it exports them by OTLP over HTTP."""

    def __init__(self, processor: SpanProcessor | None = None) -> None:
        resource = Resource.create({SERVICE_VERSION: __version__})  # OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "auth1"}))
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(processor or BatchSpanProcessor(OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("auth1", __version__)

    @contextmanager
    def span(self, name: str, kind: Kind, attributes: Attributes, parent: TraceContext | None) -> Iterator[None]:
        """Open a span; without a parent it begins a trace. An exception marks it as failed."""
        # The parent is given, not taken from OpenTelemetry's own context: trace contexts exist without it, too.
        context = set_span_in_context(NonRecordingSpan(_span_context(parent, is_remote=kind == "server")))
        span = self._tracer.start_span(
            name, context, _KINDS[kind], attributes, record_exception=False, set_status_on_exception=False
        )
        found = span.get_span_context()
        token = _request_span.set(span) if kind == "server" else None
        try:
            with resumed(TraceContext(f"{found.trace_id:032x}", f"{found.span_id:016x}", int(found.trace_flags))):
                yield
        except BaseException as error:
            # The kind only: texts of exceptions may contain phone numbers.
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(Status(StatusCode.ERROR))
            raise
        finally:
            if token is not None:
                _request_span.reset(token)
            span.end()

    def describe_request(self, name: str, status: int, attributes: Attributes) -> None:
        """Set name, status and attributes of the open span of this request."""
        span = _request_span.get()
        if span is not None:
            span.update_name(name)
            span.set_attributes({"http.response.status_code": status, **attributes})
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))

    def close(self) -> None:
        """Export the remaining spans, for a limited time."""
        thread = threading.Thread(target=self._provider.shutdown, daemon=True)
        thread.start()
        thread.join(CLOSE_S)


def _span_context(parent: TraceContext | None, *, is_remote: bool) -> SpanContext:
    if parent is None:
        return SpanContext(0, 0, is_remote=False)  # an invalid one: the span has no parent
    return SpanContext(int(parent.trace_id, 16), int(parent.span_id, 16), is_remote, TraceFlags(parent.flags))
