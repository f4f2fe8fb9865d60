"""A real Prometheus scrapes a real Auth1: every dashboard query succeeds and returns data."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from auth1.dev.processes import free_port
from tests.ops.grafana import DASHBOARD, ROOT, alert_expressions, needs_promtool, promtool
from tests.support.process import Auth1, until

PROMETHEUS = shutil.which("prometheus")
SAMPLE = ROOT / "ops/prometheus/prometheus.yml"
LOGINS = 20
# Zero while all is well, and never "No data".
ZERO = {"Server errors", "Block rate", "Log lines dropped", "PostgreSQL errors"}
SHOWN = ZERO | {"Instances", "Requests", "Duration", "In progress", "Funnel", "PostgreSQL pool", "Redis up", "Memory"}

pytestmark = pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed")


class Prometheus:
    """A running Prometheus."""

    def __init__(self, port: int) -> None:
        self._client = httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=300, trust_env=False)

    async def close(self) -> None:
        await self._client.aclose()

    async def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression. Fails when Prometheus rejects it."""
        plain = expression.replace("$__rate_interval", "20s").replace("$instance", ".*")
        answer = (await self._client.get("/api/v1/query", params={"query": plain})).json()
        assert answer["status"] == "success", answer
        samples: list[dict[str, Any]] = answer["data"]["result"]
        return samples

    async def scraped(self, times: int) -> bool:
        """Return whether Auth1 has been scraped a number of times."""
        with suppress(httpx.TransportError):
            if (await self._client.get("/-/ready")).status_code == 200:
                samples = await self.query("count_over_time(auth1_build_info[1h])")
                return bool(samples) and int(samples[0]["value"][1]) >= times
        return False


@pytest.fixture(scope="module")
async def prometheus(
    environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Prometheus]:
    """Run Auth1 with some logins, and the sample configuration with short intervals in front of it."""
    folder = tmp_path_factory.mktemp("scrape")
    async with Auth1(environment, folder / "log") as auth1:
        configuration = yaml.safe_load(SAMPLE.read_text())
        configuration["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        configuration["rule_files"] = [str(ROOT / "ops/grafana/alerts.yaml")]
        configuration["scrape_configs"][0]["static_configs"] = [{"targets": [f"127.0.0.1:{auth1.port}"]}]
        del configuration["alerting"]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        port = free_port()
        assert PROMETHEUS is not None
        with (folder / "prometheus.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                PROMETHEUS,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
                stdout=log,
                stderr=log,
            )
        running = Prometheus(port)
        try:
            await until(lambda: running.scraped(2), explain=lambda: (folder / "prometheus.log").read_text())
            tenant = await auth1.tenant()
            for number in range(LOGINS):
                phone = f"+1212555{number:04d}"
                assert (await auth1.post("/api/auth/request", {"phone": phone}, tenant["test_key"])).status_code == 200
                verified = await auth1.answer(phone, "000000", tenant["test_key"])
                assert verified.status_code == 200
                await asyncio.sleep(0.2)  # over several scrapes: a counter that appears has no rate yet
            await asyncio.sleep(2)
            yield running
        finally:
            process.terminate()
            await process.wait()
            await running.close()


async def test_every_query_of_the_dashboard_succeeds(prometheus: Prometheus) -> None:
    values: dict[str, list[list[float]]] = {}
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            samples = await prometheus.query(target["expr"])
            values.setdefault(panel["title"], []).append([float(sample["value"][1]) for sample in samples])
    assert {title for title in SHOWN if [] in values[title]} == set()
    assert {title: values[title] for title in ZERO if values[title] != [[0.0]]} == {}
    requested, _, verified, opened = (funnel[0] for funnel in values["Funnel"])
    assert min(requested, verified, opened) > 0


async def test_no_alert_fires_while_all_is_well(prometheus: Prometheus) -> None:
    for expression in alert_expressions():
        assert await prometheus.query(expression) == [], expression


@needs_promtool
def test_sample_configuration_is_valid(tmp_path: Path) -> None:
    rules = ROOT / "ops/grafana/alerts.yaml"
    text = SAMPLE.read_text().replace("/etc/prometheus/rules/auth1.yaml", str(rules))
    (tmp_path / "prometheus.yml").write_text(text)
    promtool("check", "config", tmp_path / "prometheus.yml")


def test_sample_scrapes_as_often_as_grafana_expects() -> None:
    datasources = (ROOT / "ops/grafana/provisioning/datasources/prometheus.yaml").read_text()
    (source,) = yaml.safe_load(datasources)["datasources"]
    assert yaml.safe_load(SAMPLE.read_text())["global"]["scrape_interval"] == source["jsonData"]["timeInterval"]
