"""The image: the Dockerfile is linted, and its build stage is run in a directory, because Docker is unavailable."""

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
DOCKERFILE = ROOT / "Dockerfile"


def instructions(stage: int) -> list[tuple[str, str]]:
    """Read the instructions of one stage: name and argument, continued lines joined, comments dropped."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    found = [(name, " ".join(rest.split())) for name, _, rest in (line.partition(" ") for line in joined.splitlines())]
    starts = [index for index, (name, _) in enumerate(found) if name == "FROM"] + [len(found)]
    return [item for item in found[starts[stage] : starts[stage + 1]] if item[0]]


def test_dockerfile_passes_hadolint() -> None:
    done = subprocess.run(
        [BIN / "hadolint", "--failure-threshold", "style", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_stages_use_the_same_slim_python_image() -> None:
    images = [argument.split()[0] for stage in (0, 1) for name, argument in instructions(stage) if name == "FROM"]
    assert images == ["python:3.12-slim-bookworm"] * 2


def test_last_stage_copies_only_the_environment_and_runs_as_a_numeric_user() -> None:
    last = instructions(1)
    assert [argument for name, argument in last if name == "COPY"] == ["--from=build /opt/auth1 /opt/auth1"]
    assert dict(last)["USER"] == "10001:10001"
    assert "PYTHONUNBUFFERED=1" in dict(last)["ENV"].split()
    assert dict(last)["EXPOSE"] == "3000"


def test_commands_are_in_exec_form() -> None:
    last = dict(instructions(1))
    assert json.loads(last["ENTRYPOINT"]) == ["auth1"]
    assert json.loads(last["CMD"]) == ["serve"]
    assert health_check()[:2] == ["python", "-c"]


def test_every_copied_file_exists_and_is_not_ignored() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {source for name, argument in instructions(0) if name == "COPY" for source in argument.split()[:-1]}
    assert copied == allowed
    assert sorted(source for source in copied if not (ROOT / source).exists()) == []


def test_dockerignore_excludes_everything_by_default() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*"


# --- the build stage, carried out

needs_download = pytest.mark.timeout(600)  # of what the image would download too


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run the build stage below a directory that stands for the image's root."""
    root = tmp_path_factory.mktemp("image")
    # The Python that runs the tests stands for the image's: a fresh environment, with `python` and `pip` alone.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", root / "usr"], check=True)
    pip = root / "usr/bin/pip"
    pip.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m pip "$@"\n')  # installing it takes seconds
    pip.chmod(0o755)
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environ["PATH"] = f"{root / 'usr/bin'}{os.pathsep}{os.environ['PATH']}"
    environ["PIP_COMPILE"] = "0"  # compiling all packages takes longer than all the rest; few of them are imported
    here = root
    for name, argument in instructions(0):
        inside = re.sub(r"(?<![\w.])/(?=opt|src)", f"{root}/", argument)
        match name:
            case "FROM":
                pass
            case "ENV":
                environ |= dict(pair.split("=", 1) for pair in shlex.split(inside))
            case "WORKDIR":
                here = Path(inside)
                here.mkdir(parents=True)
            case "COPY":
                copy(inside.split()[:-1], here / inside.split()[-1])
            case "RUN":
                done = subprocess.run(
                    ["sh", "-c", inside],
                    cwd=here,
                    env=environ,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, f"RUN {argument}\n{done.stdout}"
            case _:
                pytest.fail(f"the build stage has an instruction that this test does not know: {name}")
    return root


def copy(sources: list[str], target: Path) -> None:
    """Perform COPY: a directory's content goes into the target, a file into it or under its name."""
    for source in sources:
        path = ROOT / source
        if path.is_dir():
            shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        else:
            file = target / path.name if len(sources) > 1 else target
            file.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, file)


