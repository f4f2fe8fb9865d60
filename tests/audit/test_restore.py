"""A dump that is restored into another cluster, whose transaction ids are lower: readers go on, and seals verify."""

import asyncio
import subprocess
from pathlib import Path

import asyncpg
import pytest

from auth1.audit import lists
from auth1.audit.sealing import seals
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from auth1.core.postgres.migrations import migrate
from auth1.dev.postgres import PostgresServer, find_programs
from auth1.events import reader
from tests.audit.conftest import AuditLog
from tests.support.effort import effort
from tests.support.postgres_files import PostgresFiles

EVENTS = effort(260, 10_000)
ROUND = 100  # events
TENANT = "tn_restored"
BURN = "do $$ begin for n in 1..4000 loop perform pg_current_xact_id(); commit; end loop; end $$"


async def run(command: list[str | Path], text: bytes = b"") -> bytes:
    """Run a program and return its output."""
    done = await asyncio.to_thread(subprocess.run, command, input=text, check=True, capture_output=True)
    output: bytes = done.stdout
    return output


async def restore(log: AuditLog, server: PostgresServer) -> str:
    """Copy the database into another cluster; return its URL."""
    programs = find_programs()
    dump = await run([programs / "pg_dump", "--no-owner", log.url])
    admin = await asyncpg.connect(server.url())
    await admin.execute("create database restored")
    await admin.close()
    load: list[str | Path] = [programs / "psql", "--quiet", "--set=ON_ERROR_STOP=1", server.url("restored")]
    await run(load, dump)
    return server.url("restored")


@pytest.mark.parametrize("migrates", [True, False])
async def test_readers_go_on_after_a_restore_into_another_cluster(
    audit_log: AuditLog,
    postgres_files: PostgresFiles,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    migrates: bool,
) -> None:
    monkeypatch.setattr(reader.follow, "__defaults__", (ROUND,))
    await audit_log.database.execute(BURN)
    old = await audit_log.add(TENANT, EVENTS)
    assert [await seals.seal_once(audit_log.services) for _ in range(2)] == [ROUND, ROUND]

    with postgres_files.server(tmp_path / "other") as server:
        url = await restore(audit_log, server)
        if migrates:
            await migrate(url)
        restored = AuditLog(
            await audit_log.start_app(DATABASE_URL=url), await asyncpg.connect(url), url, audit_log.start_app
        )
        if not migrates:
            assert await seals.seal_once(restored.services) == 0  # this round notices the restore
        new = await restored.add(TENANT, 30)
        assert await restored.seal() == EVENTS - 2 * ROUND + 30
        new += await restored.add(TENANT, 5)
        assert await restored.seal() == 5

        verification = Verification(AuditReader(restored.services.postgres, None), seal_keys(restored.services.keyring))
        report = await verification.run()
        position = await lists.find_position(restored.services.postgres, TENANT, old[-2])
        assert position is not None
        exported, _ = await lists.export_page(restored.services.postgres, TENANT, position, 100)
        rows = await restored.database.fetch("select id from events order by tx, id")
        await restored.database.close()
        await restored.services.postgres.stop()

    assert (report.findings, report.events, report.unsealed) == ([], EVENTS + 35, 0)
    assert [row.id for row in exported] == [old[-1], *new]
    assert [row["id"] for row in rows] == old + new
