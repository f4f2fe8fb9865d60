"""The manifests of ops/k8s as kustomize builds them."""

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.ops.manifests import LOADER

ROOT = Path(__file__).parents[2]
FOLDERS = ("base", "overlays/prod")
WORKLOADS = {"Deployment": "auth1", "Job": "auth1-migrate"}

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@cache
def build(folder: str) -> str:
    return subprocess.run(
        ["kubectl", "kustomize", ROOT / "ops/k8s" / folder], capture_output=True, text=True, check=True
    ).stdout


@cache
def resources(folder: str) -> list[dict[str, Any]]:
    """Return all resources of a folder. Tests share them, and do not change them."""
    return list(yaml.load_all(build(folder), Loader=LOADER))


def resource(folder: str, kind: str, name: str) -> dict[str, Any]:
    """Return a resource. The names of ConfigMaps end in a hash."""
    found = [item for item in resources(folder) if item["kind"] == kind]
    (wanted,) = [item for item in found if re.fullmatch(f"{name}(-[a-z0-9]{{10}})?", item["metadata"]["name"])]
    return wanted


def pod(folder: str) -> dict[str, Any]:
    template = resource(folder, "Deployment", "auth1")["spec"]["template"]["spec"]
    assert isinstance(template, dict)
    return template


def container(folder: str) -> dict[str, Any]:
    (only,) = pod(folder)["containers"]
    assert isinstance(only, dict)
    return only
