"""The justfile: formatted, documented, and a deployment that checks its preconditions."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

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
    "coverage",
    "lock",
    "openapi",
    "migrate",
    "k8s-validate",
    "deploy",
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
    """Return an environment whose `kubectl` records its calls; the secret exists when the file `secret` exists."""
    if KUBECTL is None:
        pytest.skip("kubectl is not installed")
    program = tmp_path / "kubectl"
    program.write_text(
        f"""#!/bin/sh
[ "$1" = kustomize ] && exec {KUBECTL} "$@"
echo "$*" >> {tmp_path}/calls
case "$*" in
    "config current-context") echo a-cluster ;;
    "get secret auth1-secrets") test -e {tmp_path}/secret ;;
    "apply "*) test ! -e {tmp_path}/broken ;;
esac
"""
    )
    program.chmod(0o755)
    return os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}


def changes(folder: Path) -> list[str]:
    """Return the calls that changed the cluster or waited for it."""
    return [call for call in (folder / "calls").read_text().splitlines() if not call.startswith(("config ", "get "))]


def test_deploy_prints_its_plan_and_applies_it(cluster: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    done = just("--no-deps", "deploy", environ=cluster)
    assert done.returncode == 0, done.stderr
    assert "context a-cluster, namespace default:" in done.stdout
    for name in ("Deployment auth1", "HorizontalPodAutoscaler auth1", "Ingress auth1-ingress", "Service auth1-service"):
        assert f"  {name}\n" in done.stdout
    assert changes(tmp_path) == ["apply -k ops/k8s/overlays/prod", "rollout status deployment/auth1 --timeout=10m"]


def test_deploy_fails_when_the_secret_is_missing(cluster: dict[str, str], tmp_path: Path) -> None:
    done = just("--no-deps", "deploy", environ=cluster)
    assert done.returncode == 1
    assert "auth1-secrets" in done.stderr
    assert changes(tmp_path) == []


def test_deploy_fails_when_the_cluster_rejects_it(cluster: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "secret").touch()
    (tmp_path / "broken").touch()
    assert just("--no-deps", "deploy", environ=cluster).returncode != 0
    assert changes(tmp_path) == ["apply -k ops/k8s/overlays/prod"]


def test_deploy_validates_first(recipes: dict[str, Any]) -> None:
    assert [dependency["recipe"] for dependency in recipes["deploy"]["dependencies"]] == ["k8s-validate"]
