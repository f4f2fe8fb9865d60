"""The steps of a move, each of which can be repeated after a crash.

copying    triggers record changes, and all rows are copied
following  changes are copied until few are left
closing    for some seconds, requests of the tenant get 503. The last messages are sent, the rows are frozen, the last
           changes are copied, and the source marks the tenant as moved
opening    the target serves the tenant

The target is read only for its own workers until it is opened, so no row has two writers. The tenant is closed until a
time, so it opens again even if this process is killed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import asyncpg

from auth1.core.ids import new_id
from auth1.core.postgres import Queries, Query
from auth1.core.postgres.connections import clean_dsn
from auth1.tenants.move import rows
from auth1.tenants.move.tables import Table, arguments, describe_tables

CLOSED_S = 8.0  # the longest time that the tenant is closed
MARGIN_S = 1.0  # of it, for the last statements
DRAIN_S = 2.0  # of it, for messages that are being sent
FEW_CHANGES = 200
MAX_ROUNDS = 10_000
SETTLE_S = 31.0  # workers without Redis know a tenant for 30 s

_QUERIES = Queries("tenant_move")
Report = Callable[[str], None]
Publish = Callable[[], Awaitable[None]]


class MoveError(Exception):
    """The move cannot begin or go on. The message says what to do."""


class Moved(NamedTuple):
    """The result of a move."""

    rows: int  # that were copied at once; 0 if that was done before
    changes: int  # that were copied afterwards
    closed_s: float  # how long requests of the tenant were rejected; 0 if that was done before


class _Move:
    """One run. `control` is a second connection to the source, because `source` is busy copying."""

    def __init__(
        self, source: asyncpg.Connection, control: asyncpg.Connection, target: asyncpg.Connection, owner: str
    ) -> None:
        self.source = source
        self.control = control
        self.target = target
        self.owner = owner
        self.tables: list[Table] = []
        self.changes = 0

    async def execute(self, connection: asyncpg.Connection, query: Query, **values: object) -> asyncpg.Record | None:
        return await connection.fetchrow(query.text, *arguments(query, owner=self.owner, **values))

    async def state(self) -> str | None:
        """Return the state of the source, None without a move. Raises MoveError if the target is another one's."""
        known, there = (
            await self.execute(self.control, _QUERIES["get_move"]),
            await self.execute(self.target, _QUERIES["get_move"]),
        )
        if known is None:
            return None
        if there is None or there["move_id"] != known["move_id"]:
            raise MoveError("This tenant is being moved to another database. Name that one, or abort the move there.")
        return str(known["state"])

    async def check_target(self) -> None:
        """Compare the tables. Raises MoveError if they differ."""
        self.tables = await describe_tables(self.control, self.owner)
        if await describe_tables(self.target, self.owner) != self.tables:
            raise MoveError("The databases have different tables. Run auth1 migrate of one release on both.")

    async def begin(self) -> None:
        """Begin a move. Raises MoveError if the target has rows: its events and readers would mix."""
        for table in self.tables:
            if await self.target.fetchval(table.has_rows):
                raise MoveError("The target database has rows. Create an empty one, and run auth1 migrate on it.")
        move_id = new_id("mv")
        await self.close_target()
        await self.execute(self.target, _QUERIES["begin_arrival"], move_id=move_id)
        await self.execute(self.control, _QUERIES["begin_move"], move_id=move_id)

    async def close_target(self) -> None:
        await self.target.execute(await self.target.fetchval(_QUERIES["close_database"].text))
        await self.target.execute(_QUERIES["end_connections"].text)

    async def open_target(self) -> None:
        """Let the target serve the tenant."""
        await self.target.execute(await self.target.fetchval(_QUERIES["open_database"].text))
        await self.target.execute(_QUERIES["end_connections"].text)

    async def begin_service(self) -> None:
        """Open the target after the move, with the event of the move."""
        event = await self.execute(self.control, _QUERIES["find_moved_event"])
        if event is not None:  # an earlier release wrote none
            await self.execute(self.target, _QUERIES["repeat_moved_event"], event_id=event["event_id"])
        await self.open_target()

    async def copy(self) -> int:
        await rows.record_changes(self.control, self.tables)
        copied = await rows.copy_all(self.source, self.target, self.tables)
        await self.execute(self.control, _QUERIES["set_state"], state="following")
        return copied

    async def follow(self) -> int:
        """Copy the next changes; return their number."""
        done = await rows.copy_changes(self.source, self.target, self.tables, self.owner)
        self.changes += done
        return done

    async def follow_closely(self) -> None:
        """Copy changes until few are left."""
        for _ in range(MAX_ROUNDS):
            if await self.follow() <= FEW_CHANGES:
                return
        raise MoveError("The tenant changes faster than its changes are copied. Try again when it is less busy.")

    async def switch(self, publish: Publish) -> float:
        """Close the tenant, copy the last changes, and mark it as moved. Return how long it was closed.

        Raises MoveError, after the tenant is open again, when this takes too long.
        """
        started = time.monotonic()
        await self.execute(self.control, _QUERIES["close_tenant"], seconds=CLOSED_S)
        is_moved = False
        try:
            await publish()
            async with asyncio.timeout(CLOSED_S - MARGIN_S):
                await self._drain()
                await self.execute(self.control, _QUERIES["freeze_tenant"])
                await self.execute(self.control, _QUERIES["wait_for_writers"])
                while await self.follow():
                    pass
                await self._set_places()
                is_moved = await self._finish()
        except (TimeoutError, asyncpg.LockNotAvailableError):
            pass
        finally:
            if not is_moved:
                await self.execute(self.control, _QUERIES["open_tenant"])
                await publish()
        if not is_moved:
            raise MoveError("The last changes took too long. The tenant is open again; run the command once more.")
        await publish()
        await self.begin_service()
        return time.monotonic() - started

    async def _drain(self) -> None:
        """Wait until no message is being sent, or until the time for it is over."""
        end = time.monotonic() + DRAIN_S
        while time.monotonic() < end:
            await self.follow()
            sending = await self.execute(self.control, _QUERIES["count_sending"])
            if sending is not None and sending["messages"] == 0:
                return
            await asyncio.sleep(rows.PAUSE_S)

    async def _set_places(self) -> None:
        """Let the readers of the target continue where those of the source were: no event is sealed or sent twice."""
        async with self.target.transaction():
            for place in await self.control.fetch(_QUERIES["list_places"].text):
                if place["name"] == "message_hours":
                    await self.execute(self.target, _QUERIES["set_hour"], epoch=place["id"])
                else:
                    await self.execute(self.target, _QUERIES["set_place"], **place)
            await self.execute(self.target, _QUERIES["continue_clock"])
            await self.execute(self.target, _QUERIES["set_state"], state="arrived")

    async def _finish(self) -> bool:
        async with self.control.transaction():
            await self.execute(self.control, _QUERIES["wait_for_writers"])
            await self.execute(self.control, _QUERIES["exempt_from_recording"])
            if await self.execute(self.control, _QUERIES["finish_move"], event_id=new_id("evt")) is None:
                return False
            await self.execute(self.control, _QUERIES["silence_messages"])
            await self.execute(self.control, _QUERIES["silence_webhooks"])
        return True


