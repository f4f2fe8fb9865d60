"""The Job that checks and migrates before a rollout, and the monitoring of ops/k8s. No cluster is used."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from auth1 import metrics
from auth1.__main__ import parser
from tests.ops.grafana import RULES, needs_promtool, promtool
from tests.ops.kubernetes import FOLDERS, ROOT, container, needs_kubectl, pod, resource, resources
from tests.ops.prometheus_rule import RULE, render

pytestmark = needs_kubectl


def job_containers(folder: str) -> dict[str, dict[str, Any]]:
    job = resource(folder, "Job", "auth1-migrate")["spec"]["template"]["spec"]
    return {item["name"]: item for item in (*job["initContainers"], *job["containers"])}


@pytest.mark.parametrize("folder", FOLDERS)
def test_job_checks_then_migrates_with_the_image_and_settings_of_the_pods(folder: str) -> None:
    containers = job_containers(folder)
    assert {name: item["args"] for name, item in containers.items()} == {
        "check": ["doctor", "--before-deploy"],
        "migrate": ["migrate"],
    }
    for name, item in containers.items():
        assert parser().parse_args(item["args"]).command == item["args"][0]
        for field in ("image", "env", "envFrom", "resources", "securityContext", "volumeMounts"):
            assert item[field] == container(folder)[field], (name, field)


def test_pods_of_the_job_have_minimal_privileges() -> None:
    job = resource("base", "Job", "auth1-migrate")["spec"]["template"]["spec"]
    for field in ("securityContext", "automountServiceAccountToken", "enableServiceLinks", "volumes"):
        assert job[field] == pod("base")[field]


def test_network_policy_of_the_job_allows_no_ingress_and_the_same_egress() -> None:
    policy = resource("base", "NetworkPolicy", "auth1-migrate")["spec"]
    assert (policy["ingress"], policy["policyTypes"]) == ([], ["Ingress", "Egress"])
    assert policy["egress"] == resource("base", "NetworkPolicy", "auth1")["spec"]["egress"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_first_step_of_a_deployment_applies_the_job_and_what_it_needs(folder: str) -> None:
    first = {
        item["kind"]: item["metadata"]["name"]
        for item in resources(folder)
        if item["metadata"]["labels"].get("deploy") == "before-rollout"
    }
    config = first.pop("ConfigMap")  # its name ends in a hash
    assert first == {"Job": "auth1-migrate", "NetworkPolicy": "auth1-migrate"}
    assert config == job_containers(folder)["migrate"]["envFrom"][0]["configMapRef"]["name"]


# --- monitoring


def test_alerts_of_the_operator_are_those_of_the_rules_file() -> None:
    assert RULE.read_text() == render(), "just alerts"
    assert resource("overlays/prod", "PrometheusRule", "auth1")["spec"] == RULES


def test_monitor_scrapes_the_pods_by_one_port_and_no_annotations() -> None:
    monitor = resource("overlays/prod", "ServiceMonitor", "auth1")["spec"]
    (endpoint,) = monitor["endpoints"]
    services = [item for item in resources("overlays/prod") if item["kind"] == "Service"]
    ports = [
        (item["metadata"]["name"], port["targetPort"])
        for item in services
        if monitor["selector"]["matchLabels"].items() <= item["metadata"]["labels"].items()
        for port in item["spec"]["ports"]
        if port["name"] == endpoint["port"]
    ]
    assert ports == [("auth1-service", container("overlays/prod")["ports"][0]["name"])]
    annotations = resource("overlays/prod", "Deployment", "auth1")["spec"]["template"]["metadata"].get("annotations")
    assert not annotations
    assert endpoint["path"] == "/metrics"


def test_autoscaler_uses_the_metric_of_the_adapter_and_the_cpu() -> None:
    adapter = yaml.safe_load((ROOT / "ops/k8s/prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    requests, cpu = resource("overlays/prod", "HorizontalPodAutoscaler", "auth1")["spec"]["metrics"]
    assert requests["pods"]["metric"]["name"] == rule["name"]["as"]
    assert cpu["resource"]["name"] == "cpu"
    (described,) = metrics.HTTP_REQUESTS.collector.describe()
    assert rule["seriesQuery"].startswith(f"{described.name}_total{{")


@needs_promtool
def test_adapter_counts_the_requests_of_each_pod_without_probes_and_scrapes(tmp_path: Path) -> None:
    """The query as the adapter fills it in for the pods of a namespace, on samples of two pods."""
    adapter = yaml.safe_load((ROOT / "ops/k8s/prometheus-adapter.yaml").read_text())
    (rule,) = adapter["rules"]["custom"]
    query = rule["metricsQuery"]
    for name, value in {
        "Series": "auth1_http_requests_total",
        "LabelMatchers": 'namespace="default",pod=~"a|b"',
        "GroupBy": "pod",
    }.items():
        query = query.replace(f"<<.{name}>>", value)
    series = {("a", "/api/auth/request"): 600, ("a", "/health/ready"): 60, ("b", "/api/auth/verify"): 120}
    series |= {("b", "/metrics"): 60, ("other", "/api/auth/verify"): 60}
    test = {
        "tests": [
            {
                "interval": "1m",
                "input_series": [
                    {
                        "series": f'auth1_http_requests_total{{namespace="default",pod="{name}",route="{route}"}}',
                        "values": f"0+{step}x5",
                    }
                    for (name, route), step in series.items()
                ],
                "promql_expr_test": [
                    {
                        "expr": query,
                        "eval_time": "5m",
                        "exp_samples": [
                            {"labels": '{pod="a"}', "value": 10},
                            {"labels": '{pod="b"}', "value": 2},
                        ],
                    }
                ],
            }
        ]
    }
    file = tmp_path / "adapter.yaml"
    file.write_text(yaml.safe_dump(test))
    promtool("test", "rules", file)
