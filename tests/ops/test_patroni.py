"""ops/patroni: a valid configuration of HAProxy, and times of Patroni that fit together."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "ops/patroni"
HAPROXY = shutil.which("haproxy") or shutil.which("/usr/sbin/haproxy")
NODES = 3


@pytest.fixture(scope="module")
def patroni() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((FOLDER / "patroni.yml").read_text())
    return loaded


@pytest.mark.skipif(HAPROXY is None, reason="haproxy is not installed")
def test_haproxy_accepts_its_configuration() -> None:
    assert HAPROXY is not None
    checked = subprocess.run([HAPROXY, "-c", "-f", FOLDER / "haproxy.cfg"], capture_output=True, text=True, check=False)

    assert checked.returncode == 0, checked.stderr


def test_haproxy_reaches_the_ports_of_patroni_and_postgresql(patroni: dict[str, Any]) -> None:
    servers = re.findall(r"server db\d 10\.0\.0\.\d:(\d+) check port (\d+)", (FOLDER / "haproxy.cfg").read_text())
    ports = [patroni[part]["connect_address"].rpartition(":")[2] for part in ("postgresql", "restapi")]

    assert [list(server) for server in servers] == [ports] * NODES


def test_lease_is_longer_than_the_retries_of_a_node(patroni: dict[str, Any]) -> None:
    dcs = patroni["bootstrap"]["dcs"]

    assert dcs["loop_wait"] + 2 * dcs["retry_timeout"] <= dcs["ttl"]


def test_crashed_primary_is_replaced_and_commits_wait_for_a_standby(patroni: dict[str, Any]) -> None:
    dcs = patroni["bootstrap"]["dcs"]

    assert (dcs["primary_start_timeout"], dcs["synchronous_mode"]) == (0, True)
    assert dcs["postgresql"]["use_pg_rewind"]


def test_deployment_page_names_the_port_of_haproxy() -> None:
    page = (ROOT / "docs/deployment.md").read_text()
    [port] = re.findall(r"bind 127\.0\.0\.1:(\d+)", (FOLDER / "haproxy.cfg").read_text())

    assert f"@127.0.0.1:{port}/auth1_db" in page
