"""The justfile: formatted, documented, and a deployment that checks its preconditions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
JUST = Path(sys.executable).parent / "just"
KUBECTL = shutil.which("kubectl")
RECIPES = [
    "default",
    "setup",
    "dev",
    "test",
    "check",
    "format",
    "screenshots",
    "fuzz",
    "thorough",
    "phone-numbers",
    "test-pgbouncer",
    "test-redis",
    "bench",
    "bench-peers",
    "load",
    "ceiling",
    "limits",
    "instructions",
    "profile",
    "scale",
    "soak",
    "fraud",
    "audit-runs",
    "audit",
    "webhooks",
    "webhook-kills",
    "chaos",
    "failover",
    "rolling",
    "redis-failover",
    "fleet",
    "coverage",
    "lock",
    "oidc-clients",
    "openapi",
    "migrate",
    "k8s-validate",
    "deploy",
    "alerts",
    "clean",
]


def just(*arguments: str, environ: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [JUST, "--justfile", ROOT / "justfile", *arguments], env=environ, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def recipes() -> dict[str, Any]:
    found = json.loads(just("--dump", "--dump-format", "json").stdout)["recipes"]
    assert isinstance(found, dict)
    return found


def test_justfile_is_formatted() -> None:
    done = just("--fmt", "--check", "--unstable")
    assert (done.returncode, done.stdout) == (0, "")


def test_every_recipe_exists_and_is_documented(recipes: dict[str, Any]) -> None:
    assert sorted(recipes) == sorted(RECIPES)
    assert [name for name, recipe in recipes.items() if not recipe["doc"]] == []


def test_just_without_arguments_lists_the_recipes() -> None:
    done = just()
    assert done.returncode == 0
    assert [name for name in RECIPES if f" {name}" not in done.stdout] == []


def test_every_recipe_can_be_evaluated() -> None:
    for name in RECIPES:
        assert just("--dry-run", name).returncode == 0, name


def test_lock_writes_all_requirements_files(recipes: dict[str, Any]) -> None:
    lines = just("--dry-run", "lock").stderr.splitlines()
    made = {Path(line.split(" -o ")[1]): line for line in lines}
    peers = made.pop(Path("bench/peers/requirements.txt"))
    assert peers.startswith(".venv/bin/uv pip compile bench/peers/requirements.in --universal --generate-hashes")
    assert made.keys() == {file.relative_to(ROOT) for file in (ROOT / "requirements").iterdir()}
    for name, line in ((file.name, line) for file, line in made.items()):
        group = "" if name == "serve.txt" else f"--group {name.removesuffix('.txt')} "
        extra = "" if name == "dev.txt" else "--extra sns --extra redis --extra tracing "
        assert line.startswith(f".venv/bin/uv pip compile pyproject.toml {group}{extra}--universal --generate-hashes")


# --- deploy, with a stand-in for kubectl: it renders manifests as the real one does, and only writes down the rest


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose `kubectl` records its calls.

    Files in the folder change its answers: `secret` (it exists), `active` (a migration runs), `broken` (manifests are
    rejected), `failed` (the Job fails).
    """
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
[ "$1" = kustomize ] && exec {KUBECTL} "$@"
cd {tmp_path}
echo "$*" | sed 's#--filename [^ ]*#--filename FILE#' >> calls
case "$*" in
    "config current-context") echo a-cluster ;;
    "get secret auth1-secrets") test -e secret ;;
    "get job"*active*) if test -e active; then echo 1; fi ;;
    "get job"*conditions*) if test -e failed; then echo Failed; else echo SuccessCriteriaMet Complete; fi ;;
    "logs "*check*) echo "FAIL  database: PostgreSQL is unavailable" ;;
    "apply --dry-run"*) test ! -e broken ;;
esac
"""
    )
    program.chmod(0o755)
    (tmp_path / "secret").touch()
    return os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


NOT_VALIDATED = {"PYTHON": "true"}  # the validation takes longer than all the rest

DELETE = "delete job auth1-migrate --ignore-not-found"
SERVER_DRY_RUN = "apply --dry-run=server --filename FILE"
FIRST_STEP = "apply --filename FILE --selector deploy=before-rollout"
ALL_STEPS = [
    DELETE,
    SERVER_DRY_RUN,
    FIRST_STEP,
    "apply --filename FILE",
    "rollout status deployment/auth1 --timeout=10m",
]


def changes(folder: Path) -> list[str]:
    """Return the calls that changed the cluster or waited for it."""
    reads = ("config ", "get ", "logs ")
    return [call for call in (folder / "calls").read_text().splitlines() if not call.startswith(reads)]


def test_deploy_prints_its_plan_migrates_and_applies_it(cluster: dict[str, str], tmp_path: Path) -> None:
    done = just("deploy", environ=cluster | NOT_VALIDATED)
    assert done.returncode == 0, done.stderr
    assert "context a-cluster, namespace default:" in done.stdout
    for name in ("Deployment auth1", "HorizontalPodAutoscaler auth1", "Ingress auth1-ingress", "Job auth1-migrate"):
        assert f"  {name}\n" in done.stdout
    assert changes(tmp_path) == ALL_STEPS


@pytest.mark.parametrize(
    ("state", "message", "steps"),
    [
        ("no secret", "there is no secret auth1-secrets", 0),
        ("active", "another deployment is running", 0),
        ("broken", "the cluster rejects the manifests", 2),
        ("failed", "The Job auth1-migrate failed. The running version was not changed.", 3),
    ],
)
def test_deploy_stops_before_the_rollout(
    cluster: dict[str, str], tmp_path: Path, state: str, message: str, steps: int
) -> None:
    (tmp_path / state).touch()
    if state == "no secret":
        (tmp_path / "secret").unlink()
    done = just("deploy", "prod", environ=cluster | NOT_VALIDATED)
    assert done.returncode == 1
    assert message in done.stderr
    assert changes(tmp_path) == ALL_STEPS[:steps]
    assert ("FAIL  database" in done.stdout) is (state == "failed")


def test_dry_run_prints_valid_manifests_and_uses_no_cluster(cluster: dict[str, str], tmp_path: Path) -> None:
    done = just("deploy", "prod", "--dry-run", environ=cluster)
    assert done.returncode == 0, done.stderr
    assert "resources are valid for Kubernetes" in done.stderr
    kinds = {item["kind"] for item in yaml.safe_load_all(done.stdout)}
    assert {"Deployment", "Job", "NetworkPolicy", "ServiceMonitor", "PrometheusRule"} <= kinds
    assert not (tmp_path / "calls").exists()


@pytest.mark.parametrize(
    ("arguments", "message"), [(["staging"], "There is no overlay"), (["--dryrun"], "Unknown option --dryrun")]
)
def test_deploy_rejects_unknown_arguments(arguments: list[str], message: str, cluster: dict[str, str]) -> None:
    done = just("deploy", *arguments, environ=cluster)
    assert done.returncode == 2
    assert message in done.stderr


def test_deploy_rejects_invalid_manifests(cluster: dict[str, str], tmp_path: Path) -> None:
    program = tmp_path / "kubectl"
    misspelled = f'{{ {KUBECTL} "$@" | sed s/maxSurge/maxSurg/; exit; }}'
    program.write_text(program.read_text().replace(f'exec {KUBECTL} "$@"', misspelled))
    done = just("deploy", environ=cluster)
    assert done.returncode == 1
    assert "invalid: Deployment auth1: Kubernetes 1.37.0: spec.strategy.rollingUpdate" in done.stderr
    assert not (tmp_path / "calls").exists()
