"""A reader follows the events once, in one order, whatever order they commit in."""

import asyncio
from collections.abc import Awaitable, Callable

import asyncpg
import pytest

from auth1 import metrics
from auth1.core.ids import new_id
from auth1.core.postgres import Queries, Query, Transaction
from auth1.events import reader
from auth1.events.reader import EventRow, Place
from tests.audit.conftest import AuditLog, insert

NAME = "test"
TENANT = "tn_reader"
LAG = Queries("event_readers")["measure_lag"]
ADD = Query("add", "insert into followed (id) select unnest($1::text[])")


class Followed:
    """A reader that stores the ids it was given in a table, in the transaction of the round."""

    def __init__(self, log: AuditLog) -> None:
        self.log = log
        self.crash: Callable[[], Awaitable[None]] | None = None

    async def work(self, transaction: Transaction, place: Place, rows: list[EventRow]) -> None:
        await transaction.rows(ADD, [row.id for row in rows])
        if self.crash is not None:
            await self.crash()

    async def round(self, max_rows: int = 5000) -> int:
        return await reader.follow(self.log.services.postgres, NAME, self.work, max_rows)

    async def rounds(self, max_rows: int = 5000) -> list[str]:
        """Run rounds until nothing is left; return all ids in their order."""
        while await self.round(max_rows):
            pass
        return await self.ids()

    async def ids(self) -> list[str]:
        return [row["id"] for row in await self.log.database.fetch("select id from followed order by number")]


@pytest.fixture
async def followed(audit_log: AuditLog) -> Followed:
    await audit_log.database.execute("create table followed (number bigserial, id text)")
    await audit_log.database.execute("insert into event_readers (name) values ($1)", NAME)
    return Followed(audit_log)


async def test_reader_gets_each_event_once_in_order(followed: Followed) -> None:
    ids = await followed.log.add(TENANT, 12)

    assert await followed.rounds(max_rows=5) == ids
    assert await followed.rounds() == ids


async def test_ids_out_of_order_do_not_matter(followed: Followed) -> None:
    ids = ["evt_3", "evt_1", "evt_2"]
    for event_id in ids:
        await insert(followed.log.database, TENANT, event_id)

    assert await followed.rounds() == ids


async def test_event_behind_an_open_transaction_waits_for_it(followed: Followed) -> None:
    first, second = new_id("evt"), new_id("evt")
    other = await asyncpg.connect(followed.log.url)
    open_transaction = other.transaction()
    await open_transaction.start()
    await insert(other, TENANT, first)
    await insert(followed.log.database, TENANT, second)

    assert await followed.rounds() == []
    assert await followed.log.database.fetchval(LAG.text, NAME) > 0

    await open_transaction.commit()
    await other.close()
    assert await followed.rounds() == [first, second]


async def test_order_is_that_of_numbers_not_of_texts(followed: Followed) -> None:
    ids = await followed.log.add(TENANT, 3)
    for event_id, tx in zip(ids, ("9", "10", "101"), strict=True):
        await followed.log.database.execute("update events set tx = $2::text::xid8 where id = $1", event_id, tx)

    assert await followed.rounds(max_rows=2) == ids


async def test_rolled_back_events_are_not_read(followed: Followed) -> None:
    transaction = followed.log.database.transaction()
    await transaction.start()
    await insert(followed.log.database, TENANT, new_id("evt"))
    await transaction.rollback()
    [kept] = await followed.log.add(TENANT)

    assert await followed.rounds() == [kept]


async def test_events_without_a_transaction_come_first(followed: Followed) -> None:
    later = await followed.log.add(TENANT, 2)
    earlier = sorted(await followed.log.add(TENANT, 5))
    await followed.log.database.execute("update events set tx = '0' where id = any($1)", earlier)

    assert await followed.rounds(max_rows=2) == earlier + later


async def test_one_process_reads_at_a_time(followed: Followed) -> None:
    ids = await followed.log.add(TENANT, 300)

    async def work() -> int:
        return sum([await followed.round(max_rows=20) for _ in range(15)])

    counts = await asyncio.gather(*(work() for _ in range(4)))
    assert sum(counts) == len(await followed.ids())
    await followed.rounds()
    assert await followed.ids() == ids


class Crash(Exception):
    pass


async def test_crash_in_a_round_repeats_and_skips_nothing(followed: Followed) -> None:
    ids = await followed.log.add(TENANT, 10)

    async def fail() -> None:
        raise Crash

    async def lose_connection() -> None:
        await followed.log.database.fetch(
            "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"
        )

    followed.crash = fail
    with pytest.raises(Crash):
        await followed.round(max_rows=4)
    followed.crash = lose_connection
    with pytest.raises(Exception, match="unavailable"):
        await followed.round(max_rows=4)
    followed.crash = None

    assert await followed.rounds(max_rows=4) == ids


async def test_reader_that_fails_in_each_round_lags(followed: Followed) -> None:
    await followed.log.add(TENANT)

    async def fail() -> None:
        raise Crash

    followed.crash = fail
    with pytest.raises(Crash):
        await followed.round()
    [family] = metrics.EVENT_READER_LAG.collector.collect()
    assert [sample.value > 0 for sample in family.samples if sample.labels["reader"] == NAME] == [True]
    followed.crash = None
    await followed.rounds()
    [family] = metrics.EVENT_READER_LAG.collector.collect()
    assert [sample.value for sample in family.samples if sample.labels["reader"] == NAME] == [0]


async def test_lag_is_zero_when_everything_is_read(followed: Followed) -> None:
    await followed.log.add(TENANT)
    await followed.rounds()

    assert await followed.log.database.fetchval(LAG.text, NAME) == 0
