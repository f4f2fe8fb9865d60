"""ops/grafana: every query names metrics and labels that Auth1 has, and the alerts fire when they should.

Without promtool, Prometheus' own checker, names and labels are still checked. Grafana itself is not run.
"""

import json
import re
import shutil
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from prometheus_client import REGISTRY, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from auth1 import metrics

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "ops/grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards/auth1.json").read_text())
RULES = yaml.safe_load((GRAFANA / "alerts.yaml").read_text())
TARGET_LABELS = {"instance", "job"}  # Prometheus adds them to every sample
PROMTOOL = shutil.which("promtool")
needs_promtool = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")


class Selector(NamedTuple):
    """A metric as an expression names it, with its matchers: label, operator, value."""

    metric: str
    matchers: list[tuple[str, str, str]]


def alert_expressions() -> list[str]:
    return [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]


def variable_queries() -> list[str]:
    queries = [item["query"]["query"] for item in DASHBOARD["templating"]["list"] if item["type"] == "query"]
    return [re.sub(r"^label_values\((\w+), *(\w+)\)$", r"count by (\2) (\1)", query) for query in queries]


EXPRESSIONS = [*alert_expressions(), *dashboard_expressions(), *variable_queries()]


def known_series() -> dict[str, set[str]]:
    """The names of all series that auth1/metrics.py makes, each with its labels."""
    series: dict[str, set[str]] = {"up": set()}  # Prometheus' own: whether the last scrape worked
    for collector in vars(metrics).values():
        if not isinstance(collector, MetricWrapperBase):
            continue
        (metric,) = collector.describe()
        labels = set(collector._labelnames)
        if isinstance(collector, Counter):
            series[f"{metric.name}_total"] = labels
        elif isinstance(collector, Histogram):
            series |= {f"{metric.name}_{part}": labels for part in ("sum", "count")}
            series[f"{metric.name}_bucket"] = labels | {"le"}
        else:
            assert isinstance(collector, Gauge)
            series[metric.name] = labels
    return series


SERIES = known_series()


def selectors(expression: str) -> list[Selector]:
    """Find the metrics in an expression: names that are no function, no keyword and no label of a grouping."""
    rest = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    found = []
    for match in re.finditer(r'"[^"]*"|\[[^\]]*\]|\b\d\w*|([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?', rest):
        name, braces, call = match.groups()
        if name and not call and name not in ("and", "or", "unless", "offset", "bool"):
            found.append(Selector(name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', braces or "")))
    return found


def groupings(expression: str) -> set[str]:
    """The labels by which an expression groups or joins."""
    found = re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", expression)
    return {label.strip() for labels in found for label in labels.split(",")}


def test_every_collector_is_found() -> None:
    assert {f"{name}_bucket" for name in ("auth1_http_request_duration_seconds",)} <= SERIES.keys()
    assert {"auth1_http_requests_total", "auth1_redis_up"} <= SERIES.keys()
    registered = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("auth1_")}
    assert registered == {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in SERIES} - {"up"}


def test_expressions_are_taken_apart_rightly() -> None:
    expression = 'sum by (le, a) (rate(x_total{a="b",c=~"d|e"}[5m] offset 1h)) / on (f) y and z{} > 2e3'
    assert selectors(expression) == [
        Selector("x_total", [("a", "=", "b"), ("c", "=~", "d|e")]),
        Selector("y", []),
        Selector("z", []),
    ]
    assert groupings(expression) == {"le", "a", "f"}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_of_an_expression_exists_and_has_the_labels_that_it_asks_for(expression: str) -> None:
    found = selectors(expression)
    assert found != []
    for selector in found:
        assert selector.metric in SERIES
        assert {label for label, _, _ in selector.matchers} <= SERIES[selector.metric] | TARGET_LABELS
        assert groupings(expression) <= SERIES[selector.metric] | TARGET_LABELS


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_value_that_an_expression_asks_for_is_one_that_the_code_gives(expression: str) -> None:
    literals = {
        literal
        for file in [*(ROOT / "auth1").rglob("*.py"), *(ROOT / "sql").rglob("*.sql")]
        for literal in re.findall(r"[\"']([a-z_]+)[\"']", file.read_text())
    }
    values = {
        value
        for selector in selectors(expression)
        for label, operator, value in selector.matchers
        if operator in ("=", "!=") and label not in TARGET_LABELS
    }
    assert values <= literals


def test_every_metric_of_traffic_funnel_and_resources_is_on_the_dashboard() -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", s.metric) for e in dashboard_expressions() for s in selectors(e)}
    all_names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES} - {"up"}
    assert all_names - shown == set()


