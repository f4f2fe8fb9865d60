"""Validate Kubernetes manifests without a cluster.

    kubectl kustomize ops/k8s/overlays/prod | .venv/bin/python -m tests.ops.manifests

Resources of Kubernetes are validated by its schemas, those of the Prometheus Operator by the schemas of
`prometheus_operator`, and alert rules by promtool. Unknown fields and unknown kinds are errors.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import kubernetes_validate
import yaml

from tests.ops.prometheus_operator import SCHEMAS

VERSIONS = ("1.37.0", "1.32.0")  # the newest whose schemas we have, and an old one that is still around
PROMTOOL = shutil.which("promtool")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is ten times faster


def problems(manifests: str, versions: tuple[str, ...] = VERSIONS) -> list[str]:
    """Return one line for each error of the manifests: its resource, its place and its reason."""
    found = []
    for resource in yaml.load_all(manifests, Loader=LOADER):
        name = f"{resource['kind']} {resource['metadata']['name']}"
        if resource["apiVersion"].startswith("monitoring.coreos.com/"):
            errors = _operator_problems(resource)
        else:
            errors = [error for version in versions for error in _kubernetes_problems(resource, version)]
        found += [f"{name}: {error}" for error in errors]
    return found


def _kubernetes_problems(resource: dict[str, Any], version: str) -> list[str]:
    try:
        kubernetes_validate.validate(resource, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"Kubernetes {version}: {'.'.join(str(part) for part in error.path)}: {error.message}"]
    except kubernetes_validate.SchemaNotFoundError as error:
        return [error.message]
    return []


def _operator_problems(resource: dict[str, Any]) -> list[str]:
    schema = SCHEMAS.get(resource["kind"])
    if schema is None:
        return [f"no schema for this kind of {resource['apiVersion']}"]
    errors = [
        f"{'.'.join(str(part) for part in error.instance_path)}: {error.message}"
        for error in jsonschema_rs.validator_for(schema).iter_errors(resource)
    ]
    if not errors and resource["kind"] == "PrometheusRule" and PROMTOOL is not None:
        errors = rule_problems(PROMTOOL, resource["spec"])
    return errors


def rule_problems(promtool: str, rules: dict[str, Any]) -> list[str]:
    """Return what promtool reports about a file of rules."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rules.yaml"
        file.write_text(yaml.safe_dump(rules))
        done = subprocess.run([promtool, "check", "rules", file], capture_output=True, text=True, check=False)
    return [] if done.returncode == 0 else [line.strip() for line in done.stderr.splitlines() if line.strip()]


def main() -> int:
    """Validate the standard input; print the errors, or the number of resources."""
    manifests = sys.stdin.read()
    found = problems(manifests)
    for line in found:
        print(f"invalid: {line}")
    if PROMTOOL is None:
        print("promtool is not installed: the expressions of the alerts were not checked")
    count = sum(resource is not None for resource in yaml.load_all(manifests, Loader=LOADER))
    if not found:
        print(f"{count} resources are valid for Kubernetes {' and '.join(VERSIONS)}")
    return 1 if found or not count else 0


if __name__ == "__main__":
    sys.exit(main())
