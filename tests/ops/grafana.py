"""The dashboard and the alert rules of ops/grafana, a parser of their expressions, and promtool."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram
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
    """A metric of an expression with its matchers: label, operator, value."""

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
    """Return the names of all series of auth1/metrics.py with their labels."""
    series: dict[str, set[str]] = {"up": set()}  # Prometheus' own: whether the last scrape worked
    for value in vars(metrics).values():
        collector = value.collector if isinstance(value, metrics.Labelled) else value
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
    """Return the metrics of an expression, without functions, keywords and grouping labels."""
    rest = re.sub(r"\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)", " ", expression)
    found = []
    for match in re.finditer(r'"[^"]*"|\[[^\]]*\]|\b\d\w*|([a-zA-Z_:][\w:]*)\s*(\{[^}]*\})?(\s*\()?', rest):
        name, braces, call = match.groups()
        if name and not call and name not in ("and", "or", "unless", "offset", "bool"):
            found.append(Selector(name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', braces or "")))
    return found


def groupings(expression: str) -> list[tuple[set[str], list[Selector]]]:
    """Return the labels of each aggregation with the metrics inside it; joins apply to all metrics."""
    found = []
    for match in re.finditer(r"\b(by|without|on|ignoring)\s*\(([^)]*)\)\s*(\()?", expression):
        keyword, labels, parenthesis = match.groups()
        inside = expression
        if keyword in ("by", "without"):
            assert parenthesis, "write the grouping before the parenthesis, so that this test finds its metrics"
            inside = parenthesised(expression[match.end() - 1 :])
        found.append(({label.strip() for label in labels.split(",")}, selectors(inside)))
    return found


def parenthesised(text: str) -> str:
    """Return the text up to the parenthesis that closes its first one."""
    depth = 0
    for position, sign in enumerate(text):
        depth += {"(": 1, ")": -1}.get(sign, 0)
        if depth == 0:
            return text[: position + 1]
    raise AssertionError(f"not closed: {text}")


def promtool(*arguments: str | Path) -> None:
    assert PROMTOOL is not None
    done = subprocess.run([PROMTOOL, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
