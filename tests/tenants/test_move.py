"""A tenant moves to a database of another cluster while it is served: nothing is lost, and no row has two writers."""

import asyncio
import os
import signal
import sys
from typing import Any

import pytest

from auth1.audit.sealing import seals
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Verification
from auth1.tenants.move import MoveError, move, rows
from tests.conftest import new_phone
from tests.tenants.conftest import NewInstallations
from tests.tenants.installations import Installation, Installations

CLIENTS = 3
SILENCED = ("messages", "webhooks")  # the source changes them, so that it sends nothing more
# Runs a move in a process of its own, which stops before a step and prints a line.
STOPPING = """
import asyncio, os, sys
from auth1.tenants.move import move, rows
source, target, owner, place = sys.argv[1:]
holder, name = {"copying": (rows, "copy_rows"), "frozen": (move._Move, "_set_places"),
    "moved": (move._Move, "open_target")}[place]
left, step = 3 if place == "copying" else 1, getattr(holder, name)
async def stop(*arguments):
    global left
    left -= 1
    if left:
        return await step(*arguments)
    print("stopped", flush=True)
    await asyncio.sleep(3600)
setattr(holder, name, stop)
async def publish():
    pass
asyncio.run(move.move_tenant(source, target, owner, publish, lambda _: None, 0))
"""


async def verify_audit_log(installation: Installation) -> tuple[list[Any], int]:
    """Seal and verify all events; return the findings and the number of events that are not sealed."""
    services = installation.api.services
    while await seals.seal_once(services):
        pass
    report = await Verification(AuditReader(services.postgres, None), seal_keys(services.keyring)).run()
    return report.findings, report.unsealed


async def kill_at(moving: Installations, place: str) -> None:
    """Kill a move before a step."""
    arguments = (moving.source.url, moving.target.url, moving.tenant_id, place)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPPING, *arguments, stdout=asyncio.subprocess.PIPE, env={"PATH": os.environ["PATH"]}
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"stopped\n"
    process.send_signal(signal.SIGKILL)
    await process.wait()


async def test_tenant_moves_under_concurrent_logins(new_installations: NewInstallations) -> None:
    moving = await new_installations(background=True)
    end = asyncio.Event()
    for _ in range(5):
        await moving.log_in()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(moving.log_in_until(end))
        moved = await moving.move_when_busy()
        end.set()

    for _ in range(CLIENTS):
        await moving.log_in()

    assert moved.closed_s < 10
    await moving.check_logins()
    assert await moving.target.value("select count(*) from users") == len(moving.logins)
    assert await verify_audit_log(moving.target) == ([], 0)
    assert await moving.count_triggers() == 0


