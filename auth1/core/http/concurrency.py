"""Limit concurrent requests of one kind, by limit key: of a route, or of bodies that are being received."""

from auth1.errors import Unavailable

SHARES = 4  # of all limit keys together
RETRY_AFTER_S = 5


class ConcurrencyLimiter:
    """Counts the requests that run in this worker, by kind and limit key. Keys without requests take no memory."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, str], int] = {}

    @property
    def keys(self) -> int:
        """Return how many keys have requests, those of all limit keys together included."""
        return len(self._running)

    def enter(self, kind: str, limit_key: str, max_concurrent: int) -> tuple[str, str]:
        """Count a request until `leave` is called with the returned key. Raises Unavailable at the limit."""
        running, key, all_of_it = self._running, (kind, limit_key), (kind, "")
        mine, total = running.get(key, 0), running.get(all_of_it, 0)
        if mine >= max_concurrent or total >= max_concurrent * SHARES:
            # The connection is closed, so that a client that pipelines many requests gets one such response.
            raise Unavailable(
                "Too many concurrent requests of this kind; retry.",
                retry_after=RETRY_AFTER_S,
                headers={"connection": "close"},
            )
        running[key], running[all_of_it] = mine + 1, total + 1
        return key

    def leave(self, key: tuple[str, str]) -> None:
        """Count a request no longer."""
        for one in (key, (key[0], "")):
            self._running[one] -= 1
            if not self._running[one]:
                del self._running[one]
