"""Auth1 as a real process, with one caller of each kind."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from auth1.dev.processes import free_port
from tests.conftest import new_phone
from tests.support.api_client import ADMIN_TOKEN
from tests.support.process import Auth1
from tests.support.providers.twilio import TwilioServer
from tests.support.relaxed import RELAXED


@dataclass
class Callers:
    """A tenant with all its keys, and a user who is logged in."""

    auth1: Auth1
    tenant: dict[str, Any] = field(default_factory=dict)
    login: dict[str, Any] = field(default_factory=dict)

    @classmethod
    async def new(cls, auth1: Auth1, twilio: TwilioServer) -> "Callers":
        callers = cls(auth1, await auth1.tenant())
        # The example of the operator's default policy is strict, and all of these logins come from one address.
        path = f"/api/admin/tenants/{callers.tenant['tenant_id']}/fraud/policy"
        assert (await auth1.operator("PUT", path, RELAXED)).status_code == 200
        callers.login = await callers.log_in(twilio)
        return callers

    async def log_in(self, twilio: TwilioServer) -> dict[str, Any]:
        """Log a new user in."""
        phone, key = new_phone(), self.tenant["api_key"]
        assert (await self.auth1.ask(phone, key)).status_code == 200
        answer = await self.auth1.answer(phone, twilio.code_for(phone), key)
        verified: dict[str, Any] = answer.json()
        return verified

    async def restore_default_policy(self) -> None:
        """Set the operator's default fraud policy as other tests expect it in this database."""
        assert (await self.auth1.operator("PUT", "/api/admin/fraud/policy", RELAXED)).status_code == 200

    @property
    def variables(self) -> dict[str, str]:
        """Return the shell variables of the commands in the description."""
        return {
            "API_KEY": self.tenant["api_key"],
            "SECRET_KEY": self.tenant["secret_key"],
            "TEST_KEY": self.tenant["test_key"],
            "ADMIN_TOKEN": ADMIN_TOKEN,
            "TOKEN": self.login["token"],
            "METRICS_TOKEN": "none is set, and our address is a private one",
        }


@pytest.fixture(scope="module")
async def auth1(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth1]:
    # With mail, too: that nothing carries it would be a 503. Pages are served at APP_URL only.
    port = str(free_port())
    own = {"SMTP_URL": "console:", "PORT": port, "APP_URL": f"http://127.0.0.1:{port}"}
    async with Auth1(environment | own, tmp_path_factory.mktemp("auth1") / "log") as auth1:
        yield auth1


async def run(*command: str, environment: dict[str, str], directory: Path, timeout_s: float = 800) -> tuple[int, str]:
    """Run a program to its end; return its exit code and output."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        cwd=directory,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await asyncio.wait_for(process.communicate(), timeout_s)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, printed.decode(errors="replace")