# --- the dashboard


def test_the_dashboard_is_in_the_classic_form_with_its_datasource_as_a_variable() -> None:
    assert DASHBOARD["schemaVersion"] == 39
    assert "id" not in DASHBOARD  # Grafana gives it
    assert DASHBOARD["uid"] == "auth1"
    (datasource,) = [item for item in DASHBOARD["templating"]["list"] if item["type"] == "datasource"]
    assert datasource["query"] == "prometheus"
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    sources = [item["datasource"]["uid"] for panel in panels for item in [panel, *panel["targets"]]]
    assert set(sources) == {f"${{{datasource['name']}}}"}


def test_the_dashboard_has_the_three_rows() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Traffic", "Login funnel", "Resources"]


def test_panels_have_ids_of_their_own_titles_descriptions_and_do_not_overlap() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert [panel["title"] for panel in panels if not panel["title"]] == []
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel["description"]] == []
    for one, other in combinations(panels, 2):
        assert not overlap(one["gridPos"], other["gridPos"]), (one["title"], other["title"])
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in panels)


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    across = one["x"] < other["x"] + other["w"] and other["x"] < one["x"] + one["w"]
    return across and one["y"] < other["y"] + other["h"] and other["y"] < one["y"] + one["h"]


def test_provisioning_points_at_the_dashboards_and_at_prometheus() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/auth1.yaml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)


# --- the alerts


def test_every_alert_says_how_bad_it_is_and_what_it_means() -> None:
    for group in RULES["groups"]:
        for rule in group["rules"]:
            assert rule["labels"]["severity"] in ("warning", "critical")
            assert rule["annotations"].keys() == {"summary", "description"}


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_prometheus_accepts_the_rules() -> None:
    promtool("check", "rules", GRAFANA / "alerts.yaml")


@needs_promtool
def test_prometheus_can_parse_every_query_of_the_dashboard(tmp_path: Path) -> None:
    plain = [expression.replace("$__rate_interval", "5m") for expression in dashboard_expressions()]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "panels.yaml")


class Case(NamedTuple):
    """Samples, one a minute, and what of an alert (a regular expression) fires after so many minutes: its labels."""

    alert: str
    series: dict[str, str]
    minutes: int
    firing: list[dict[str, str]]


def of(metric: str, **labels: str) -> str:
    """Name a series of the one instance that the cases have."""
    pairs = ",".join(f'{name}="{value}"' for name, value in (labels | TARGET).items())
    return f"{metric}{{{pairs}}}"


