"""Fraud rules for tests of something else: all of them on, with allowances that no test reaches."""

import os
from typing import Any

import httpx

from auth1.app import build_app, start_services, stop_services
from auth1.config.settings import load_settings
from auth1.core.telemetry.log import Log
from tests.support.api_client import ADMIN_TOKEN

_MANY = 1_000_000
_RULES = ("block_of_1000", "block_of_10000", "address", "network", "country", "cross_tenant", "guessing")
RELAXED: dict[str, Any] = {
    "rules": {name: {"allowance": _MANY} for name in _RULES},
    "exposure_budget": _MANY,
}


async def relax_fraud_rules(database_url: str) -> None:
    """Set the operator's default policy through the API."""
    settings = load_settings(
        {
            "DATABASE_URL": database_url,
            "REDIS_URL": "redis://127.0.0.1:1",
            "JWT_SECRET": "a secret that only this call needs, and long enough",
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "TIMEOUT_SCALE": "10",
        }
    )
    log = Log("error", os.open(os.devnull, os.O_WRONLY))
    app = build_app(settings, log)
    app.services = await start_services(settings, log, background=False)
    try:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://localhost:3000"
        ) as client:
            headers = {"authorization": f"Bearer {ADMIN_TOKEN}"}
            answer = await client.put("/api/admin/fraud/policy", json=RELAXED, headers=headers)
            assert answer.status_code == 200, answer.text
    finally:
        await stop_services(app.services)
