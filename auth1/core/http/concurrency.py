"""How many requests that hold much for long may be under way: so many of each party, and of all together."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from auth1.errors import Unavailable

SHARES = 4  # of all together
RETRY_AFTER_S = 5


class ConcurrencyLimiter:
    """What is under way in this worker, by route and party."""

    def __init__(self) -> None:
        self._taken: Counter[tuple[str, str]] = Counter()

    @contextmanager
    def acquire(self, route: str, limit_key: str, max_concurrent: int) -> Iterator[None]:
        """Hold a turn. Raises Unavailable when none is left."""
        mine, all_of_it = (route, limit_key), (route, "")
        if self._taken[mine] >= max_concurrent or self._taken[all_of_it] >= max_concurrent * SHARES:
            raise Unavailable("Others like this are under way; try again in a moment.", retry_after=RETRY_AFTER_S)
        self._taken.update((mine, all_of_it))
        try:
            yield
        finally:
            self._taken.subtract((mine, all_of_it))
            self._taken += Counter()  # forgets those who hold none
