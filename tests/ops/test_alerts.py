"""ops/grafana/alerts.yaml: each alert fires only under its condition."""

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from tests.ops.grafana import GRAFANA, RULES, needs_promtool, promtool


def test_every_alert_has_a_severity_and_a_description() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"].keys() == {"summary", "description"}


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", GRAFANA / "alerts.yaml")


class Case(NamedTuple):
    """Samples, one a minute, and the labels of an alert that fires after a number of minutes."""

    alert: str
    series: dict[str, str]
    minutes: int
    firing: list[dict[str, str]]


def of(metric: str, **labels: str) -> str:
    """Return a series name of the single instance of the cases."""
    pairs = ",".join(f'{name}="{value}"' for name, value in (labels | TARGET).items())
    return f"{metric}{{{pairs}}}"


TARGET = {"instance": "a", "job": "auth1"}
UP, BUILD_INFO, REDIS_UP = of("up"), of("auth1_build_info", version="1"), of("auth1_redis_up")
POSTGRES_ERRORS, POOL_IN_USE = of("auth1_postgres_errors_total"), of("auth1_postgres_pool_in_use")
UNAVAILABLE = of("auth1_http_requests_total", method="POST", route="/api/auth/request", status="503")
CODES = of("auth1_code_requests_total", channel="sms", outcome="opened")
BLOCKED = of("auth1_fraud_decisions_total", decision="block", reason="line_type")
ATTACKS = of("auth1_events_total", type="attack.detected")
LOOKED_UP, LOOKUPS_FAILED = (of("auth1_lookups_total", outcome=outcome) for outcome in ("ok", "timeout"))
TAKEN = of("auth1_messages_total", provider="twilio", outcome="sent")
NOT_TAKEN = of("auth1_messages_total", provider="twilio", outcome="transient")
UNDELIVERED = of("auth1_deliveries_total", provider="twilio", state="failed")
UNREPORTED = of("auth1_deliveries_total", provider="twilio", state="unknown")
UNHEALTHY = of("auth1_http_requests_total", method="GET", route="/health/ready", status="503")
BREAKER = of("auth1_provider_breaker_open", provider="twilio")
HOOK_ALLOWS, HOOK_TIMEOUTS = (
    of("auth1_hook_calls_total", hook="before_send", result=result) for result in ("allow", "timeout")
)
LOG_LINES = of("auth1_log_lines_dropped_total")
READER_LAG = of("auth1_event_reader_lag_seconds", reader="seals")
CHAIN_ERRORS = of("auth1_event_chain_errors_total")
WEBHOOK_DELAY = of("auth1_webhook_oldest_pending_seconds")
DELIVERED, RETRIED = (of("auth1_webhook_attempts_total", outcome=outcome) for outcome in ("delivered", "retried"))
NO_MONEY = of("auth1_code_requests_total", channel="sms", outcome="money")
FAST = of("auth1_http_request_duration_seconds_bucket", route="/api/auth/verify", le="0.5")
SLOW_ROUTE = of("auth1_http_request_duration_seconds_bucket", route="/api/auth/request", le="0.5")
FAST_SENDS = of("auth1_message_send_duration_seconds_bucket", provider="twilio", le="1")


def bucket(series: str, le: str) -> str:
    """Return the name of another bucket of the same histogram."""
    return re.sub(r'le="[^"]*"', f'le="{le}"', series)


