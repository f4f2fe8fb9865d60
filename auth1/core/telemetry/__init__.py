"""Reports of a worker: log lines and traces.

log             lines on stdout as JSON or text, never blocking a request
log_text        lines for people, in colour on a terminal
tracing         trace context of requests (traceparent), and spans where a tracer is set
tracing_export  a tracer: spans by OpenTelemetry, imported where tracing is on
"""