@needs_download
def test_build_stage_installs_exactly_the_runtime_requirements(stage: Path) -> None:
    listed = subprocess.run(
        [stage / "usr/bin/pip", "--python", stage / "opt/auth1/bin/python", "freeze", "--all", "--exclude", "auth1"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    installed = {line.lower().replace("_", "-") for line in listed.splitlines()}
    pins = re.findall(r"^(\S+==\S+)( ;)?", (ROOT / "requirements/serve.txt").read_text(), re.MULTILINE)
    assert {pin for pin, condition in pins if not condition} <= installed <= {pin for pin, _ in pins}


def resolve(folder: Path, *platform: str) -> subprocess.CompletedProcess[str]:
    """Look for the wheels of `auth1 serve`, and download none."""
    target = ["--target", str(folder), "--python-version", "3.12", *platform]
    requirements = str(ROOT / "requirements/serve.txt")
    wheels = ["--only-binary", ":all:", "--require-hashes", "--no-deps", "-r", requirements]
    return subprocess.run(
        [BIN / "uv", "pip", "install", "--dry-run", *target, *wheels], capture_output=True, text=True, check=False
    )


@needs_download
@pytest.mark.parametrize("platform", ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"])
def test_every_requirement_has_a_wheel_for_the_platform(platform: str, tmp_path: Path) -> None:
    done = resolve(tmp_path, "--python-platform", platform)
    if done.returncode != 0 and resolve(tmp_path).returncode != 0:
        pytest.skip("uv does not reach the package index of pip")
    assert done.returncode == 0, done.stderr


@needs_download
def test_wheel_contains_all_sql_and_lua_files(stage: Path) -> None:
    (wheel,) = (stage / "src/dist").glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    wanted = {f"auth1/{file.relative_to(ROOT)}" for file in (ROOT / "sql").rglob("*.sql")}
    wanted |= {str(file.relative_to(ROOT)) for kind in ("*.py", "*.lua") for file in (ROOT / "auth1").rglob(kind)}
    assert wanted - names == set()
    assert any(name.endswith(".sql") for name in wanted)
    assert any(name.endswith(".lua") for name in wanted)


@needs_download
def test_installed_program_prints_its_version(stage: Path) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    done = subprocess.run(
        [stage / "opt/auth1/bin/auth1", "version"], cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert version in done.stdout


@needs_download
def test_installed_serve_reports_missing_variables_and_exits_with_2(stage: Path) -> None:
    done = subprocess.run(
        [stage / "opt/auth1/bin/auth1", "serve"], cwd="/", env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    for name in ("DATABASE_URL", "REDIS_URL", "JWT_SECRET"):
        assert name in done.stdout + done.stderr


@needs_download
def test_installed_program_serves_passes_health_check_and_stops_on_sigterm(
    stage: Path, postgres_server: PostgresServer, redis_server: RedisServer
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # The image's environment and no more than the guide's three variables.
    environ = {"DATABASE_URL": postgres_server.url(), "REDIS_URL": redis_server.url(), "JWT_SECRET": "0" * 64}
    program = subprocess.Popen(
        [stage / "opt/auth1/bin/auth1", "serve"],
        cwd="/",
        env=environ | {"PORT": port, "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while run_health_check({"PORT": port}) != 0:
            assert program.poll() is None, "it ended"
            assert time.monotonic() < deadline, "it is not ready"
    finally:
        program.terminate()
        said, _ = program.communicate(timeout=300)
    assert program.returncode == 0
    assert f"Auth1 server running on port {port}" in said


# --- the health check


def health_check() -> list[str]:
    """Return the command of HEALTHCHECK."""
    command = dict(instructions(1))["HEALTHCHECK"].split(" CMD ")[1]
    return [str(word) for word in json.loads(command)]


def run_health_check(environ: dict[str, str]) -> int:
    return subprocess.run(
        [sys.executable, *health_check()[1:]], env=environ, capture_output=True, timeout=300, check=False
    ).returncode


@contextmanager
def readiness(status: int) -> Iterator[tuple[int, list[str]]]:
    """Serve one response to every request; yield the port and the requested paths."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port, paths
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_health_check_requests_readiness_on_the_server_port() -> None:
    with readiness(200) as (port, paths):
        assert run_health_check({"PORT": str(port)}) == 0
        assert paths == ["/health/ready"]


def test_health_check_fails_while_the_server_is_not_ready() -> None:
    with readiness(503) as (port, _):
        assert run_health_check({"PORT": str(port)}) == 1


def test_health_check_ignores_proxy_variables() -> None:
    with readiness(200) as (port, _):
        assert run_health_check({"PORT": str(port), "http_proxy": "http://127.0.0.1:9"}) == 0


def test_health_check_fails_without_a_server() -> None:
    with readiness(200) as (port, _):
        pass
    assert run_health_check({"PORT": str(port)}) == 1


def test_health_check_uses_port_3000_by_default() -> None:
    assert "(os.environ.get('PORT') or '3000')" in health_check()[2]