# A service that is well, a sample a minute: "0+97" begins at 0 and adds 97 each minute.
ALL_OK = {
    UP: "1x2000",
    BUILD_INFO: "1x2000",
    REDIS_UP: "1x2000",
    POSTGRES_ERRORS: "0x2000",
    POOL_IN_USE: "15x2000",
    of("auth1_postgres_pool_size"): "20x2000",
    of("auth1_http_requests_total", method="POST", route="/api/auth/request", status="200"): "0+100x2000",
    UNAVAILABLE: "0+1x2000",
    CODES: "0+60x2000",
    of("auth1_fraud_decisions_total", decision="allow", reason="none"): "0+97x2000",
    BLOCKED: "0+3x2000",
    ATTACKS: "3x2000",
    LOOKED_UP: "0+97x2000",
    LOOKUPS_FAILED: "0+3x2000",
    TAKEN: "0+97x2000",
    NOT_TAKEN: "0+3x2000",
    of("auth1_deliveries_total", provider="twilio", state="delivered"): "0+95x2000",
    UNDELIVERED: "0+1x2000",
    of("auth1_messages_total", provider="sandbox", outcome="unknown"): "0+50x2000",
    of("auth1_http_requests_total", method="GET", route="/health/ready", status="200"): "0+6x2000",
    BREAKER: "0x2000",
    HOOK_ALLOWS: "0+97x2000",
    HOOK_TIMEOUTS: "0+3x2000",
    LOG_LINES: "0x2000",
    READER_LAG: "4x2000",
    CHAIN_ERRORS: "0x2000",
    WEBHOOK_DELAY: "2x2000",
    DELIVERED: "0+60x2000",
    RETRIED: "0+40x2000",
    # Of 100 a minute 97 take 0.5 s or less; requests for a code are slower, and do not count.
    FAST: "0+97x2000",
    bucket(FAST, "1"): "0+100x2000",
    bucket(FAST, "+Inf"): "0+100x2000",
    SLOW_ROUTE: "0x2000",
    bucket(SLOW_ROUTE, "1"): "0+100x2000",
    bucket(SLOW_ROUTE, "+Inf"): "0+100x2000",
    FAST_SENDS: "0+97x2000",
    bucket(FAST_SENDS, "2.5"): "0+100x2000",
    bucket(FAST_SENDS, "+Inf"): "0+100x2000",
    of("auth1_message_send_duration_seconds_count", provider="twilio"): "0+100x2000",
}
CRITICAL, WARNING = {"severity": "critical"}, {"severity": "warning"}
BY_TWILIO = CRITICAL | {"provider": "twilio"}
ANOTHER_TARGET = {'up{instance="b",job="c"}': "0x99"}  # it is down too, and is not Auth1
SICK = [
    Case("Auth1Down", {}, 5, [CRITICAL]),
    Case("Auth1InstanceDown", ALL_OK | {UP: "1x9 0x99", BUILD_INFO: "1x9"} | ANOTHER_TARGET, 20, [WARNING | TARGET]),
    Case("Auth1DatabaseUnavailable", ALL_OK | {POSTGRES_ERRORS: "0x9 1+9x99"}, 20, [CRITICAL | {"instance": "a"}]),
    Case("Auth1RedisDown", ALL_OK | {REDIS_UP: "1x9 0x99"}, 20, [WARNING | TARGET]),
    Case("Auth1ServerErrors", ALL_OK | {UNAVAILABLE: "0+3x99"}, 20, [CRITICAL]),
    Case("Auth1CodeRequestSpike", ALL_OK | {CODES: "0+60x1440 86460+300x99"}, 1470, [WARNING]),
    Case("Auth1BlockRate", ALL_OK | {BLOCKED: "0+6x99"}, 40, [WARNING]),
    # One attack is enough, be it the first ever or not.
    Case("Auth1Attack", ALL_OK | {ATTACKS: "_x30 1x99"}, 40, [WARNING]),
    Case("Auth1Attack", ALL_OK | {ATTACKS: "1x30 2x99"}, 40, [WARNING]),
    Case("Auth1Attack", ALL_OK | {ATTACKS: "1x30 2x99"}, 60, []),
    Case("Auth1LookupFailing", ALL_OK | {LOOKUPS_FAILED: "0+50x99"}, 40, [WARNING]),
    Case("Auth1DeliveryRate", ALL_OK | {NOT_TAKEN: "0+6x99"}, 40, [BY_TWILIO]),
    Case("Auth1DeliveryRate", ALL_OK | {UNDELIVERED: "0+3x99"}, 40, [BY_TWILIO]),
    Case("Auth1DeliveryRate", ALL_OK | {UNREPORTED: "0+2x99"}, 40, [BY_TWILIO]),
    # A provider that never took anything has no series "sent" at all.
    Case("Auth1DeliveryRate", {name: samples for name, samples in ALL_OK.items() if name != TAKEN}, 40, [BY_TWILIO]),
    Case("Auth1Unhealthy", ALL_OK | {UNHEALTHY: "_x9 1+6x99"}, 20, [CRITICAL | {"instance": "a"}]),
    Case("Auth1SlowResponses", ALL_OK | {FAST: "0+90x99"}, 20, [WARNING]),
    Case("Auth1SlowSends", ALL_OK | {FAST_SENDS: "0+50x99"}, 40, [WARNING | {"provider": "twilio"}]),
    Case("Auth1ProviderFailing", ALL_OK | {BREAKER: "0x9 1x99"}, 20, [WARNING | {"provider": "twilio"}]),
    Case("Auth1HooksFailing", ALL_OK | {HOOK_TIMEOUTS: "0+50x99"}, 40, [WARNING | {"hook": "before_send"}]),
    # One rejected request is enough, be it the first ever or not.
    Case("Auth1BudgetExhausted", ALL_OK | {NO_MONEY: "_x30 1x99"}, 40, [WARNING | {"outcome": "money"}]),
    Case("Auth1BudgetExhausted", ALL_OK | {NO_MONEY: "1x30 2x99"}, 40, [WARNING | {"outcome": "money"}]),
    Case("Auth1BudgetExhausted", ALL_OK | {NO_MONEY: "1x30 2x99"}, 60, []),
    Case("Auth1LogLinesDropped", ALL_OK | {LOG_LINES: "0x18 5x99"}, 20, [WARNING | {"instance": "a"}]),
    Case("Auth1EventReaderLags", ALL_OK | {READER_LAG: "61x99"}, 20, [WARNING | {"reader": "seals"}]),
    Case("Auth1EventReaderLags", ALL_OK | {READER_LAG: "61x2 1x99"}, 20, []),
    Case("Auth1AuditChainBroken", ALL_OK | {CHAIN_ERRORS: "0x18 1x99"}, 20, [CRITICAL | {"instance": "a"}]),
    Case("Auth1WebhooksDelayed", ALL_OK | {WEBHOOK_DELAY: "61x99"}, 20, [WARNING]),
    Case("Auth1WebhooksDelayed", ALL_OK | {WEBHOOK_DELAY: "61x2 1x99"}, 20, []),
    Case("Auth1WebhooksFailing", ALL_OK | {RETRIED: "0+70x99"}, 40, [WARNING]),
    Case("Auth1WebhooksFailing", ALL_OK | {DELIVERED: "0+1x99", RETRIED: "0+3x99"}, 40, []),  # too few
    Case("Auth1PoolNearlyFull", ALL_OK | {POOL_IN_USE: "17x99"}, 20, [WARNING | TARGET]),
]
NAMES = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
WELL = [Case(".+", ALL_OK, minutes, []) for minutes in (40, 1470)]


