"""A worker whose services cannot be created says so to the server, which would otherwise serve without them."""

import os
from pathlib import Path
from typing import Any

import pytest

import auth1.app
from auth1.config.settings import load_settings
from auth1.core.processes.supervisor import MAX_FAILED_STARTS
from auth1.core.telemetry.log import Log
from tests.support.process import CODE, Auth1

REASON = "the services cannot be created"
# Python imports this at its start, from PYTHONPATH.
SITE = f"""
import auth1.app

async def fail(*arguments, **named):
    raise RuntimeError("{REASON}")

auth1.app.start_services = fail
"""


async def test_failed_start_is_reported_by_the_lifespan_protocol(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*arguments: object, **named: object) -> None:
        raise RuntimeError(REASON)

    monkeypatch.setattr(auth1.app, "start_services", fail)
    log = Log("debug", os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT))
    app = auth1.app.build_app(load_settings(environment), log)
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "lifespan"}, receive, send)

    assert sent == [{"type": "lifespan.startup.failed", "message": REASON}]
    assert REASON in (tmp_path / "log").read_text()


async def test_serve_ends_with_a_message_when_no_worker_can_start(
    own_environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(SITE)
    server = Auth1(own_environment, tmp_path / "log", prefix=("env", f"PYTHONPATH={tmp_path}:{CODE}"))
    server.spawn()
    try:
        code = await server.exit_code()
    finally:
        server.end()
        await server.client.aclose()

    assert code == 1
    assert server.text().splitlines()[-1] == "auth1: no worker can start; the log says why"
    failed = server.lines("start failed")
    assert [line["reason"] for line in failed] == [REASON] * MAX_FAILED_STARTS