async def move_tenant(
    source_url: str, target_url: str, owner: str, publish: Publish, report: Report, settle_s: float = SETTLE_S
) -> Moved:
    """Move a tenant, or go on with its move. `publish` lets all workers forget the tenant.

    Raises MoveError, and connection errors as asyncpg does.
    """
    async with _connected(source_url, target_url, owner) as move:
        state = await move.state()
        await move.check_target()
        if state is None:
            await move.begin()
            state = "copying"
        copied, closed_s = 0, 0.0
        if state == "copying":
            report("copying the rows")
            copied = await move.copy()
            report(f"copied {copied} rows")
        if state == "moved":
            await move.begin_service()
        else:
            await move.follow_closely()
            report("closing the tenant")
            closed_s = await move.switch(publish)
        report("moved; waiting until all workers know it")
        await asyncio.sleep(settle_s)
        await rows.forget_changes(move.control, move.tables, owner)
        return Moved(copied, move.changes, closed_s)


async def abort_move(source_url: str, target_url: str, owner: str, publish: Publish) -> None:
    """End a move before the tenant has moved, and empty the target. Raises MoveError."""
    async with _connected(source_url, target_url, owner) as move:
        state = await move.state()
        if state is None:
            raise MoveError("This tenant is not being moved.")
        if state == "moved":
            raise MoveError("This tenant has moved already.")
        await move.check_target()
        await rows.forget_changes(move.control, move.tables, owner)
        await move.execute(move.control, _QUERIES["delete_move"])
        await publish()
        for table in reversed(move.tables):
            await move.target.execute(table.empty)
        await move.execute(move.target, _QUERIES["delete_move"])
        await move.open_target()


@asynccontextmanager
async def _connected(source_url: str, target_url: str, owner: str) -> AsyncIterator[_Move]:
    opened: list[asyncpg.Connection] = []
    lock_wait = {"lock_timeout": f"{int(rows.LOCK_WAIT_S * 1000)}ms"}
    try:
        for url, settings in (
            (source_url, lock_wait),
            (source_url, lock_wait),
            (target_url, {"default_transaction_read_only": "off"}),
        ):
            opened.append(await asyncpg.connect(clean_dsn(url), timeout=5.0, server_settings=settings))
        source, control, target = opened
        yield _Move(source, control, target, owner)
    finally:
        for connection in opened:
            await connection.close(timeout=2.0)
