"""Limit concurrent requests: of one route by limit key, and of all routes together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from auth1.errors import Unavailable

SHARES = 4  # of all routes together
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
            # The connection is closed, so that a client that pipelines many requests gets one such response.
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
            self._taken += Counter()  # removes keys without requests


class Places:
    """The concurrent requests of this worker. A request that waits for its client does not count."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.taken = 0

    @contextmanager
    def take(self, *, exempt: bool) -> Iterator[None]:
        """Count a request while the block runs. Raises Unavailable at the limit, unless the request is exempt."""
        if self.taken >= self._limit and not exempt:
            raise Unavailable("The server is at capacity; retry.", retry_after=1)
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    @contextmanager
    def lend(self) -> Iterator[None]:
        """Do not count the request while the block runs."""
        self.taken -= 1
        try:
            yield
        finally:
            self.taken += 1
