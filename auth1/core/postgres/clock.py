"""The server's clock, by its difference to this machine's monotonic one, which is never set."""

import time
from typing import Any

from auth1.core.postgres.queries import Queries

CLOCKS_AGREE_S = 2.0  # a smaller difference between two clocks is left alone
_QUERIES = Queries("postgres")


class ServerClock:
    """Read once for each connection, so that it follows a failover, and a clock that runs too fast."""

    def __init__(self) -> None:
        self._offset_s = 0.0  # at least; 0: unknown
        self._error_s = 0.0  # the offset is at most this much larger

    async def read(self, connection: Any) -> None:
        before = time.monotonic()
        now: float = await connection.fetchval(_QUERIES["read_clock"].text)
        after = time.monotonic()
        self._offset_s, self._error_s = now - after, after - before

    @property
    def earliest(self) -> float:
        """Return the time in seconds since 1970, or a little less: so deadlines are never late."""
        return time.monotonic() + self._offset_s

    def now(self) -> float:
        """Return the time in seconds since 1970, in which all machines that use the server agree.

        It is that of this machine, unless it differs from the server's by more than 2 s, or the server's is unknown.
        """
        here, earliest = time.time(), self.earliest
        if not self._offset_s or earliest - CLOCKS_AGREE_S <= here <= earliest + self._error_s + CLOCKS_AGREE_S:
            return here
        return earliest + self._error_s / 2
