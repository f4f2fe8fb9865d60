"""Honest operation is never a finding: purges, erasures, imports, changed secrets, in random order.

`just audit-runs 1000` runs more of them.
"""

import os
import random
from datetime import timedelta

import pytest

from auth1.audit import purge
from auth1.audit.sealing import seals
from auth1.audit.sealing.heads import write_heads
from auth1.audit.sealing.heads_log import compare_heads
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from auth1.services import Services
from tests.audit.conftest import AuditLog
from tests.conftest import new_phone

BLOCK = 50  # runs on a database of their own: each new secret adds a seal to every chain
RUNS = int(os.environ.get("AUTH1_AUDIT_RUNS", "3"))
STEPS = 12
STEP_NAMES = ("add", "add", "add old", "seal", "seal", "purge", "import", "erase", "secret", "rollback")


class Run:
    """A random history of one tenant and of its neighbours in the same database."""

    def __init__(self, log: AuditLog, services: Services, seed: int) -> None:
        self.log, self.services, self.random = log, services, random.Random(seed)
        self.secret = services.settings.jwt_secret

    async def step(self, name: str, tenant_id: str) -> None:
        users = f"/api/admin/tenants/{tenant_id}/users"
        match name:
            case "add":
                await self.log.add(self.random.choice([tenant_id, f"{tenant_id}:test"]), self.random.randint(1, 5))
            case "add old":
                await self.log.add(tenant_id, 3, age=timedelta(days=self.random.choice([2, 5, 8, 400])))
            case "seal":
                await seals.seal_once(self.services)
            case "purge":
                await purge.purge_tenants(self.services)
                await purge.drop_months(self.services)
            case "import":
                rows = f'{{"phone": "{new_phone()}"}}\n'
                headers = {"content-type": "application/x-ndjson", "authorization": "Bearer " + self.token}
                await self.log.api.client.post(users + "/import", content=rows, headers=headers)
            case "erase":
                for user in (await self.log.api.admin("GET", f"{users}?limit=1")).json()["data"]:
                    await self.log.api.admin("DELETE", f"{users}/{user['user_id']}")
            case "secret":
                old, self.secret = self.secret, f"secret number {self.random.getrandbits(64):020}"
                self.secret += "x" * 32
                self.services = await self.log.restart(JWT_SECRET=self.secret, JWT_SECRET_PREVIOUS=old)
            case "rollback":
                transaction = self.log.database.transaction()
                await transaction.start()
                await self.log.add(tenant_id, 2)
                await transaction.rollback()

    @property
    def token(self) -> str:
        return self.log.services.settings.admin_token or ""


@pytest.mark.parametrize("first", range(0, RUNS, BLOCK))
async def test_honest_runs_have_no_finding(audit_log: AuditLog, first: int) -> None:
    run = Run(audit_log, audit_log.services, first)
    for seed in range(first, min(first + BLOCK, RUNS)):
        run.random.seed(seed)
        tenant = await audit_log.api.tenant(events_retention_days=run.random.choice([1, 3, 7]))
        for _ in range(STEPS):
            name = run.random.choice(STEP_NAMES)
            if name != "secret" or run.random.random() < 0.2:
                await run.step(name, tenant["tenant_id"])
        for name in ("seal", "purge", "seal", "purge"):
            await run.step(name, tenant["tenant_id"])
        await write_heads(run.services)

        keys = seal_keys(run.services.keyring)
        reader = AuditReader(run.services.postgres, None)
        report = await Verification(reader, keys).run()
        assert (report.findings, report.unknown_keys) == ([], 0), seed
        if (seed + 1) % BLOCK == 0:
            print(
                f"{seed + 1} runs; of the last {BLOCK}: {report.events} events, {report.seals} seals: no finding",
                flush=True,
            )
    lines = [line.encode() for line in (await audit_log.api.log()).splitlines()]
    assert (await compare_heads(reader, lines, keys, None)).findings == []
