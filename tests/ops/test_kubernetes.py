"""ops/k8s: built by kustomize, validated against the schemas of Kubernetes, and as documented.

No cluster is used: these tests do not apply the manifests.
"""

import ipaddress
import tomllib

import pytest

from auth1.config.settings import SECRETS, load_settings
from auth1.core.processes.supervisor import KILL_AFTER_S
from tests.ops.grafana import needs_promtool
from tests.ops.kubernetes import FOLDERS, ROOT, WORKLOADS, build, container, needs_kubectl, pod, resource, resources
from tests.ops.manifests import VERSIONS, problems

pytestmark = needs_kubectl


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_resource_is_valid(folder: str) -> None:
    assert problems(build(folder)) == []


@pytest.mark.parametrize(
    ("original", "changed", "kind"),
    [
        ("maxUnavailable: 1", "maxUnavailabel: 1", "PodDisruptionBudget"),
        ("replicas: 3", "replicas: three", "Deployment"),
        ("kind: Ingress", "kind: Ingres", "Ingres"),
        ("interval: 15s", "interval: 15", "ServiceMonitor"),
        ("scrapeTimeout: 10s", "scrapeTimout: 10s", "ServiceMonitor"),
        ("for: 2m", "for: 2 minutes", "PrometheusRule"),
        ("kind: ServiceMonitor", "kind: PodMonitor", "PodMonitor"),
        pytest.param("absent(auth1_build_info)", "absent(auth1_build_info", "PrometheusRule", marks=needs_promtool),
    ],
)
def test_invalid_resource_is_found(original: str, changed: str, kind: str) -> None:
    whole = build("base") + "---\n" + build("overlays/prod")
    (resource, *_) = [part for part in whole.split("---\n") if original in part]
    found = problems(resource.replace(original, changed), VERSIONS[:1])
    assert found != []
    assert all(line.startswith(f"{kind} ") for line in found), found


def test_names_and_replicas_are_as_documented() -> None:
    assert resource("base", "Deployment", "auth1")["spec"]["replicas"] == 3
    assert resource("base", "Service", "auth1-service")["spec"]["ports"][0]["port"] == 80
    assert resource("base", "Ingress", "auth1-ingress")["metadata"]["annotations"] == {
        "cert-manager.io/cluster-issuer": "letsencrypt-prod"
    }
    assert container("base")["image"] == "auth1/auth1-server:latest"
    assert container("base")["resources"] == {
        "requests": {"memory": "128Mi", "cpu": "100m"},
        "limits": {"memory": "256Mi", "cpu": "500m"},
    }


def test_documented_secret_is_sufficient() -> None:
    references = {item["name"]: item["valueFrom"]["secretKeyRef"] for item in container("base")["env"]}
    assert {reference["name"] for reference in references.values()} == {"auth1-secrets"}
    required = {name: item["key"] for name, item in references.items() if not item.get("optional")}
    assert required == {"DATABASE_URL": "database-url", "REDIS_URL": "redis-url", "JWT_SECRET": "jwt-secret"}
    # One rule for all keys, and no variable that Auth1 does not read as a secret or an account.
    assert all(item["key"] == name.lower().replace("_", "-") for name, item in references.items())
    accounts = {"TWILIO_ACCOUNT_SID", "TWILIO_MESSAGING_SERVICE_SID", "EMAIL_FROM"}
    aws = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}
    assert references.keys() == SECRETS | accounts | aws


@pytest.mark.parametrize("folder", FOLDERS)
def test_pod_settings_are_a_valid_configuration(folder: str) -> None:
    environ = resource(folder, "ConfigMap", "auth1-config")["data"] | {
        "DATABASE_URL": "postgresql://auth1:pass@db:5432/auth1_db",
        "REDIS_URL": "redis://redis:6379",
        "JWT_SECRET": "0" * 64,
    }
    settings = load_settings(environ)
    (host,) = resource(folder, "Ingress", "auth1-ingress")["spec"]["tls"][0]["hosts"]
    assert settings.app_url == f"https://{host}"
    assert all(network.version == 4 and network.is_private for network in settings.trusted_proxies)
    assert ipaddress.ip_network("0.0.0.0/0") not in settings.trusted_proxies


def test_production_lists_its_web_origins() -> None:
    assert "*" not in resource("overlays/prod", "ConfigMap", "auth1-config")["data"]["CORS_ORIGINS"]


