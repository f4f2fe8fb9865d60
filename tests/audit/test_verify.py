"""Each kind of tampering is found and named; honest operation is no finding."""

import json
from collections.abc import Iterable

import pytest

from auth1.audit.sealing import heads, seals
from auth1.audit.sealing.compare import Finding
from auth1.audit.sealing.heads_log import compare_heads
from auth1.audit.sealing.pages import AuditReader
from auth1.audit.sealing.seals import seal_keys
from auth1.audit.sealing.verify import Report, Verification
from auth1.services import Services
from tests.audit.conftest import AuditLog
from tests.conftest import JWT_SECRET

TENANT, OTHER = "tn_1", "tn_2"
SECOND, THIRD = "the second secret, as long as it has to be", "the third secret, as long as it has to be"


async def verify(services: Services, tenant_id: str | None = None) -> Report:
    reader = AuditReader(services.postgres, tenant_id)
    return await Verification(reader, seal_keys(services.keyring)).run()


async def only_finding(audit_log: AuditLog) -> Finding:
    """Return the finding of the tenant, which both ways to verify it name; the other tenant has none."""
    report = await verify(audit_log.services)
    [found] = report.findings
    assert found.tenant_id == TENANT
    assert (await verify(audit_log.services, TENANT)).findings == [found]
    assert (await verify(audit_log.services, OTHER)).findings == []
    return found


@pytest.fixture
async def ids(audit_log: AuditLog) -> list[str]:
    """Return the ids of 12 sealed events in three seals, between those of another tenant."""
    ids = []
    for _ in range(3):
        for _ in range(4):
            ids += await audit_log.add(TENANT)
            await audit_log.add(OTHER)
        await audit_log.seal()
    return ids


async def test_untouched_log_has_no_finding(audit_log: AuditLog, ids: list[str]) -> None:
    [unsealed] = await audit_log.add(TENANT)

    report = await verify(audit_log.services)

    assert report == Report(tenants=2, seals=6, events=24, unsealed=1, unknown_keys=0, findings=[])
    assert (await verify(audit_log.services, TENANT)).events == 12
    assert unsealed


COLUMNS = {
    "type": "'user.banned'",
    "actor": "'key_2'",
    "subject": "'usr_2'",
    "data": "'{}'",
    "created_at": "created_at - interval '1 microsecond'",
    "request_id": "null",
    "network": "'198.51.100.0/24'",
}


@pytest.mark.parametrize("column", COLUMNS)
async def test_changed_column_is_found(audit_log: AuditLog, ids: list[str], column: str) -> None:
    await audit_log.database.execute(f"update events set {column} = {COLUMNS[column]} where id = $1", ids[5])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id, found.seq) == ("changed", ids[5], 2)


async def test_changed_id_is_found(audit_log: AuditLog, ids: list[str]) -> None:
    changed = ids[5][:-1] + ("0" if ids[5][-1] != "0" else "1")
    await audit_log.database.execute("update events set id = $2 where id = $1", ids[5], changed)

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id, found.seq) == ("changed", ids[5], 2)


async def test_event_moved_to_another_tenant_is_found_in_both(audit_log: AuditLog, ids: list[str]) -> None:
    await audit_log.database.execute("update events set tenant_id = $2 where id = $1", ids[5], OTHER)

    report = await verify(audit_log.services)

    assert [(one.tenant_id, one.kind, one.event_id) for one in report.findings] == [
        (TENANT, "moved", ids[5]),
        (OTHER, "added", ids[5]),
    ]


async def test_first_of_several_changes_is_named(audit_log: AuditLog, ids: list[str]) -> None:
    await audit_log.database.execute("update events set actor = 'x' where id = any($1)", [ids[9], ids[2], ids[11]])

    assert (await only_finding(audit_log)).event_id == ids[2]


@pytest.mark.parametrize("number", [0, 5, 11])
async def test_deleted_event_is_missing(audit_log: AuditLog, ids: list[str], number: int) -> None:
    await audit_log.database.execute("delete from events where id = $1", ids[number])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id, found.seq) == ("missing", ids[number], number // 4 + 1)


async def test_event_added_between_sealed_ones_is_found(audit_log: AuditLog, ids: list[str]) -> None:
    added = """insert into events (tenant_id, id, type, actor, subject, tx)
               select tenant_id, id || '0', type, actor, subject, tx from events where id = $1"""
    await audit_log.database.execute(added, ids[5])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id) == ("added", ids[5] + "0")


