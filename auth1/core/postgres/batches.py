"""Group commit: requests of several callers share one statement, one commit and one wait for the disk.

Replaces one statement for each request. A request that finds fewer than `MAX_IN_FLIGHT` statements of its kind is sent
at once; requests that arrive later share the next statement. There is no timer, so an idle server adds no wait. The
oracle is the same function called with one request (tests/batches).

- A result is returned after the commit of its statement.
- Requests for the same row take turns, in the order of their arrival, so a batch locks each row once.
- The function leaves a request out of its result when a row is locked by another transaction. Such a request is
  repeated alone. So is each request of a batch that PostgreSQL rolled back: a bad one fails alone.
- After a lost connection, each request checks by `find` whether it was committed, and is repeated alone if it was not.
- A request that is not sent within the time to acquire a connection returns 503, and is not sent.
- A caller that is cancelled withdraws its request if it was not sent. It never cancels a statement of others.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress
from contextvars import Context
from functools import partial
from operator import attrgetter
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary, WeakValueDictionary

import asyncpg

from auth1 import metrics
from auth1.core.postgres.connections import RETRY_AFTER_S, ROLLED_BACK_ERRORS, ConnectionLost, statement_span
from auth1.core.postgres.pool import Postgres
from auth1.core.postgres.queries import Function
from auth1.errors import Unavailable

Params = TypeVar("Params")
Row = TypeVar("Row")
Result = TypeVar("Result")

MAX_ROWS = 64
MAX_IN_FLIGHT = 2  # statements of a kind and worker


async def find_nothing() -> None:
    """Find no committed result: repeating the request is safe."""


def is_shared(_: object) -> bool:
    """Let a request share a batch."""
    return True


class Batched(Generic[Params, Row]):
    """A function that is called with the requests of several callers.

    `id_fields` are those that identify a request and its result. `lock_fields` are the key of the row that the
    function locks; a function that only reads has none. `can_share` returns False for a request that must be a batch of
    its own.
    """

    def __init__(
        self,
        function: Function[Params, Row],
        *,
        id_fields: tuple[str, ...],
        lock_fields: tuple[str, ...] = (),
        can_share: Callable[[Params], bool] = is_shared,
    ) -> None:
        self.function = function
        self._id = attrgetter(*id_fields)
        self._key = attrgetter(*lock_fields) if lock_fields else None
        self._can_share = can_share
        self._queues: WeakKeyDictionary[Postgres, _Queue[Params, Row]] = WeakKeyDictionary()

    async def call(
        self, postgres: Postgres, request: Params, find: Callable[[], Awaitable[Row | None]] = find_nothing
    ) -> Row:
        """Execute a request and return its result. `find` returns its committed result after a lost connection."""
        queue = self._queues.get(postgres)
        if queue is None:
            queue = self._queues[postgres] = _Queue(postgres, self.function, self._id)
        arrived = queue.now()
        with statement_span(self.function.name):
            if self._key is None:
                return await self._call(queue, request, find, arrived)
            turn = await queue.take_turn(self._key(request))
            try:
                return await self._call(queue, request, find, arrived)
            finally:
                turn.release()

    async def _call(
        self,
        queue: "_Queue[Params, Row]",
        request: Params,
        find: Callable[[], Awaitable[Row | None]],
        arrived: float,
    ) -> Row:
        shares = self._can_share(request)

        async def execute() -> Row:
            nonlocal shares
            if shares:
                shares = False  # a repetition runs alone
                result = await queue.share(request, arrived)
                if result is not None:
                    return result
            return await queue.execute_alone(request, arrived)

        return await repeat_once(execute, find)


class _Waiting(Generic[Params, Row]):
    """A request in the queue. Its result is None when it is to be repeated alone."""

    __slots__ = ("arrived", "request", "result")

    def __init__(self, request: Params, result: "asyncio.Future[Row | None]", arrived: float) -> None:
        self.request = request
        self.result = result
        self.arrived = arrived


class _Queue(Generic[Params, Row]):
    """The requests of one kind in a worker."""

    def __init__(
        self, postgres: Postgres, function: Function[Params, Row], result_id: Callable[[Any], Hashable]
    ) -> None:
        self._postgres = postgres
        self._function = function
        self._id = result_id
        self._loop = asyncio.get_running_loop()
        self.now = self._loop.time
        self._wait_s, self._statement_s = postgres.acquire_s, postgres.statement_s
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()
        self._waiting: deque[_Waiting[Params, Row]] = deque()
        self._sending = 0  # not the number of tasks: a task is done later than its last look at the queue
        self._tasks: set[asyncio.Task[None]] = set()  # the event loop keeps weak references only
        self._rows = metrics.POSTGRES_BATCH_ROWS.labels(function.name)

    async def take_turn(self, key: Hashable) -> asyncio.Lock:
        """Wait until earlier requests for the same row are done; return its lock. Raises Unavailable after a time."""
        turn = self._turns.get(key)
        if turn is None:
            turn = self._turns[key] = asyncio.Lock()
            await turn.acquire()
            return turn
        try:
            async with asyncio.timeout(self._wait_s):
                await turn.acquire()
        except TimeoutError as error:
            raise self._postgres.unavailable(error) from error
        return turn

    async def share(self, request: Params, arrived: float) -> Row | None:
        """Execute a request in a batch. Returns None when it must be repeated alone: nothing of it was committed."""
        waiting = _Waiting[Params, Row](request, self._loop.create_future(), arrived)
        self._waiting.append(waiting)
        if self._sending < MAX_IN_FLIGHT:
            self._sending += 1
            task = self._loop.create_task(self._send(), context=Context())  # not of this request, and not in its trace
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await waiting.result

    async def execute_alone(self, request: Params, arrived: float) -> Row:
        """Execute one request. Raises Unavailable when its time is over."""
        time_s = min(arrived + self._wait_s + self._statement_s - self.now(), self._statement_s)
        if time_s <= 0:
            raise self._postgres.unavailable(TimeoutError())
        [row] = await self._postgres.call(self._function, request, time_s=time_s)
        return row

    async def _send(self) -> None:
        """Send batches until no request is waiting. A separate task, so that no caller cancels it."""
        try:
            while self._waiting:
                batch: list[_Waiting[Params, Row]] = []
                try:
                    rows = await self._postgres.call_when_connected(self._function, partial(self._take, batch))
                except Exception as error:  # every caller gets it or repeats its request
                    if not batch:  # no connection
                        self._take(batch)
                    self._fail(batch, error)
                else:
                    self._answer(batch, rows)
        finally:
            self._sending -= 1

    def _take(self, batch: "list[_Waiting[Params, Row]]") -> list[Params]:
        """Move requests from the queue to a batch. Those of cancelled callers, and those that are late, are dropped."""
        now = self.now()
        while self._waiting and len(batch) < MAX_ROWS:
            waiting = self._waiting.popleft()
            if waiting.result.done():
                continue
            if waiting.arrived + self._wait_s < now:
                waiting.result.set_exception(self._postgres.unavailable(TimeoutError()))
            else:
                batch.append(waiting)
        return [waiting.request for waiting in batch]

    def _answer(self, batch: "list[_Waiting[Params, Row]]", rows: list[Row]) -> None:
        """Return to each caller its row."""
        if batch:
            self._rows.observe(len(batch))
        results = {self._id(row): row for row in rows}
        for waiting in batch:
            if not waiting.result.done():
                waiting.result.set_result(results.get(self._id(waiting.request)))

    def _fail(self, batch: "list[_Waiting[Params, Row]]", error: Exception) -> None:
        """Let callers repeat their requests alone if the batch was rolled back; otherwise raise the error for each."""
        rolled_back = isinstance(error.__cause__ if isinstance(error, Unavailable) else error, ROLLED_BACK_ERRORS)
        for waiting in batch:
            if waiting.result.done():
                continue
            if len(batch) == 1:
                waiting.result.set_exception(error)
            elif rolled_back:
                waiting.result.set_result(None)
            elif isinstance(error, Unavailable):
                waiting.result.set_exception(type(error)(error.detail, retry_after=error.retry_after))
            else:
                waiting.result.set_exception(error)


async def repeat_once(run: Callable[[], Awaitable[Result]], find: Callable[[], Awaitable[Result | None]]) -> Result:
    """Run a statement, and after a lost connection once more unless `find` finds that it was committed.

    The first run may still wait for a lock and be committed while the second one waits for it. So `find` looks again
    afterwards, and a unique violation means that the first run was committed.
    """
    with suppress(ConnectionLost):
        return await run()
    found = await find()
    if found is not None:
        return found
    results: list[Result] = []
    with suppress(asyncpg.UniqueViolationError):
        results.append(await run())
    found = await find()
    if found is not None:
        return found
    if not results:
        raise Unavailable(retry_after=RETRY_AFTER_S)
    return results[0]
