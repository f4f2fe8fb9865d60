"""The sources name no package registry and no local machine, and the requirements are consistent."""

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

# Split, so that this file does not name them itself. The package source is the operator's choice.
REGISTRIES = [
    ".".join(pieces)
    for pieces in (
        ("pypi", "org"),
        ("python" + "hosted", "org"),
        ("pypi", "python", "org"),
        ("registry", "npmjs", "org"),
        ("registry", "yarnpkg", "com"),
        ("docker", "io"),
        ("hub", "docker", "com"),
        ("ghcr", "io"),
        ("quay", "io"),
        ("gcr", "io"),
        ("registry", "k8s", "io"),
        ("mcr", "microsoft", "com"),
        ("crates", "io"),
        ("proxy", "golang", "org"),
        ("deb", "debian", "org"),
    )
]
INDEX_OPTIONS = [
    f"--{name}" for name in ("index" + "-url", "extra-index" + "-url", "find" + "-links", "trusted" + "-host")
]
FOLDERS = ["/" + "/".join(pieces) + "/" for pieces in (("work", "main"), ("work", "shared"), ("root", ".pyenv"))]


@cache
def sources() -> dict[str, str]:
    """Return every text file that is tracked or would be, by its path."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    texts = {}
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            data = (ROOT / name).read_bytes()
            if b"\0" not in data:
                texts[name] = data.decode()
    return texts


def files_that_name(words: list[str]) -> list[tuple[str, str]]:
    return [(name, word) for name, text in sources().items() for word in words if word in text]


def test_no_file_names_a_package_registry() -> None:
    assert len(sources()) > 20
    assert files_that_name(REGISTRIES) == []


def test_no_requirements_file_names_a_package_index() -> None:
    assert [found for found in files_that_name(INDEX_OPTIONS) if found[0].startswith("requirements/")] == []


def test_no_file_names_a_local_folder() -> None:
    assert files_that_name(FOLDERS) == []


# --- requirements


def pinned(group: str) -> dict[str, str]:
    """Return the names and versions that pyproject.toml pins for a requirements file, with included groups."""
    if group == "serve":
        return split(PROJECT["project"]["dependencies"])
    items: list[Any] = PROJECT["dependency-groups"][group]
    own = split([item for item in items if isinstance(item, str)])
    included = [pinned(item["include-group"]) for item in items if isinstance(item, dict)]
    return pinned("serve") | {name: version for part in [own, *included] for name, version in part.items()}


def split(requirements: list[str]) -> dict[str, str]:
    matches = [re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?==([\w.]+)", item) for item in requirements]
    assert None not in matches, f"every dependency is pinned: {requirements}"
    return {normalised(match[1]): match[2] for match in matches if match is not None}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(group: str) -> dict[str, tuple[str, int]]:
    """Return the packages of a requirements file: name to version and number of hashes."""
    text = (ROOT / f"requirements/{group}.txt").read_text().replace("\\\n", " ")
    entries = {}
    for line in text.splitlines():
        match = re.match(r"([\w.-]+)==([\w.]+)( ; [^-]+?)?((?:\s+--hash=sha256:[0-9a-f]{64})*)\s*$", line)
        assert match is not None, line
        entries[normalised(match[1])] = (match[2], match[4].count("--hash"))
    return entries


GROUPS = ["serve", "dev", "test", "bench"]


def test_each_group_has_its_requirements_file() -> None:
    assert {file.stem for file in (ROOT / "requirements").glob("*.txt")} == set(GROUPS)
    assert PROJECT["dependency-groups"].keys() == set(GROUPS) - {"serve"}


@pytest.mark.parametrize("group", GROUPS)
def test_every_pinned_dependency_is_locked_at_its_version(group: str) -> None:
    versions = {name: version for name, (version, _) in locked(group).items()}
    assert pinned(group).items() <= versions.items()


@pytest.mark.parametrize("group", GROUPS)
def test_every_locked_package_has_hashes(group: str) -> None:
    assert [name for name, (_, hashes) in locked(group).items() if hashes == 0] == []


def test_and_bench_groups_lock_the_serve_versions() -> None:
    for group in ("test", "bench"):
        assert locked("serve").items() <= locked(group).items()


def test_dev_group_locks_the_serve_versions_except_sns() -> None:
    """`auth1 dev` does not need SNS, whose packages are as large as all others."""
    served, developed = locked("serve"), locked("dev")
    assert served.keys() - developed.keys() >= {"aioboto3", "botocore"}
    assert {name for name in served.keys() & developed.keys() if served[name] != developed[name]} == set()
