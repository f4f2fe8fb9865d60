"""Deliveries are made from events: once each, for the webhooks that want them, in the order of the events."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres import Queries, Transaction
from auth1.errors import Unavailable
from auth1.webhooks.delivery import fan_out
from auth1.webhooks.delivery_ids import delivery_id, event_prefix
from tests.webhooks.conftest import Owner, insert


@pytest.fixture
async def other_connection(webhook_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(webhook_url)
    yield connection
    await connection.close()


async def test_webhooks_get_the_types_that_they_want(owner: Owner) -> None:
    everything, some, none = (
        await owner.webhook(),
        await owner.webhook("user.created"),
        await owner.webhook("key.created"),
    )
    updated, created = await owner.add("user.updated", "user.created")

    await owner.fan_out()

    assert await owner.fanned_out(everything) == [updated, created]
    assert await owner.fanned_out(some) == [created]
    assert await owner.fanned_out(none) == []


async def test_first_event_of_a_webhook_is_its_own_creation(owner: Owner) -> None:
    await owner.add("user.created")
    webhook = await owner.webhook()

    await owner.fan_out()

    assert [row["type"] for row in await owner.deliveries(webhook)] == ["webhook.created"]


async def test_sandbox_webhooks_get_the_events_of_the_sandbox_only(owner: Owner) -> None:
    live, sandbox = await owner.webhook(), await owner.webhook(sandbox=True)
    [real] = await owner.add("user.created")
    [tested] = await owner.add("user.created", tenant_id=f"{owner.tenant_id}:test")

    await owner.fan_out()

    assert await owner.fanned_out(live) == [real]
    assert await owner.fanned_out(sandbox) == [tested]


async def test_events_of_other_tenants_are_not_delivered(owner: Owner) -> None:
    webhook = await owner.webhook()
    await owner.add("user.created", tenant_id="tn_other")
    await owner.add("user.created", tenant_id=f"{owner.tenant_id}x")

    await owner.fan_out()

    assert await owner.fanned_out(webhook) == []


async def test_disabled_or_deleted_webhooks_get_no_new_deliveries(owner: Owner) -> None:
    disabled, deleted = await owner.webhook(), await owner.webhook()
    await owner.call("PATCH", f"/{disabled['webhook_id']}", {"enabled": False})
    await owner.call("DELETE", f"/{deleted['webhook_id']}")
    await owner.add("user.created")

    await owner.fan_out()
    await owner.call("PATCH", f"/{disabled['webhook_id']}", {"enabled": True})
    [later] = await owner.add("user.created")
    await owner.fan_out()

    assert await owner.fanned_out(disabled) == [later]
    assert await owner.fanned_out(deleted) == []


async def test_delivery_wakes_its_webhook_and_no_other(owner: Owner) -> None:
    woken, other = await owner.webhook("user.created"), await owner.webhook("user.banned")
    await owner.add("user.created")

    await owner.fan_out()

    due = "select due_at <= now() from webhooks where id = $1"
    assert await owner.database.fetchval(due, woken["webhook_id"]) is True
    assert await owner.database.fetchval(due, other["webhook_id"]) is None


async def test_order_is_that_of_transactions_not_of_ids(owner: Owner, other_connection: asyncpg.Connection) -> None:
    """A clock that is ten minutes off, and a transaction that commits late, change nothing."""
    webhook = await owner.webhook()
    late = other_connection.transaction()
    await late.start()
    first = await insert(other_connection, owner.tenant_id)
    early_clock = "evt_0" + new_id("evt")[5:]
    await owner.database.execute(
        "insert into events (tenant_id, id, type, actor, subject) values ($1, $2, 'user.banned', 'auth1', 'usr_1')",
        *(owner.tenant_id, early_clock),
    )

    await owner.fan_out()
    assert await owner.fanned_out(webhook) == []  # the open transaction is older
    await late.commit()
    await owner.fan_out()

    assert await owner.fanned_out(webhook) == [first, early_clock]


@pytest.mark.parametrize("step", ["before", "after_statement", "after_advance", "lost_connection"])
async def test_crash_at_a_step_makes_nothing_twice_and_no_gap(
    owner: Owner, monkeypatch: pytest.MonkeyPatch, step: str, webhook_url: str
) -> None:
    webhook = await owner.webhook()
    ids = await owner.add(*["user.updated"] * 7)
    real, crashes, own_task = Transaction.row, 0, asyncio.current_task()

    async def row(self: Transaction, statement: object, *arguments: object) -> object:
        nonlocal crashes
        # Background jobs of other applications in this process run the same statements.
        name = getattr(statement, "name", "") if asyncio.current_task() is own_task else ""
        if name == "fan_out" and step == "before":
            crashes += 1
            raise Unavailable
        result = await real(self, statement, *arguments)  # type: ignore[call-overload]  # passed through
        if (name, step) in (("fan_out", "after_statement"), ("advance_reader", "after_advance")):
            crashes += 1
            raise Unavailable
        if (name, step) == ("fan_out", "lost_connection"):
            crashes += 1
            await owner.database.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and state = 'idle in transaction'"
            )
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Transaction, "row", row)
        for _ in range(2):
            with pytest.raises(Unavailable):
                await owner.fan_out(max_events=3)
    assert crashes == 2
    assert await owner.fanned_out(webhook) == []

    while await owner.fan_out(max_events=3):
        pass
    assert await owner.fanned_out(webhook) == ids


async def test_reader_set_back_makes_no_delivery_twice(owner: Owner) -> None:
    webhook = await owner.webhook()
    before = await owner.database.fetchrow("select tx::text, id from event_readers where name = 'webhooks'")
    assert before is not None
    ids = await owner.add("user.created", "user.updated")
    await owner.fan_out()

    await owner.database.execute(
        "update event_readers set tx = $1::text::xid8, id = $2 where name = 'webhooks'", *before
    )
    await owner.fan_out()

    assert await owner.fanned_out(webhook) == ids


async def test_four_processes_fan_out_each_event_once(owner: Owner) -> None:
    webhooks = [await owner.webhook() for _ in range(3)]
    ids = await owner.add(*["user.updated"] * 60)

    async def rounds() -> int:
        return sum([await owner.fan_out(max_events=7) for _ in range(8)])

    counted = sum(await asyncio.gather(*(rounds() for _ in range(4)))) + await owner.fan_out()

    assert counted == 63  # the webhooks' own events too
    for webhook in webhooks:
        assert await owner.fanned_out(webhook) == ids


async def test_webhook_changed_during_a_round_is_read_as_changed(
    owner: Owner, other_connection: asyncpg.Connection
) -> None:
    webhook = await owner.webhook()
    await owner.fan_out()
    await owner.add("user.created")
    change = other_connection.transaction()
    await change.start()
    await other_connection.execute("update webhooks set events = '{user.banned}' where id = $1", webhook["webhook_id"])
    round_ = asyncio.create_task(owner.fan_out())
    for _ in range(1000):
        if await owner.database.fetchval("select exists (select from pg_locks where not granted)"):
            break
        await asyncio.sleep(0.01)
    await change.commit()
    await round_

    assert await owner.fanned_out(webhook) == []


async def test_wake_during_a_lease_is_kept(owner: Owner) -> None:
    """The rule of `due_at`: a worker that ends its lease sees that the time has changed."""
    webhook = await owner.webhook()
    lease = "update webhooks set due_at = now() + interval '30 s', leased_until = now() + interval '30 s' where id = $1"
    await owner.database.execute(lease, webhook["webhook_id"])
    leased = await owner.database.fetchval("select due_at from webhooks where id = $1", webhook["webhook_id"])

    await owner.add("user.created")
    await owner.fan_out()

    assert await owner.database.fetchval("select due_at from webhooks where id = $1", webhook["webhook_id"]) < leased


async def test_lag_of_the_reader_is_measured(owner: Owner) -> None:
    await owner.add("user.created")
    lag = Queries("event_readers")["measure_lag"].text
    assert await owner.database.fetchval(lag, fan_out.READER) > 0

    await owner.fan_out()

    assert await owner.database.fetchval(lag, fan_out.READER) == 0


def test_delivery_id_is_unique_per_webhook_and_sorts_by_time() -> None:
    event_id = "evt_01kf0fv3bznk9jayq84cstkf4c"
    ids = {delivery_id(f"whk_{number}", event_id) for number in range(100)}

    assert len(ids) == 100
    assert {one[:14] for one in ids} == {"dlv_01kf0fv3bz"}
    assert {event_prefix(one) for one in ids} == {"evt_01kf0fv3bz"}
    assert len(min(ids)) == len(event_id)