async def test_event_added_after_the_last_seal_of_its_tenant_is_found(audit_log: AuditLog, ids: list[str]) -> None:
    added = f"""insert into events (tenant_id, id, type, actor, subject, tx)
                select '{TENANT}', left(id, 14) || repeat('0', 16), type, actor, subject, tx
                from events where tenant_id = '{OTHER}' order by tx desc limit 1 returning id"""
    event_id = await audit_log.database.fetchval(added)

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id) == ("added", event_id)


@pytest.mark.parametrize(("source", "target"), [(1, 9), (9, 1), (4, 6)])
async def test_event_moved_to_another_place_is_found(
    audit_log: AuditLog, ids: list[str], source: int, target: int
) -> None:
    # A little after the target, and in order with it.
    move = "update events set tx = (select tx from events where id = $2) where id = $1"
    await audit_log.database.execute(move, ids[source], ids[target])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id) == ("moved", ids[source])


async def test_exchanged_events_are_found(audit_log: AuditLog, ids: list[str]) -> None:
    exchange = """update events e set tx = o.tx from events o
                  where e.id = any($1) and o.id = any($1) and e.id <> o.id"""
    await audit_log.database.execute(exchange, [ids[4], ids[6]])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id) in [("moved", ids[4]), ("moved", ids[6])]


async def test_exchanged_contents_are_found(audit_log: AuditLog, ids: list[str]) -> None:
    await audit_log.database.execute("update events set actor = id where id = any($1)", ids)
    exchange = """update events e set actor = o.actor from events o
                  where e.id = any($1) and o.id = any($1) and e.id <> o.id"""
    await audit_log.database.execute(exchange, [ids[4], ids[6]])

    assert (await only_finding(audit_log)).kind == "changed"


SEAL_COLUMNS = {
    "round": "round + 1",
    "first_tx": "'1'",
    "last_tx": "'999999999'",
    "last_id": "'evt_0'",
    "events": "events - 1",
    "ids": "set_byte(ids, 0, 255 - get_byte(ids, 0))",
    "leaves": "set_byte(leaves, 0, 255 - get_byte(leaves, 0))",
    "root": "set_byte(root, 0, 255 - get_byte(root, 0))",
    "head": "set_byte(head, 0, 255 - get_byte(head, 0))",
    "mac": "set_byte(mac, 0, 255 - get_byte(mac, 0))",
    "key": "'\\x00000000'",
    "sealed_at": "sealed_at + interval '1 microsecond'",
    "seq": "10",
}
HARMLESS = {"round"}  # only the order in which a verification reads


@pytest.mark.parametrize("column", sorted(SEAL_COLUMNS.keys() - HARMLESS))
async def test_changed_seal_is_found(audit_log: AuditLog, ids: list[str], column: str) -> None:
    change = f"update event_seals set {column} = {SEAL_COLUMNS[column]} where tenant_id = $1 and seq = 2"
    await audit_log.database.execute(change, TENANT)

    found = await only_finding(audit_log)

    assert (found.kind, found.seq) == ("mac" if column in ("mac", "key") else "chain", 2)


async def test_deleted_seal_is_found(audit_log: AuditLog, ids: list[str]) -> None:
    await audit_log.database.execute("delete from event_seals where tenant_id = $1 and seq = 2", TENANT)

    found = await only_finding(audit_log)

    assert (found.kind, found.seq) == ("chain", 2)


async def test_chain_remade_without_the_key_is_found(audit_log: AuditLog, ids: list[str]) -> None:
    forger = await audit_log.start_app(DATABASE_URL=audit_log.url, JWT_SECRET=SECOND)
    await audit_log.database.execute("delete from events where id = $1", ids[0])
    await audit_log.database.execute("delete from event_seals")
    await audit_log.database.execute("update event_readers set tx = '0', id = '', round = 0")
    await seals.seal_once(forger.services)
    await audit_log.database.execute("update event_seals set key = $1", seal_keys(audit_log.services.keyring)[0].name)

    report = await verify(audit_log.services)

    assert {(one.kind, one.seq) for one in report.findings} == {("mac", 1)}


async def test_forged_seal_stays_visible_after_the_chain_went_on(audit_log: AuditLog, ids: list[str]) -> None:
    forge = "update event_seals set mac = sha256('x') where tenant_id = $1 and seq = 3"
    await audit_log.database.execute(forge, TENANT)
    await audit_log.add(TENANT)
    await audit_log.seal()
    services = await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)
    services = await audit_log.restart(JWT_SECRET=THIRD, JWT_SECRET_PREVIOUS=SECOND)

    [found] = (await verify(services)).findings

    assert (found.tenant_id, found.kind, found.seq) == (TENANT, "chain", 4)


