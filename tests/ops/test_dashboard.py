"""ops/grafana: every query uses existing metrics and labels, and the dashboard is complete.

Without promtool, Prometheus' own checker, names and labels are still checked. Grafana itself is not run.
"""

import functools
import re
from itertools import combinations
from pathlib import Path

import yaml
from prometheus_client import REGISTRY

from tests.ops.grafana import (
    DASHBOARD,
    EXPRESSIONS,
    GRAFANA,
    ROOT,
    SERIES,
    TARGET_LABELS,
    Selector,
    dashboard_expressions,
    groupings,
    needs_promtool,
    promtool,
    selectors,
)
from tests.support.each import each


def test_every_metric_is_found() -> None:
    assert {f"{name}_bucket" for name in ("auth1_http_request_duration_seconds",)} <= SERIES.keys()
    assert {"auth1_http_requests_total", "auth1_redis_up"} <= SERIES.keys()
    registered = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("auth1_")}
    assert registered == {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in SERIES} - {"up"}


def test_expressions_are_parsed_correctly() -> None:
    expression = 'sum by (le, a) (rate(x_total{a="b",c=~"d|e"}[5m] offset 1h)) / on (f) y and z{} > 2e3'
    assert selectors(expression) == [
        Selector("x_total", [("a", "=", "b"), ("c", "=~", "d|e")]),
        Selector("y", []),
        Selector("z", []),
    ]
    (first, inside), (second, everything) = groupings(expression)
    assert (first, [selector.metric for selector in inside]) == ({"le", "a"}, ["x_total"])
    assert (second, [selector.metric for selector in everything]) == ({"f"}, ["x_total", "y", "z"])


@each("expression", EXPRESSIONS)
def test_every_metric_and_label_of_an_expression_exists(expression: str) -> None:
    found = selectors(expression)
    assert found != []
    for selector in found:
        assert selector.metric in SERIES
        assert {label for label, _, _ in selector.matchers} <= SERIES[selector.metric] | TARGET_LABELS
    for labels, inside in groupings(expression):
        for selector in inside:
            assert labels <= SERIES[selector.metric] | TARGET_LABELS


@functools.cache
def literals() -> set[str]:
    """Return the words of the code that are quoted."""
    return {
        literal
        for file in [*(ROOT / "auth1").rglob("*.py"), *(ROOT / "sql").rglob("*.sql")]
        for literal in re.findall(r"[\"']([a-z_.]+)[\"']", file.read_text())
    }


@each("expression", EXPRESSIONS)
def test_every_label_value_of_an_expression_exists_in_the_code(expression: str) -> None:
    values = {
        value
        for selector in selectors(expression)
        for label, operator, value in selector.matchers
        if operator in ("=", "!=") and label not in TARGET_LABELS
    }
    assert values <= literals()


def test_every_metric_is_on_the_dashboard() -> None:
    shown = {re.sub(r"_(bucket|sum|count)$", "", s.metric) for e in dashboard_expressions() for s in selectors(e)}
    all_names = {re.sub(r"_(bucket|sum|count)$", "", name) for name in SERIES} - {"up"}
    assert all_names - shown == set()


@needs_promtool
def test_prometheus_parses_every_dashboard_query(tmp_path: Path) -> None:
    plain = [expression.replace("$__rate_interval", "5m") for expression in dashboard_expressions()]
    rules = [{"record": f"panel:{number}", "expr": expression} for number, expression in enumerate(plain)]
    (tmp_path / "panels.yaml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", tmp_path / "panels.yaml")


def test_dashboard_has_the_classic_schema_and_a_datasource_variable() -> None:
    assert DASHBOARD["schemaVersion"] == 39
    assert "id" not in DASHBOARD  # Grafana gives it
    assert DASHBOARD["uid"] == "auth1"
    (datasource,) = [item for item in DASHBOARD["templating"]["list"] if item["type"] == "datasource"]
    assert datasource["query"] == "prometheus"
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    sources = [item["datasource"]["uid"] for panel in panels for item in [panel, *panel["targets"]]]
    assert set(sources) == {f"${{{datasource['name']}}}"}


def test_dashboard_has_four_rows() -> None:
    rows = [panel["title"] for panel in DASHBOARD["panels"] if panel["type"] == "row"]
    assert rows == ["Traffic", "Login funnel", "Fraud", "Resources"]


def test_panels_have_unique_ids_titles_descriptions_and_no_overlap() -> None:
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


def test_provisioning_refers_to_the_dashboards_and_prometheus() -> None:
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert (source["type"], source["url"]) == ("prometheus", "${PROMETHEUS_URL}")
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/auth1.yaml").read_text())["providers"]
    assert (provider["type"], provider["allowUiUpdates"]) == ("file", False)
