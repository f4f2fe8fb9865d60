"""Events are sealed once, in chains that a changed secret does not break."""

import asyncio
import hashlib
import hmac
import json
from typing import Any

import asyncpg
import pytest

from auth1.audit.sealing import canonical, heads, seals, store
from auth1.audit.sealing.seals import seal_keys
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id, pack_id, unpack_id
from tests.audit.conftest import AuditLog
from tests.conftest import JWT_SECRET

SECOND, THIRD = "the second secret, as long as it has to be", "the third secret, as long as it has to be"


async def rows(audit_log: AuditLog, tenant_id: str) -> list[asyncpg.Record]:
    return await audit_log.database.fetch("select * from event_seals where tenant_id = $1 order by seq", tenant_id)


def test_packed_ids_sort_as_ids_and_can_be_unpacked() -> None:
    ids = sorted(new_id("evt") for _ in range(200))

    packed = [pack_id(one, "evt") for one in ids]
    assert packed == sorted(packed)
    assert [unpack_id(one, "evt") for one in packed] == ids
    assert len(pack_id("evt_1", "evt")) == 16


async def test_each_tenant_of_a_round_gets_one_seal(audit_log: AuditLog) -> None:
    first = await audit_log.add("tn_1", 3)
    second = await audit_log.add("tn_2:test", 2)

    assert await audit_log.seal() == 5

    [one], [other] = await rows(audit_log, "tn_1"), await rows(audit_log, "tn_2:test")
    assert (one["seq"], one["events"], other["events"]) == (1, 3, 2)
    assert one["ids"] == b"".join(pack_id(event_id, "evt") for event_id in first)
    assert other["ids"] == b"".join(pack_id(event_id, "evt") for event_id in second)
    assert one["round"] == other["round"] == 1


async def test_seal_follows_the_documented_formula(audit_log: AuditLog) -> None:
    await audit_log.add("tn_1", 2)
    await audit_log.seal()
    await audit_log.add("tn_1", 1)
    await audit_log.seal()

    previous = hashlib.sha256(b"auth1 event seals\ntn_1").digest()
    key = seal_keys(Keyring(JWT_SECRET))[0]
    for seal in await rows(audit_log, "tn_1"):
        assert seal["root"] == hashlib.sha256(seal["leaves"]).digest()
        since_1970 = int(seal["sealed_at"].timestamp() * 1_000_000 + 0.5)
        parts = previous + seal["seq"].to_bytes(8, "big") + since_1970.to_bytes(8, "big") + seal["root"]
        previous = hashlib.sha256(parts).digest()
        assert seal["head"] == previous
        assert seal["mac"] == hmac.digest(key.secret, previous, "sha256")
        assert seal["key"] == key.name


async def test_workers_at_once_seal_each_event_once(audit_log: AuditLog) -> None:
    others = [await audit_log.start_app(DATABASE_URL=audit_log.url) for _ in range(2)]
    await audit_log.add("tn_1", 60)

    for _ in range(4):
        await asyncio.gather(*(seals.seal_once(api.services) for api in (audit_log.api, *others)))
        await audit_log.add("tn_1", 5)
    await audit_log.seal()

    sealed = b"".join(row["ids"] for row in await rows(audit_log, "tn_1"))
    assert len({sealed[at : at + 16] for at in range(0, len(sealed), 16)}) == len(sealed) // 16 == 80
    assert [row["seq"] for row in await rows(audit_log, "tn_1")] == list(
        range(1, len(await rows(audit_log, "tn_1")) + 1)
    )


@pytest.mark.parametrize("step", ["chain_ends", "insert_seals"])
async def test_crash_of_a_step_seals_nothing_twice(
    audit_log: AuditLog, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    await audit_log.add("tn_1", 4)
    work = getattr(store, step)

    async def crash_afterwards(*arguments: Any) -> Any:
        await work(*arguments)
        raise RuntimeError(step)

    with monkeypatch.context() as patched:
        patched.setattr(store, step, crash_afterwards)
        with pytest.raises(RuntimeError, match=step):
            await seals.seal_once(audit_log.services)
    assert await rows(audit_log, "tn_1") == []

    assert await audit_log.seal() == 4
    assert len(await rows(audit_log, "tn_1")) == 1


async def test_new_secret_continues_each_chain_with_an_empty_seal(audit_log: AuditLog) -> None:
    for tenant_id in ("tn_1", "tn_2"):
        await audit_log.add(tenant_id, 2)
    await audit_log.seal()

    await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)
    await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)

    for tenant_id in ("tn_1", "tn_2"):
        first, second = await rows(audit_log, tenant_id)
        assert (second["seq"], second["events"], second["ids"]) == (2, 0, b"")
        assert first["key"] != second["key"] == seal_keys(Keyring(SECOND))[0].name


async def test_worker_with_an_outdated_secret_leaves_the_work_to_others(audit_log: AuditLog) -> None:
    await audit_log.add("tn_1", 1)
    await audit_log.seal()
    services = await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)
    await audit_log.add("tn_1", 1)

    assert await seals.seal_once(audit_log.services) == 0
    assert await seals.seal_once(services) == 1


async def test_seals_of_all_pages_of_tenants_are_continued(
    audit_log: AuditLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seals, "MAX_CHAINS", 2)
    for number in range(5):
        await audit_log.add(f"tn_{number}")
    await audit_log.seal()

    await audit_log.restart(JWT_SECRET=SECOND, JWT_SECRET_PREVIOUS=JWT_SECRET)

    assert await audit_log.database.fetchval("select count(*) from event_seals where seq = 2") == 5


async def test_data_without_a_canonical_form_is_sealed(audit_log: AuditLog) -> None:
    await audit_log.add("tn_1", data='{"n": 1e400, "ü": 123456789012345678901234567890}')

    assert await audit_log.seal() == 1
    assert canonical.leaf.__doc__


async def test_heads_are_logged_once_for_each_grown_chain(audit_log: AuditLog) -> None:
    for tenant_id in ("tn_1", "tn_2"):
        await audit_log.add(tenant_id)
    await audit_log.seal()
    await heads.write_heads(audit_log.services)
    await audit_log.add("tn_2")
    await audit_log.seal()
    await heads.write_heads(audit_log.services)
    await heads.write_heads(audit_log.services)

    lines = [json.loads(line) for line in (await audit_log.api.log()).splitlines() if heads.LINE in line]
    assert [(line["tenant_id"], line["seq"]) for line in lines] == [("tn_1", 1), ("tn_2", 1), ("tn_2", 2)]
    [_, last] = await rows(audit_log, "tn_2")
    assert (lines[-1]["head"], lines[-1]["mac"]) == (last["head"].hex(), last["mac"].hex())