TARGET = {"instance": "a", "job": "auth1"}
UP, BUILD_INFO, REDIS_UP = of("up"), of("auth1_build_info", version="1"), of("auth1_redis_up")
POSTGRES_ERRORS, POOL_IN_USE = of("auth1_postgres_errors_total"), of("auth1_postgres_pool_in_use")
UNAVAILABLE = of("auth1_http_requests_total", method="POST", route="/api/auth/request", status="503")
CODES = of("auth1_code_requests_total", channel="sms", outcome="opened")
BLOCKED = of("auth1_fraud_decisions_total", decision="block", reason="voip")
TAKEN = of("auth1_messages_total", provider="twilio", outcome="sent")
NOT_TAKEN = of("auth1_messages_total", provider="twilio", outcome="transient")
UNDELIVERED = of("auth1_deliveries_total", provider="twilio", state="failed")
UNREPORTED = of("auth1_deliveries_total", provider="twilio", state="unknown")
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
    TAKEN: "0+97x2000",
    NOT_TAKEN: "0+3x2000",
    of("auth1_deliveries_total", provider="twilio", state="delivered"): "0+95x2000",
    UNDELIVERED: "0+1x2000",
    of("auth1_messages_total", provider="sandbox", outcome="unknown"): "0+50x2000",
}
CRITICAL, WARNING = {"severity": "critical"}, {"severity": "warning"}
BY_TWILIO = CRITICAL | {"provider": "twilio"}
ANOTHER_TARGET = {'up{instance="b",job="c"}': "0x99"}  # it is down too, and is not Auth1
SICK = [
    Case("Auth1Gone", {}, 5, [CRITICAL]),
    Case("Auth1InstanceDown", ALL_OK | {UP: "1x9 0x99", BUILD_INFO: "1x9"} | ANOTHER_TARGET, 20, [WARNING | TARGET]),
    Case("Auth1DatabaseAway", ALL_OK | {POSTGRES_ERRORS: "0x9 1+9x99"}, 20, [CRITICAL | {"instance": "a"}]),
    Case("Auth1RedisDown", ALL_OK | {REDIS_UP: "1x9 0x99"}, 20, [WARNING | TARGET]),
    Case("Auth1ServerErrors", ALL_OK | {UNAVAILABLE: "0+3x99"}, 20, [CRITICAL]),
    Case("Auth1CodeRequestSpike", ALL_OK | {CODES: "0+60x1440 86460+300x99"}, 1470, [WARNING]),
    Case("Auth1BlockRate", ALL_OK | {BLOCKED: "0+6x99"}, 40, [WARNING]),
    Case("Auth1Delivery", ALL_OK | {NOT_TAKEN: "0+6x99"}, 40, [BY_TWILIO]),
    Case("Auth1Delivery", ALL_OK | {UNDELIVERED: "0+3x99"}, 40, [BY_TWILIO]),
    Case("Auth1Delivery", ALL_OK | {UNREPORTED: "0+2x99"}, 40, [BY_TWILIO]),
    # A provider that never took anything has no series "sent" at all.
    Case("Auth1Delivery", {name: samples for name, samples in ALL_OK.items() if name != TAKEN}, 40, [BY_TWILIO]),
    Case("Auth1PoolNearlyFull", ALL_OK | {POOL_IN_USE: "17x99"}, 20, [WARNING | TARGET]),
]
NAMES = [rule["alert"] for group in RULES["groups"] for rule in group["rules"]]
WELL = [Case(".+", ALL_OK, minutes, []) for minutes in (40, 1470)]


@needs_promtool
def test_each_alert_fires_when_it_should_and_only_then(tmp_path: Path) -> None:
    assert {case.alert for case in SICK} == set(NAMES)
    file = tmp_path / "test.yaml"
    file.write_text(
        yaml.safe_dump({"rule_files": [str(GRAFANA / "alerts.yaml")], "tests": [as_test(c) for c in SICK + WELL]})
    )
    promtool("test", "rules", file)


def as_test(case: Case) -> dict[str, Any]:
    """Put a case into promtool's words. ALERTS is asked, not the alert: texts are for people and not compared."""
    firing = {"alertname": case.alert, "alertstate": "firing"}
    query = f'ALERTS{{alertname=~"{case.alert}",alertstate="firing"}}'
    samples = [{"labels": series_of(firing | labels), "value": 1} for labels in case.firing]
    return {
        "interval": "1m",
        "input_series": [{"series": series, "values": values} for series, values in case.series.items()],
        "promql_expr_test": [{"expr": query, "eval_time": f"{case.minutes}m", "exp_samples": samples}],
    }


def series_of(labels: dict[str, str]) -> str:
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in labels.items()) + "}"