def test_metrics_are_rejected_at_the_ingress() -> None:
    (rule,) = resource("base", "Ingress", "auth1-ingress")["spec"]["rules"]
    backends = {path["path"]: path["backend"]["service"]["name"] for path in rule["http"]["paths"]}
    assert backends == {"/metrics": "auth1-closed", "/": "auth1-service"}
    (closed,) = resource("base", "Service", "auth1-closed")["spec"]["ports"]
    assert closed["targetPort"] not in {port["containerPort"] for port in container("base")["ports"]}


def test_each_probe_requests_its_health_path() -> None:
    only = container("base")
    paths = {kind: only[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    assert paths == {"startup": "/health/live", "liveness": "/health/live", "readiness": "/health/ready"}


def test_termination_grace_period_exceeds_the_shutdown_timeout() -> None:
    sleep = container("base")["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod("base")["terminationGracePeriodSeconds"] > sleep + KILL_AFTER_S


@pytest.mark.parametrize("folder", FOLDERS)
def test_pod_has_minimal_privileges(folder: str) -> None:
    assert pod(folder)["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert container(folder)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert pod(folder)["automountServiceAccountToken"] is False
    assert [mount["mountPath"] for mount in container(folder)["volumeMounts"]] == ["/tmp"]


def test_every_selector_matches_the_pods() -> None:
    for folder in FOLDERS:
        pods = {name: pod_labels(folder, kind, name) for kind, name in WORKLOADS.items()}
        for item in resources(folder):
            selector = item.get("spec", {}).get("selector") or item.get("spec", {}).get("podSelector")
            if selector is not None and item["kind"] != "ServiceMonitor":
                selected = selector.get("matchLabels", selector).items()
                wanted = "auth1-migrate" if item["metadata"]["name"] == "auth1-migrate" else "auth1"
                assert [name for name, labels in pods.items() if selected <= labels.items()] == [wanted], item["kind"]


def pod_labels(folder: str, kind: str, name: str) -> dict[str, str]:
    labels = resource(folder, kind, name)["spec"]["template"]["metadata"]["labels"]
    assert isinstance(labels, dict)
    return labels


def test_production_autoscales_from_three_replicas() -> None:
    scaler = resource("overlays/prod", "HorizontalPodAutoscaler", "auth1")["spec"]
    assert scaler["minReplicas"] == 3
    assert "replicas" not in resource("overlays/prod", "Deployment", "auth1")["spec"]


def test_database_connections_suffice_at_full_scale_during_a_rollout() -> None:
    scaler = resource("overlays/prod", "HorizontalPodAutoscaler", "auth1")["spec"]
    surge = resource("overlays/prod", "Deployment", "auth1")["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
    settings = load_settings({"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://r", "JWT_SECRET": "0" * 64})
    reserved = 3  # PostgreSQL's superuser_reserved_connections
    assert (scaler["maxReplicas"] + surge) * settings.database_pool_size <= 200 - reserved


def test_production_pods_spread_over_nodes_and_zones() -> None:
    keys = [item["topologyKey"] for item in pod("overlays/prod")["topologySpreadConstraints"]]
    assert keys == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]


def test_production_runs_the_version_of_these_sources() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert container("overlays/prod")["image"].endswith(f":{version}")


@pytest.mark.parametrize("folder", FOLDERS)
def test_network_policy_admits_only_the_ingress_and_prometheus(folder: str) -> None:
    policy = resource(folder, "NetworkPolicy", "auth1")["spec"]
    labels = resource(folder, "Deployment", "auth1")["spec"]["template"]["metadata"]["labels"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    (rule,) = policy["ingress"]
    namespaces = [peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in rule["from"]]
    assert namespaces == ["ingress-nginx", "monitoring"]
    assert rule["ports"] == [{"protocol": "TCP", "port": container(folder)["ports"][0]["name"]}]


def test_network_policy_allows_the_required_egress() -> None:
    rules = resource("base", "NetworkPolicy", "auth1")["spec"]["egress"]
    allowed = {(item["protocol"], item["port"]) for rule in rules for item in rule["ports"]}
    dns = {("UDP", 53), ("TCP", 53)}
    assert allowed == dns | {("TCP", port) for port in (5432, 6379, 443, 587, 465)}
