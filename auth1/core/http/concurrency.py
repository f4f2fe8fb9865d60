"""Limit concurrent requests of one kind, by limit key: of a route, or of bodies that are being received.

Requests that are answered at once are never concurrent. Of these, `BurstLimiter` limits those that wait together.
"""

import asyncio

from auth1.errors import Unavailable

SHARES = 4  # of all limit keys together
RETRY_AFTER_S = 5
BURST = 500  # requests of one address that wait for the event loop together; at usual load a few wait
BURST_AFTERWARDS = 16  # for AFTERWARDS_S after such a burst: its connections have more requests
AFTERWARDS_S = 1.0
_CLOSE = {"connection": "close"}  # a client that pipelines many requests gets one such response


class ConcurrencyLimiter:
    """Counts the requests that run in this worker, by kind and limit key. Keys without requests take no memory."""

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
        if mine >= max_concurrent or total >= max_concurrent * SHARES:
            raise Unavailable(
                "Too many concurrent requests of this kind; retry.",
                retry_after=RETRY_AFTER_S,
                headers=_CLOSE,
            )
        running[key], running[all_of_it] = mine + 1, total + 1
        return key

    def leave(self, key: tuple[str, str]) -> None:
        """Count a request no longer."""
        for one in (key, (key[0], "")):
            self._running[one] -= 1
            if not self._running[one]:
                del self._running[one]


class BurstLimiter:
    """Counts the requests of each address that begin in one iteration of the event loop.

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
        if count <= BURST_AFTERWARDS or not address:  # a unix socket has no address
            return
        if count > BURST:
            self._strict_until[address] = asyncio.get_running_loop().time() + AFTERWARDS_S
        elif address not in self._strict_until:
            return
        raise Unavailable(
            "Too many concurrent requests of this address; retry.", retry_after=RETRY_AFTER_S, headers=_CLOSE
        )

    def _clear(self) -> None:
        self._begun.clear()
        if self._strict_until:
            now = asyncio.get_running_loop().time()
            self._strict_until = {address: until for address, until in self._strict_until.items() if until > now}
