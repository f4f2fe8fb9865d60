"""The lag of a replica, and whether it serves reads.

Each second the end of the primary's log is noted with its time. The lag is the age of the oldest noted end that the
replica has not replayed, so a primary without writes shows none, and a replica that lost its connection does.
"""

import math
import time
from collections import deque

from auth1 import metrics
from auth1.core.postgres.pool import Postgres
from auth1.core.postgres.queries import Queries
from auth1.errors import Unavailable

MAX_NOTES = 3600  # an hour; a larger lag is shown as infinite
_QUERIES = Queries("postgres")


class Replica:
    """A replica beside its primary. Reads go to the primary while the replica lags too much or is unavailable."""

    def __init__(self, primary: Postgres, replica: Postgres, *, max_lag_s: float) -> None:
        self._primary = primary
        self.postgres = replica
        self._max_lag_s = max_lag_s
        self._notes: deque[tuple[float, int]] = deque(maxlen=MAX_NOTES)
        self.lag_s = math.inf

    @property
    def reads(self) -> Postgres:
        """Return the pool for reads that may lag."""
        return self.postgres if self.lag_s <= self._max_lag_s else self._primary

    async def measure(self) -> None:
        """Measure the lag. Without a primary, the lag is that of what it had written."""
        try:
            [row] = await self._primary.rows(_QUERIES["read_log_end"])
            if row["log_end"] is not None:
                self._notes.append((time.monotonic(), int(row["log_end"])))
        except Unavailable:
            pass  # already logged
        try:
            [row] = await self.postgres.rows(_QUERIES["read_replayed"])
        except Unavailable:
            self.lag_s = math.inf
        else:
            self.lag_s = self._lag_s(row["replayed"])
        metrics.REPLICA_LAG.set(self.lag_s)

    def _lag_s(self, replayed: int | None) -> float:
        if replayed is None:  # it is no replica, but another primary
            return 0.0
        is_full = len(self._notes) == MAX_NOTES
        has_dropped = False
        while self._notes and self._notes[0][1] <= replayed:
            self._notes.popleft()
            has_dropped = True
        if not self._notes:
            return 0.0
        return math.inf if is_full and not has_dropped else time.monotonic() - self._notes[0][0]
