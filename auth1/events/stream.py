"""Final events as they appear: one poll per worker serves all streams, in the order of (tx, id).

A stream joins at the position of the poll, and reads what it missed before that position from the table itself. Only
`MAX_WAITING_BYTES` wait for a stream. One that reads more slowly is behind, and joins again when it has taken them. So
no stream misses or repeats an event, and no client takes more memory.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from auth1 import metrics
from auth1.core.postgres import NO_PARAMS, NoParams, Postgres, Queries, Transaction
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable
from auth1.events.reader import EventRow, Position, position_of, read_final

POLL_S = 0.5
CHECK_S = 2.0  # seconds between checks of the callers
MAX_ROWS = 500  # of a poll
MAX_STREAMS = 200  # of a worker
MAX_OF_TENANT = 5  # of a tenant and worker
MAX_WAITING_BYTES = 128 * 1024  # of a stream
ROW_BYTES = 500  # of an event besides its data, at most
RETRY_AFTER_S = 5
ALL_TENANTS = None
_AFTER_ALL = "~"  # above every id

_QUERIES = Queries("event_streams")


class _Clock(NamedTuple):
    final_tx: str
    next_tx: str


class _Callers(NamedTuple):
    key_ids: list[str]
    tenant_ids: list[str]


class _OfTenant(NamedTuple):
    tenant_id: str
    tx: str
    id: str


class _Id(NamedTuple):
    id: str


_BEGIN_POLL = _QUERIES.statement("begin_poll", NoParams, _Clock)
_VALID_CALLERS = _QUERIES.statement("valid_callers", _Callers, _Id)
_NEWEST = _QUERIES.statement("newest_event", _OfTenant, _Id)


def _size(row: EventRow) -> int:
    return len(row.data) + ROW_BYTES


class Subscription:
    """The events of one stream that it has not taken yet."""

    def __init__(self, tenant_id: str | None, caller_id: str, matches: Callable[[EventRow], bool]) -> None:
        self.tenant_id = tenant_id
        self.caller_id = caller_id  # a key, or the tenant that the operator reads; empty: of all tenants
        self.position = Position(0, "")  # everything up to it was taken
        self.joined_at = Position(0, "")  # everything after it is offered
        self.last_id = ""  # of the last event that was taken or did not match
        self.is_behind = False
        self.is_ended = False
        self._matches = matches
        self._rows: list[EventRow] = []
        self._size = 0
        self._changed = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """Return the size of the events that wait."""
        return sum([_size(row) for row in self._rows])

    def join(self, position: Position) -> None:
        """Receive all events after a position from now on."""
        self.joined_at, self.is_behind = position, False

    def offer(self, row: EventRow) -> None:
        """Queue an event that matches."""
        if self.is_behind or position_of(row.tx, row.id) <= self.position:
            return
        if not self._matches(row):
            if not self._rows:
                self.advance_past(row)
            return
        self._size += _size(row)
        if self._rows and self._size > MAX_WAITING_BYTES:
            self.is_behind = True
        else:
            self._rows.append(row)
        self._changed.set()

    def advance_past(self, row: EventRow) -> None:
        """Set the position after an event that was sent, or that does not match."""
        self.position, self.last_id = position_of(row.tx, row.id), row.id

    def matching(self, rows: Sequence[EventRow]) -> list[EventRow]:
        """Return the events that match, of events that the stream has read itself."""
        return [row for row in rows if self._matches(row)]

    async def take(self, timeout_s: float) -> list[EventRow]:
        """Return the events that wait, or the next ones; none after a time, or when the stream must join or end."""
        if not self._rows and not self.is_behind and not self.is_ended:
            self._changed.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._changed.wait()
            except TimeoutError:
                return []
        rows, self._rows, self._size = self._rows, [], 0
        if rows:
            self.advance_past(rows[-1])
        return rows

    def end(self) -> None:
        """End the stream; its client may resume."""
        self.is_ended = True
        self._changed.set()


class EventStreams:
    """The streams of a worker, and the poll that serves them. It runs while there are any."""

    def __init__(self, postgres: Postgres, log: Log) -> None:
        self._postgres = postgres
        self._log = log
        self._streams: set[Subscription] = set()
        self._joined: dict[str | None, set[Subscription]] = {}  # by tenant
        self._joining: dict[Subscription, asyncio.Future[None]] = {}
        self._position: Position | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_stopping = False
        self.one_at_a_time = asyncio.Lock()  # of the pages that streams read themselves

    def open(self, tenant_id: str | None, caller_id: str, matches: Callable[[EventRow], bool]) -> Subscription:
        """Return the subscription of a new stream; `tenant_id` None: of all tenants. Raises Unavailable at a limit."""
        of_tenant = sum(one.tenant_id == tenant_id for one in self._streams)
        if self._is_stopping or of_tenant >= MAX_OF_TENANT or len(self._streams) >= MAX_STREAMS:
            raise Unavailable("Too many streams of events; retry.", retry_after=RETRY_AFTER_S)
        stream = Subscription(tenant_id, caller_id, matches)
        self._streams.add(stream)
        metrics.EVENT_STREAMS.set(len(self._streams))
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return stream

    def close(self, stream: Subscription) -> None:
        """Remove a stream."""
        self._streams.discard(stream)
        self._leave(stream)
        metrics.EVENT_STREAMS.set(len(self._streams))
        if not self._streams:
            self._wake.set()

    async def join(self, stream: Subscription) -> None:
        """Let the poll offer events to a stream; `joined_at` is set. Raises Unavailable."""
        self._leave(stream)
        joined = self._joining[stream] = asyncio.get_running_loop().create_future()
        self._wake.set()
        try:
            await joined
        finally:
            self._joining.pop(stream, None)

    async def begin(self, stream: Subscription, after: Position | None) -> None:
        """Let a new stream join. It begins after a position, or with the next event. Raises Unavailable."""
        if after is not None:
            stream.position = after
        await self.join(stream)
        if after is not None:
            return
        stream.position = stream.joined_at
        if stream.tenant_id is not None:
            newest = await self._postgres.row(_NEWEST, _OfTenant(stream.tenant_id, str(stream.position.tx), _AFTER_ALL))
            stream.last_id = stream.last_id or (newest.id if newest is not None else "")

    def end_all(self) -> None:
        """End all streams, because the worker is about to stop; no new one begins."""
        self._is_stopping = True
        for stream in self._streams:
            stream.end()

    async def stop(self) -> None:
        """End all streams and the poll."""
        self.end_all()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _leave(self, stream: Subscription) -> None:
        of_tenant = self._joined.get(stream.tenant_id, set())
        of_tenant.discard(stream)
        if not of_tenant:
            self._joined.pop(stream.tenant_id, None)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        check_at = loop.time() + CHECK_S
        while self._streams:
            is_full = False
            try:
                is_full = await self._poll()
                if loop.time() >= check_at:
                    check_at = loop.time() + CHECK_S
                    await self._check_callers()
            except Unavailable as error:
                self._fail(error)  # already logged
            except Exception as error:
                self._log.error("background task failed", error=error)
                self._fail(Unavailable(retry_after=RETRY_AFTER_S))
            if not is_full:
                await self._pause()
        self._task = self._position = None

    async def _pause(self) -> None:
        """Wait for the next poll; a stream that joins does not wait."""
        try:
            async with asyncio.timeout(POLL_S):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    async def _poll(self) -> bool:
        """Read the next final events, and offer them; return whether there may be more."""
        rows = await self._postgres.in_transaction(self._read)
        for row in rows:
            for stream in self._readers_of(row.tenant_id):
                stream.offer(row)
            self._position = position_of(row.tx, row.id)
        return len(rows) == MAX_ROWS

    async def _read(self, transaction: Transaction) -> list[EventRow]:
        clock = await transaction.row(_BEGIN_POLL, NO_PARAMS)
        assert clock is not None, "the statement always returns a row"
        if self._position is not None and self._position.tx >= int(clock.next_tx):
            self._lose_position()  # the database has lost transactions, or is another one
        if self._position is None:
            self._position = Position(int(clock.final_tx) - 1, _AFTER_ALL)
        self._admit(self._position)
        return await read_final(transaction, str(self._position.tx), self._position.id, MAX_ROWS)

    def _admit(self, position: Position) -> None:
        """Let streams join that wait for it. The events of this poll are offered to them."""
        for stream, joined in self._joining.items():
            if not joined.done():
                stream.join(position)
                self._joined.setdefault(stream.tenant_id, set()).add(stream)
                joined.set_result(None)

    def _readers_of(self, tenant_id: str) -> Iterator[Subscription]:
        yield from self._joined.get(tenant_id, ())
        yield from self._joined.get(ALL_TENANTS, ())

    def _lose_position(self) -> None:
        self._position = None
        for stream in self._streams:
            stream.end()

    def _fail(self, error: Unavailable) -> None:
        for joined in self._joining.values():
            if not joined.done():
                joined.set_exception(error)

    async def _check_callers(self) -> None:
        """End the streams whose key is revoked or expired, or whose tenant is deleted or suspended."""
        callers = {stream.caller_id for stream in self._streams if stream.caller_id}
        tenants = [caller for caller in callers if caller.startswith("tn_")]
        found = await self._postgres.rows(_VALID_CALLERS, _Callers(list(callers.difference(tenants)), tenants))
        valid = {row.id for row in found}
        for stream in self._streams:
            if stream.caller_id and stream.caller_id in callers and stream.caller_id not in valid:
                stream.end()
