"""ops/systemd: units that systemd accepts. They are not started, because no service manager runs here."""

import configparser
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from auth1.core.processes.supervisor import KILL_AFTER_S

FOLDER = Path(__file__).parents[2] / "ops/systemd"
UNITS = ["auth1.service", "auth1@.service"]
ANALYZE = shutil.which("systemd-analyze")
MAX_EXPOSURE = 20  # of 100; below 20 systemd-analyze calls a service safe

each_unit = pytest.mark.parametrize("name", UNITS)
needs_systemd = pytest.mark.skipif(ANALYZE is None, reason="systemd is not installed")


def service(name: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=True)
    parser.optionxform = str  # type: ignore[assignment]  # keys of systemd have capital letters
    parser.read_string((FOLDER / name).read_text())
    return dict(parser["Service"])


def analyze(*arguments: str | Path) -> str:
    assert ANALYZE is not None
    done = subprocess.run([ANALYZE, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
@each_unit
def test_systemd_accepts_the_unit(name: str, tmp_path: Path) -> None:
    text = (FOLDER / name).read_text()
    assert "/opt/auth1/bin/auth1" in text
    (tmp_path / name).write_text(text.replace("/opt/auth1/bin/auth1", sys.executable))
    said = analyze("verify", "--man=no", tmp_path / name.replace("@", "@3000"))
    assert name not in said, said


@needs_systemd
@each_unit
def test_service_is_sandboxed(name: str) -> None:
    analyze("security", "--offline=true", f"--threshold={MAX_EXPOSURE}", "--no-pager", FOLDER / name)


@each_unit
def test_service_has_time_to_finish_requests(name: str) -> None:
    assert int(service(name)["TimeoutStopSec"]) > KILL_AFTER_S
    assert service(name)["KillMode"] == "mixed"  # SIGTERM to the main process, which stops the workers itself


@each_unit
def test_service_is_started_when_it_is_ready(name: str) -> None:
    assert "/health/ready" in service(name)["ExecStartPost"]


@each_unit
def test_service_listens_on_the_loopback_only(name: str) -> None:
    assert "HOST=127.0.0.1" in service(name)["Environment"].split()


def test_instances_listen_on_the_ports_of_the_nginx_example() -> None:
    assert service("auth1@.service")["Environment"] == "PORT=%i HOST=127.0.0.1"
    nginx = (FOLDER.parent / "nginx/auth1-two-instances.conf").read_text()
    assert re.findall(r"server 127\.0\.0\.1:(\d+) ", nginx) == ["3000", "3001"]