async def test_all_rows_of_tenant_and_sandbox_move_with_their_changes(
    new_installations: NewInstallations, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = await new_installations()
    api, key = moving.source.api, moving.tenant["secret_key"]
    other = await api.tenant()
    for name in ("api_key", "test_key"):
        phone = new_phone()
        assert (await api.post("/api/auth/request", {"phone": phone}, moving.tenant[name])).status_code == 200
    users = [(await moving.log_in())["user_id"] for _ in range(4)]
    for number, user in enumerate(users[:2]):
        change = {"external_id": f"customer {number}"}
        answer = await api.client.patch(f"/api/tenant/users/{user}", json=change, headers={"x-api-key": key})
        assert answer.status_code == 200, answer.text
    copy_all = rows.copy_all

    async def copy_and_change(*arguments: Any) -> int:
        """Change rows after they are copied: exchange unique values, delete a user, add and revoke sessions."""
        copied = await copy_all(*arguments)
        await moving.source.fetch("update users set external_id = null where id = $1 returning external_id", users[0])
        await moving.source.fetch("update users set external_id = 'customer 0' where id = $1", users[1])
        await moving.source.fetch("update users set external_id = 'customer 1' where id = $1", users[0])
        await moving.source.fetch("delete from users where id = $1", users[2])
        await moving.source.fetch("update sessions set revoked_at = now() where user_id = $1", users[3])
        await moving.log_in()
        created = await api.client.post(
            "/api/tenant/webhooks",
            json={"url": "https://example.com/hook", "events": ["*"]},
            headers={"x-api-key": key},
        )
        assert created.status_code == 201, created.text
        return copied

    monkeypatch.setattr(rows, "copy_all", copy_and_change)

    moved = await moving.move()

    assert moved.changes > 10
    source = await moving.source.contents(moving.tenant_id)
    target = await moving.target.contents(moving.tenant_id)
    for found in (source, target):  # each database writes it in a transaction of its own
        found["events"] = [row for row in found["events"] if "type='tenant.moved'" not in row]
    assert {name: target[name] for name in target if name not in SILENCED} == {
        name: source[name] for name in source if name not in SILENCED
    }
    assert {name for name, found in target.items() if found} > {
        "users",
        "sessions",
        "keys",
        "events",
        "webhooks",
        "tenants",
    }
    assert len(target["messages"]) == len(source["messages"])
    assert any(":test" in row for row in target["identifiers"])
    assert any("operator" in row for row in target["fraud_settings"])
    assert await moving.target.value("select count(*) from tenants where id = $1", other["tenant_id"]) == 0
    assert (await api.post("/api/auth/request", {"phone": new_phone()}, other["api_key"])).status_code == 200


async def test_killed_move_goes_on_and_loses_nothing(new_installations: NewInstallations) -> None:
    moving = await new_installations()
    await moving.log_in()

    await kill_at(moving, "copying")
    await moving.log_in()  # the tenant is served by the source
    await kill_at(moving, "frozen")
    opens = (
        "select frozen_until = closed_until and closed_until <= clock_timestamp() + interval '8 s' from tenant_moves"
    )
    assert await moving.source.value(opens)
    await moving.log_in()  # it opens by itself
    assert await moving.target.value("select current_setting('default_transaction_read_only')") == "on"
    closed = await moving.target.api.post("/api/auth/request", {"phone": new_phone()}, moving.tenant["api_key"])
    assert closed.status_code == 503
    await kill_at(moving, "moved")
    assert await moving.source.value("select state from tenant_moves") == "moved"
    await moving.source.publish()  # as the killed process would have done

    moved = await moving.move()
    again = await moving.move()

    assert (moved.rows, moved.closed_s, again.changes) == (0, 0, 0)
    events = "select array_agg(id) from events where type = 'tenant.moved' and subject = $1"
    written = [await place.value(events, moving.tenant_id) for place in (moving.source, moving.target)]
    assert written[0] == written[1]
    assert len(written[0]) == 1
    await moving.log_in()
    await moving.check_logins()
    assert await moving.count_triggers() == 0
    assert await moving.source.value("select count(*) from tenant_changes") == 0


async def test_aborted_move_leaves_the_tenant_served_and_the_target_empty(new_installations: NewInstallations) -> None:
    moving = await new_installations()
    await moving.log_in()
    await kill_at(moving, "copying")

    await moving.abort()

    assert await moving.count_triggers() == 0
    assert await moving.source.value("select count(*) from tenant_moves") == 0
    assert not any((await moving.target.contents(moving.tenant_id)).values())
    await moving.log_in()
    with pytest.raises(MoveError, match="not being moved"):
        await moving.abort()
    await moving.move()
    await moving.check_logins()
    with pytest.raises(MoveError, match="has moved already"):
        await moving.abort()


async def test_slow_last_changes_open_the_tenant_again(
    new_installations: NewInstallations, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = await new_installations()
    monkeypatch.setattr(move, "CLOSED_S", move.MARGIN_S + 0.5)

    async def never(_: object) -> None:
        await asyncio.sleep(3600)

    with monkeypatch.context() as patch:
        patch.setattr(move._Move, "_set_places", never)
        with pytest.raises(MoveError, match="open again"):
            await moving.move()
    await moving.log_in()
    monkeypatch.undo()

    await moving.move()
    await moving.check_logins()


async def test_target_with_rows_is_rejected(new_installations: NewInstallations) -> None:
    moving = await new_installations()
    await moving.target.api.tenant()

    with pytest.raises(MoveError, match="has rows"):
        await moving.move()

    assert await moving.source.value("select count(*) from tenant_moves") == 0


async def test_another_target_is_rejected_during_a_move(new_installations: NewInstallations) -> None:
    moving, other = await new_installations(), await new_installations()
    await kill_at(moving, "copying")
    moving.target = other.target

    with pytest.raises(MoveError, match="another database"):
        await moving.move()


async def test_target_with_other_tables_is_rejected(new_installations: NewInstallations) -> None:
    moving = await new_installations()
    await moving.target.fetch("alter table users add column favourite_colour text")

    with pytest.raises(MoveError, match="auth1 migrate"):
        await moving.move()


async def test_frozen_tenant_disturbs_no_other_tenant(new_installations: NewInstallations) -> None:
    moving = await new_installations()
    other = await moving.source.api.tenant()
    await kill_at(moving, "copying")
    await moving.source.fetch("update tenant_moves set frozen_until = 'infinity'")
    requests = [(tenant["api_key"], new_phone()) for tenant in (moving.tenant, other) for _ in range(4)]

    answers = await asyncio.gather(
        *(moving.source.api.post("/api/auth/request", {"phone": phone}, key) for key, phone in requests)
    )

    assert [answer.status_code for answer in answers] == [503] * 4 + [200] * 4
    assert await moving.source.value("select count(*) from challenges where tenant_id = $1", moving.tenant_id) == 0
