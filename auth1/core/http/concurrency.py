"""How many requests may run at the same time: of one kind by limit key, and of all kinds together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from auth1.errors import Unavailable

SHARES = 4  # of all together
RETRY_AFTER_S = 5


class ConcurrencyLimiter:
    """Counts the requests that run in this worker, by route and limit key."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def acquire(self, route: str, limit_key: str, max_concurrent: int) -> Iterator[None]:
        """Count a request while the block runs. Raises Unavailable at the limit."""
        mine, all_of_it = (route, limit_key), (route, "")
        if self._taken[mine] >= max_concurrent or self._taken[all_of_it] >= max_concurrent * SHARES:
            # Closed, so that a client that sends many requests in one go gets one such response.
            raise Unavailable(
                "Too many concurrent requests of this kind; retry.",
                retry_after=RETRY_AFTER_S,
                headers={"connection": "close"},
            )
        self._taken.update((mine, all_of_it))
        try:
            yield
        finally:
            self._taken.subtract((mine, all_of_it))
            self._taken += Counter()  # forgets those who hold none


class Places:
    """Requests that this worker works on at the same time. One that waits for its client takes no place."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    @contextmanager
    def take(self, *, exempt: bool) -> Iterator[None]:
        """Hold a place. Raises Unavailable when none is left, unless the request is exempt."""
        if self.taken >= self._limit and not exempt:
            raise Unavailable("The server is at capacity; retry.", retry_after=1)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Give the held place to others for the time of the block."""
        self.taken -= 1
        try:
            yield
        finally:
            self.taken += 1
