"""Limit concurrent requests of one kind by limit key, and the bodies that are being received by client address.

Requests that are answered at once are never concurrent. Of these, `BurstLimiter` limits those that wait together.
"""

import asyncio

from auth1.core.http.client_ip import LOCAL
from auth1.errors import Unavailable

SHARES = 4  # of all limit keys together
RETRY_AFTER_S = 5
BURST = 500  # requests of one address that wait for the event loop together; at usual load a few wait
BURST_AFTERWARDS = 16  # for AFTERWARDS_S after such a burst: its connections have more requests
AFTERWARDS_S = 1.0
_CLOSE = {"connection": "close"}  # a client that pipelines many requests gets one such response


class ConcurrencyLimiter:
    """Counts the requests that run in this worker, by kind and limit key. Keys without requests take no memory.

    The more of the total is in use, the less one key may add, so that a few keys never use all of it.
    """

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], int] = {}

    @property
    def keys(self) -> int:
        """Return the number of keys with requests, including those of all limit keys together."""
        return len(self._running)

    def enter(self, kind: str, limit_key: str, max_concurrent: int) -> tuple[str, str]:
        """Count a request until `leave` is called with the returned key. Raises Unavailable at the limit."""
        running, key, all_of_it = self._running, (kind, limit_key), (kind, "")
        mine, total = running.get(key, 0), running.get(all_of_it, 0)
        if mine >= min(max_concurrent, max_concurrent * SHARES - total):
            raise too_many()
        running[key], running[all_of_it] = mine + 1, total + 1
        return key

    def leave(self, key: tuple[str, str]) -> None:
        """Count a request no longer."""
        for one in (key, (key[0], "")):
            self._running[one] -= 1
            if not self._running[one]:
                del self._running[one]


class PendingBody:
    """A body that is being received. Its `deadline` ends at once when another address needs its place."""

    __slots__ = ("address", "deadline", "is_evicted")

    def __init__(self, address: str, deadline: asyncio.Timeout) -> None:
        self.address = address
        self.deadline = deadline
        self.is_evicted = False


class BodyLimiter:
    """Bounds the bodies that this worker receives at once: `max_of_address` of one address, SHARES times it of all.

    When all places are in use, an address with less than an equal part gets the place of the oldest body of the address
    with the most. So addresses that never complete their bodies leave every other address its part.
    """

    def __init__(self) -> None:
        self._pending: dict[str, dict[PendingBody, None]] = {}  # by address, oldest first
        self.total = 0

    def enter(self, address: str, deadline: asyncio.Timeout, max_of_address: int) -> PendingBody:
        """Count a body until `leave` is called. Raises Unavailable at the limit."""
        mine = len(self._pending.get(address, ()))
        if mine >= max_of_address or (self.total >= max_of_address * SHARES and not self._make_room(mine)):
            raise too_many()
        body = PendingBody(address, deadline)
        self._pending.setdefault(address, {})[body] = None
        self.total += 1
        return body

    def leave(self, body: PendingBody) -> None:
        """Count a body no longer. A body that lost its place does not count."""
        if not body.is_evicted:
            self._remove(body)

    def _make_room(self, mine: int) -> bool:
        """End the oldest body of the address with the most, if an address with `mine` bodies has less than its part."""
        if (mine + 1) * len(self._pending) > self.total:  # O(1) for an address that has its part
            return False
        bodies = max(self._pending.values(), key=len)
        if len(bodies) <= mine + 1:
            return False
        oldest = next(iter(bodies))
        self._remove(oldest)
        oldest.is_evicted = True
        if not oldest.deadline.expired():
            oldest.deadline.reschedule(asyncio.get_running_loop().time())
        return True

    def _remove(self, body: PendingBody) -> None:
        bodies = self._pending[body.address]
        del bodies[body]
        if not bodies:
            del self._pending[body.address]
        self.total -= 1


class BurstLimiter:
    """Counts the requests of each address (IPv6: of each /64) that begin in one iteration of the event loop.

    They arrived while the iteration before them ran, and each of them delays the requests behind it.
    """

    def __init__(self) -> None:
        self._begun: dict[str, int] = {}
        self._strict_until: dict[str, float] = {}  # by address, of bursts within the last second

    def check(self, address: str) -> None:
        """Count a request. Raises Unavailable when too many of its address began in this iteration."""
        if not self._begun:
            asyncio.get_running_loop().call_soon(self._clear)  # runs in the next iteration, before its requests
        count = self._begun.get(address, 0) + 1
        self._begun[address] = count
        if count <= BURST_AFTERWARDS or address == LOCAL:
            return
        if count > BURST:
            self._strict_until[address] = asyncio.get_running_loop().time() + AFTERWARDS_S
        elif address not in self._strict_until:
            return
        raise too_many("Too many concurrent requests of this address; retry.")

    def _clear(self) -> None:
        self._begun.clear()
        if self._strict_until:
            now = asyncio.get_running_loop().time()
            self._strict_until = {address: until for address, until in self._strict_until.items() if until > now}


def too_many(detail: str = "Too many concurrent requests of this kind; retry.") -> Unavailable:
    """Return the error of a request above a limit. Its connection is closed."""
    return Unavailable(detail, retry_after=RETRY_AFTER_S, headers=_CLOSE)
