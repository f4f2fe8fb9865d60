"""Trace context of requests (W3C Trace Context, level 1), and spans where a tracer is set.

A request with a valid `traceparent` header gets a span id of its own. Log lines contain its trace id, and calls of
other services pass the trace on. Without the header and without a tracer nothing happens. A tracer (`tracing_export`)
makes a trace for each request, and spans for what the request does. `tracestate` is not passed on: it is addressed to
the tracing systems of the caller, not to providers. Requests and calls of Redis test `tracer()` before they open a
span, because a `with` that does nothing costs half a microsecond.
"""

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, NamedTuple, Protocol

HEADER = b"traceparent"
Kind = Literal["server", "client", "internal"]
Attributes = Mapping[str, str | int]

_TRACEPARENT = re.compile(rb"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?")
_KNOWN_FLAGS = 0b11  # sampled; random trace id (level 2)


class TraceContext(NamedTuple):
    """A span of a trace: ids in lower-case hexadecimal."""

    trace_id: str
    span_id: str
    flags: int = 0

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & 1)

    def __str__(self) -> str:
        return f"00-{self.trace_id}-{self.span_id}-{self.flags:02x}"


class Tracer(Protocol):
    """Makes spans. Each is the current trace context while it is open."""

    def span(
        self, name: str, kind: Kind, attributes: Attributes, parent: TraceContext | None
    ) -> AbstractContextManager[object]:
        """Open a span; without a parent it begins a trace. An exception marks it as failed."""

    def describe_request(self, name: str, status: int, attributes: Attributes) -> None:
        """Set name, status and attributes of the open span of this request."""

    def close(self) -> None:
        """Export the remaining spans, for a limited time."""


OFF = nullcontext()
_current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)


class _Tracing:
    """The tracer of this process."""

    tracer: Tracer | None = None


def set_tracer(tracer: Tracer | None) -> None:
    """Make spans with a tracer, or none."""
    _Tracing.tracer = tracer


def tracer() -> Tracer | None:
    """Return the tracer of this process, if there is one."""
    return _Tracing.tracer


def current() -> TraceContext | None:
    """Return the trace context of what runs now."""
    return _current.get()


def parse(values: Sequence[bytes]) -> TraceContext | None:
    """Parse the values of `traceparent`; None where there is not exactly one valid value."""
    found = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == b"ff" or (version == b"00" and rest is not None):
        return None
    if not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return TraceContext(trace_id.decode(), span_id.decode(), int(flags, 16) & _KNOWN_FLAGS)


def request(values: Sequence[bytes]) -> AbstractContextManager[object]:
    """Open the span of a request with these values of `traceparent`."""
    if not values and _Tracing.tracer is None:
        return OFF
    parent = parse(values)
    if _Tracing.tracer is not None:
        return _Tracing.tracer.span("request", "server", {}, parent)
    return resumed(parent and parent._replace(span_id=_new_span_id()))


def span(name: str, kind: Kind = "client", attributes: Attributes | None = None) -> AbstractContextManager[object]:
    """Open a span within a traced request. Background jobs have no spans."""
    if _Tracing.tracer is None:
        return OFF
    parent = _current.get()
    return _Tracing.tracer.span(name, kind, attributes or {}, parent) if parent is not None else OFF


@contextmanager
def resumed(context: TraceContext | None) -> Iterator[None]:
    """Continue a trace, or none."""
    token = _current.set(context)
    try:
        yield
    finally:
        _current.reset(token)


def _new_span_id() -> str:
    return f"{secrets.randbelow(2**64 - 1) + 1:016x}"
