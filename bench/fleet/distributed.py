"""locust in distributed mode: a master and workers on this machine, with a shape of `bench/shapes.py`."""

import asyncio
import csv
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from auth1.dev.processes import HOST, free_port
from bench.accounts import ROOT
from bench.phones import COUNT

WORKERS = 2
PATIENCE_S = 60  # more than the shape takes
FIRST = COUNT // 2  # other measurements use the first half of the numbers


class Run(msgspec.Struct):
    """The measurements of locust with a shape; lists by second."""

    shape: str
    requests: int
    failures: int
    p50_ms: float
    p99_ms: float
    seconds: list[float]
    users: list[float]
    requests_per_s: list[float]
    failures_per_s: list[float]
    p50s_ms: list[float]
    p99s_ms: list[float]


async def run_locust(shape: str, port: int, directory: Path, variables: Mapping[str, str]) -> Run:
    """Run a shape against a port. Raises RuntimeError when locust does not end in time, or ends with an error."""
    folder = directory / f"locust-{shape}"
    folder.mkdir()
    command = [sys.executable, "-m", "locust", "--locustfile", "bench/locustfile.py", "--only-summary"]
    master_port = str(free_port())
    master = ["--master", "--master-bind-host", HOST, "--master-bind-port", master_port, "--headless"]
    master += ["--expect-workers", str(WORKERS), "--host", f"http://{HOST}:{port}", "--stop-timeout", "5"]
    master += ["--csv", str(folder / "run"), "--csv-full-history", "--exit-code-on-error", "0"]
    worker = ["--worker", "--master-host", HOST, "--master-port", master_port]
    environment = {**os.environ, **variables, "AUTH1_SHAPE": shape}
    processes: list[asyncio.subprocess.Process] = []
    with (folder / "log").open("wb") as log:
        try:
            for number, arguments in enumerate([master, *[worker] * WORKERS]):
                first = FIRST + COUNT * number // (2 * (WORKERS + 1))
                processes.append(
                    await asyncio.create_subprocess_exec(
                        *command,
                        *arguments,
                        cwd=ROOT,
                        env={**environment, "AUTH1_FIRST": str(first)},
                        stdout=log,
                        stderr=log,
                    )
                )
            async with asyncio.timeout(float(variables["AUTH1_SECONDS"]) + PATIENCE_S):
                codes = [await process.wait() for process in processes]
        except TimeoutError:
            codes = [1]
        finally:
            for process in processes:
                if process.returncode is None:
                    process.kill()
                    await process.wait()
    if any(codes):
        raise RuntimeError(f"locust failed with {shape}:\n{(folder / 'log').read_text()[-4000:]}")
    return read_run(shape, folder)


def read_run(shape: str, folder: Path) -> Run:
    """Read the files that locust wrote."""
    with (folder / "run_stats_history.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["Name"] == "Aggregated" and int(row["User Count"])]
    with (folder / "run_stats.csv").open() as file:
        total = next(row for row in csv.DictReader(file) if row["Name"] == "Aggregated")
    start = int(rows[0]["Timestamp"])
    return Run(
        shape=shape,
        requests=int(total["Request Count"]),
        failures=int(total["Failure Count"]),
        p50_ms=float(total["50%"]),
        p99_ms=float(total["99%"]),
        seconds=[float(row["Timestamp"]) - start for row in rows],
        users=[float(row["User Count"]) for row in rows],
        requests_per_s=[float(row["Requests/s"]) for row in rows],
        failures_per_s=[float(row["Failures/s"]) for row in rows],
        p50s_ms=[_latency(row["50%"]) for row in rows],
        p99s_ms=[_latency(row["99%"]) for row in rows],
    )


def _latency(text: str) -> float:
    """Return a percentile in ms; 0 for a second without responses."""
    return 0.0 if text == "N/A" else float(text)