@needs_promtool
def test_each_alert_fires_only_under_its_condition(tmp_path: Path) -> None:
    assert {case.alert for case in SICK} == set(NAMES)
    # The rules of a day are evaluated every 5 minutes: each minute would take most of the time.
    for interval, is_long in (("1m", False), ("5m", True)):
        tests = [as_test(case) for case in SICK + WELL if (case.minutes > 60) == is_long]
        content = {"rule_files": [str(GRAFANA / "alerts.yaml")], "evaluation_interval": interval, "tests": tests}
        file = tmp_path / f"{interval}.yaml"
        file.write_text(yaml.safe_dump(content))
        promtool("test", "rules", file)


def as_test(case: Case) -> dict[str, Any]:
    """Convert a case to promtool's format. It queries ALERTS, so that annotations are not compared."""
    firing = {"alertname": case.alert, "alertstate": "firing"}
    query = f'ALERTS{{alertname=~"{case.alert}",alertstate="firing"}}'
    samples = [{"labels": series_of(firing | labels), "value": 1} for labels in case.firing]
    return {
        "interval": "1m",
        # Samples after the query change nothing, and take most of the time.
        "input_series": [
            {"series": series, "values": values.replace("x2000", f"x{case.minutes}")}
            for series, values in case.series.items()
        ],
        "promql_expr_test": [{"expr": query, "eval_time": f"{case.minutes}m", "exp_samples": samples}],
    }


def series_of(labels: dict[str, str]) -> str:
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
