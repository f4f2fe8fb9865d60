"""The calls that this process makes at once, shared by their owners.

An owner may use as many slots as it leaves free: alone half of them, and further owners still find one. A slot that
becomes free goes to the waiting owner with the fewest, so that one with many slow calls delays no other for long.
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class AtCapacity(Exception):
    """This process had no slot or connection for a call, and made none. That says nothing about the other side."""


class SharedSlots:
    """At most `size` slots in use. Owners without calls take no memory."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._used: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}  # by owner, in order

    @property
    def is_idle(self) -> bool:
        """Return whether no slot is in use or awaited."""
        return self._free == self._size and not self._waiting

    @asynccontextmanager
    async def slot(self, owner: str, wait_s: float) -> AsyncIterator[None]:
        """Hold a slot. Raises AtCapacity after `wait_s` seconds without one."""
        if self._may_take(owner):
            self._take(owner)
        else:
            await self._wait(owner, wait_s)
        try:
            yield
        finally:
            self._release(owner)

    def _may_take(self, owner: str) -> bool:
        return self._used[owner] < self._free

    def _take(self, owner: str) -> None:
        self._free -= 1
        self._used[owner] += 1

    async def _wait(self, owner: str, wait_s: float) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(owner, deque()).append(waiter)
        try:
            async with asyncio.timeout(wait_s):
                await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled():
                self._release(owner)  # it got the slot at the same moment
            else:
                self._forget(owner, waiter)
            if isinstance(error, TimeoutError):
                raise AtCapacity from None
            raise

    def _release(self, owner: str) -> None:
        self._free += 1
        self._used[owner] -= 1
        if not self._used[owner]:
            del self._used[owner]
        while self._waiting:
            fewest = min(self._waiting, key=self._used.__getitem__)
            if not self._may_take(fewest):
                return
            waiter = self._waiting[fewest][0]
            self._forget(fewest, waiter)
            if not waiter.done():  # else its time has run out, and its task will learn it
                self._take(fewest)
                waiter.set_result(None)

    def _forget(self, owner: str, waiter: "asyncio.Future[None]") -> None:
        waiters = self._waiting.get(owner)
        if waiters is not None and waiter in waiters:
            waiters.remove(waiter)
            if not waiters:
                del self._waiting[owner]
