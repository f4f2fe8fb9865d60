"""The program as processes: killed while it seals, stopped, and used as the documentation shows."""

import asyncio
import json
import os
import re
import shlex
import signal
import sys
from pathlib import Path

from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from tests.audit.conftest import AuditLog
from tests.conftest import JWT_SECRET
from tests.support.commands import CommandServer, Ended
from tests.support.process import CODE, Auth1

PAGE = (Path(__file__).parents[2] / "docs" / "audit-log.md").read_text()
ALL_COMMANDS = re.findall(r"^(?:\$ )?((?:curl|auth1) .+)$", PAGE, re.MULTILINE)
[CURL] = [command for command in ALL_COMMANDS if "/stream" in command]
[PROGRAM] = re.findall(r"^```js\n(.+?)\n```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [command for command in ALL_COMMANDS if command != CURL]


def heads_in(log: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_text().splitlines() if '"msg":"audit.head"' in line]
    return lines


async def test_killed_workers_seal_each_event_once(
    audit_log: AuditLog, environment: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    sealed = 0
    for is_killed in (True, True, False):
        async with Auth1(environment | {"DATABASE_URL": audit_log.url}, log) as auth1:
            while sealed == await audit_log.database.fetchval("select count(*) from event_seals"):
                await audit_log.add("tn_1", 5)
                await asyncio.sleep(0.05)
            if is_killed:
                os.killpg(auth1.process.pid, signal.SIGKILL)
            else:
                auth1.process.send_signal(signal.SIGTERM)
                await asyncio.to_thread(auth1.process.wait)
        sealed = await audit_log.database.fetchval("select count(*) from event_seals")
    await audit_log.seal()

    events = await audit_log.database.fetchval("select count(*) from events")
    report = await Verification(
        AuditReader(audit_log.services.postgres, None), seal_keys(audit_log.services.keyring)
    ).run()
    assert (report.findings, report.events, report.unsealed) == ([], events, 0)
    assert await audit_log.database.fetchval("select sum(events) from event_seals") == events
    [*_, last] = heads_in(log)
    assert last["tenant_id"] == "tn_1"
    assert last["seq"] == sealed


async def shell(command: str, **variables: str) -> tuple[int, str]:
    """Run a command of the page; `auth1` is this program."""
    here = command.replace("auth1 audit", f"{sys.executable} -m auth1 audit")
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", here),
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(CODE), **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=variables["DIRECTORY"],
    )
    out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def read_until(command: str, **variables: str) -> None:
    """Run a command of the page that does not end, until it has printed a new event."""
    process = await asyncio.create_subprocess_exec(
        *("bash", "-c", command),
        env={"PATH": os.environ["PATH"], **variables},
        stdout=asyncio.subprocess.PIPE,
        process_group=0,
    )
    assert process.stdout is not None
    async with asyncio.timeout(120):
        while b"usr_streamed" not in await process.stdout.readline():
            assert not process.stdout.at_eof(), command
    os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def test_documented_commands_work(audit_log: AuditLog, environment: dict[str, str], tmp_path: Path) -> None:
    tenant = await audit_log.api.tenant()
    ids = await audit_log.add(tenant["tenant_id"], 3, type="user.banned")
    await audit_log.seal()
    names = ("DATABASE_URL", "REDIS_URL", "JWT_SECRET")
    variables = {name: (environment | {"DATABASE_URL": audit_log.url})[name] for name in names}
    outputs = {}
    async with Auth1(environment | {"DATABASE_URL": audit_log.url}, tmp_path / "log") as auth1:
        variables |= {"URL": auth1.url, "SECRET_KEY": tenant["secret_key"], "LAST_EVENT_ID": ids[1]}
        for command in COMMANDS:
            code, outputs[command] = await shell(command, DIRECTORY=str(tmp_path), **variables)
            assert code == 0, (command, outputs[command])

        streamed = asyncio.gather(
            read_until(CURL, **variables),
            read_until(f"exec node --input-type=module -e {shlex.quote(PROGRAM)}", **variables),
        )
        while not streamed.done():
            await audit_log.add(tenant["tenant_id"], type="user.banned", subject="usr_streamed")
            await asyncio.sleep(0.1)
        await streamed

    exported = [json.loads(line)["event_id"] for line in (tmp_path / "events.ndjson").read_text().splitlines()]
    assert exported[-4:] == [*ids, ids[2]]
    assert json.loads((tmp_path / "heads.ndjson").read_text())["seq"] >= 1
    listed = next(text for command, text in outputs.items() if "type=user.banned" in command)
    assert [event["event_id"] for event in json.loads(listed)["data"]] == ids[::-1]
    assert re.search(r"4 events, \d+ seals, 1 tenants: no change found; 0 events", outputs["auth1 audit verify"])


async def test_command_exits_with_1_on_findings_and_2_on_errors(
    audit_log: AuditLog, environment: dict[str, str], command_server: CommandServer, tmp_path: Path
) -> None:
    tenant = await audit_log.api.tenant()
    [event_id] = await audit_log.add(tenant["tenant_id"])
    await audit_log.seal()
    head = await audit_log.database.fetchrow("select * from event_seals")
    assert head is not None
    line = {"msg": "audit.head", "tenant_id": tenant["tenant_id"], "seq": 9, "head": "00", "mac": "00"}
    (tmp_path / "heads").write_text(json.dumps(line) + "\n")
    variables = {"DATABASE_URL": audit_log.url, "REDIS_URL": environment["REDIS_URL"], "JWT_SECRET": JWT_SECRET}
    slug = tenant["slug"]

    async def verify(*arguments: str, **changes: str) -> Ended:
        return await command_server.run(["audit", "verify", *arguments], variables | changes)

    assert (await verify("--tenant", slug)).code == 0
    ended = await verify("--heads", str(tmp_path / "heads"), "--json")
    assert (ended.code, ended.json()["report"]["findings"][0]["kind"]) == (1, "removed tail")
    await audit_log.database.execute("update events set actor = 'x' where id = $1", event_id)
    ended = await verify("--replica")
    assert ended.code == 1
    assert f"{tenant['tenant_id']}  changed  {event_id} seal 1" in ended.out
    assert (await verify("--heads", str(tmp_path / "nothing"))).code == 2
    assert (await verify("--since", "yesterday")).code == 2
    assert (await verify("--tenant", f"{slug}-x")).code == 2
    assert (await verify(DATABASE_URL="postgresql://auth1@127.0.0.1:1/nothing")).code == 2
    await audit_log.database.execute("update events set actor = 'key_1' where id = $1", event_id)
    assert (await verify(JWT_SECRET="another secret, as long as it has to be")).code == 2
