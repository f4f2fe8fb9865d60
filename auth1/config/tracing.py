"""The variables that turn tracing on. OpenTelemetry reads all others of its OTEL_* variables itself."""

import importlib.util
from contextlib import suppress

from auth1.config.environ import Environment

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
PROTOCOL = "http/protobuf"


def read_tracing(env: Environment) -> bool:
    """Return whether spans are exported: an endpoint is set, or the exporter is."""
    has_endpoint = any(env.text(name) is not None for name in _ENDPOINTS)
    exporter = env.one_of("OTEL_TRACES_EXPORTER", "otlp" if has_endpoint else "none", ("otlp", "none"))
    if exporter == "none" or env.switch("OTEL_SDK_DISABLED", default=False):
        return False
    for name in _PROTOCOLS:
        env.one_of(name, PROTOCOL, (PROTOCOL,))
    if not is_installed():
        env.problems.append("OTEL_TRACES_EXPORTER=otlp needs OpenTelemetry: pip install 'auth1[tracing]'")
        return False
    return True


def is_installed() -> bool:
    """Return whether the extra is installed."""
    with suppress(ModuleNotFoundError):
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    return False
