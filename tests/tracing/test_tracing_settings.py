"""The variables that turn tracing on."""

import importlib.util

import pytest

from auth1.config import tracing
from auth1.config.settings import ConfigurationError, load_settings

REQUIRED = {"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://r", "JWT_SECRET": "0" * 64}
ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "is_on"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
    ],
)
def test_tracing_is_on_where_a_collector_is_set(
    environment: dict[str, str], is_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracing, "is_installed", lambda: True)
    assert load_settings(REQUIRED | environment).tracing is is_on


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER must be one of otlp, none"),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL must be one of http/protobuf",
        ),
        ({"METRICS_TENANTS": "1001"}, "METRICS_TENANTS must be a whole number from 0 to 1000"),
    ],
)
def test_wrong_value_is_named(environment: dict[str, str], problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "is_installed", lambda: True)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(REQUIRED | environment)
    assert raised.value.problems == [problem]


def test_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> None:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(REQUIRED | ENDPOINT)
    assert raised.value.problems == ["OTEL_TRACES_EXPORTER=otlp needs OpenTelemetry: pip install 'auth1[tracing]'"]