async def test_secret_changed_twice_still_verifies(audit_log: AuditLog, ids: list[str]) -> None:
    services = await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)
    await audit_log.add(TENANT)
    await seals.seal_once(services)
    services = await audit_log.restart(JWT_SECRET=THIRD, JWT_SECRET_PREVIOUS=SECOND)
    await audit_log.add(OTHER)
    await seals.seal_once(services)

    report = await verify(services)
    assert (report.findings, report.unknown_keys, report.events) == ([], 0, 26)

    await audit_log.database.execute("update events set actor = 'x' where id = $1", ids[0])
    [found] = (await verify(services)).findings
    assert (found.kind, found.event_id) == ("changed", ids[0])


async def test_another_secret_cannot_check(audit_log: AuditLog, ids: list[str]) -> None:
    other = await audit_log.start_app(DATABASE_URL=audit_log.url, JWT_SECRET=SECOND)

    report = await verify(other.services)

    assert (report.findings, report.unknown_keys) == ([], 2)


async def logged_heads(audit_log: AuditLog) -> list[bytes]:
    await heads.write_heads(audit_log.services)
    return [line.encode() for line in (await audit_log.api.log()).splitlines()]


async def against(audit_log: AuditLog, lines: Iterable[bytes]) -> list[tuple[str, str, int | None]]:
    keys = seal_keys(audit_log.services.keyring)
    result = await compare_heads(AuditReader(audit_log.services.postgres, None), lines, keys, None)
    return [(one.tenant_id, one.kind, one.seq) for one in result.findings]


async def test_tail_removed_without_its_seals_is_missing(audit_log: AuditLog, ids: list[str]) -> None:
    await audit_log.database.execute("delete from events where id = any($1)", ids[8:])

    found = await only_finding(audit_log)

    assert (found.kind, found.event_id) == ("missing", ids[8])


async def test_tail_removed_with_its_seals_is_found_by_logged_heads(audit_log: AuditLog, ids: list[str]) -> None:
    lines = await logged_heads(audit_log)
    assert await against(audit_log, lines) == []
    await audit_log.database.execute("delete from events where id = any($1)", ids[8:])
    await audit_log.database.execute("delete from event_seals where tenant_id = $1 and seq = 3", TENANT)

    assert (await verify(audit_log.services)).findings == []
    assert await against(audit_log, lines) == [(TENANT, "removed tail", 3)]


async def test_whole_tenant_removed_is_found_by_logged_heads(audit_log: AuditLog, ids: list[str]) -> None:
    lines = await logged_heads(audit_log)
    await audit_log.database.execute("delete from events where tenant_id = $1", TENANT)
    await audit_log.database.execute("delete from event_seals where tenant_id = $1", TENANT)

    assert await against(audit_log, lines) == [(TENANT, "removed tail", 3)]


async def test_chain_remade_with_the_key_is_found_by_logged_heads(audit_log: AuditLog, ids: list[str]) -> None:
    lines = await logged_heads(audit_log)
    await audit_log.database.execute("delete from events where id = $1", ids[0])
    await audit_log.database.execute("delete from event_seals")
    await audit_log.database.execute("update event_readers set tx = '0', id = '', round = 0")
    for _ in range(3):
        await seals.seal_once(audit_log.services)

    assert sorted(kind for _, kind, _ in await against(audit_log, lines)) == ["removed tail", "removed tail"]


async def test_invented_head_is_ignored(audit_log: AuditLog, ids: list[str]) -> None:
    [line, *_] = [json.loads(line) for line in await logged_heads(audit_log) if heads.LINE.encode() in line]
    invented = json.dumps(line | {"seq": 99, "head": "00" * 32}).encode()

    assert await against(audit_log, [b"not JSON audit.head\n", invented, b'{"msg": "audit.head"}']) == []


@pytest.mark.parametrize("late", [False, True])
async def test_verification_since_a_moment_reads_only_later_seals(
    audit_log: AuditLog, ids: list[str], late: bool
) -> None:
    at = await audit_log.database.fetchval(
        "select sealed_at + interval '1 microsecond' from event_seals where tenant_id = $1 and seq = 2", TENANT
    )
    await audit_log.database.execute("update events set actor = 'x' where id = $1", ids[9 if late else 3])
    reader = AuditReader(audit_log.services.postgres, None)

    report = await Verification(reader, seal_keys(audit_log.services.keyring)).run(at)

    assert (report.seals, report.events) == (2, 8)
    assert [one.event_id for one in report.findings] == ([ids[9]] if late else [])
