"""A circuit breaker: stops calls to a dependency that keeps failing, and probes it now and then.

    closed ── 5 failures within 10 s, no success among them ──> open ── after 30 s, to one caller ──> probing
       ^                                                          ^                                      │
       └──────────────── any success ───────────┴──────────── a failure ───────────────┘

Meant for one event loop: no method awaits, so of any number of tasks one gets the probe.
"""

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Literal

MAX_FAILURES = 5
WINDOW_S = 10.0
PROBE_EVERY_S = 30.0

State = Literal["closed", "open", "probing"]


class CircuitBreaker:
    """Check `allows` before each call; report `succeeded` or `failed` after it.

    A call that reports nothing (its task was cancelled) does no harm: probes go by the clock. Of calls that began
    before the breaker opened, failures change nothing and a success closes it.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, *, probe_every_s: float = PROBE_EVERY_S) -> None:
        self._clock = clock  # in seconds; monotonic
        self._probe_every_s = probe_every_s
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)
        self._probe_at: float | None = None  # None while closed
        self._probing = False
        self.is_idle = True  # closed, without recent failures: `allows` is true, and a success changes nothing

    @property
    def state(self) -> State:
        """Return `closed`, `open`, or `probing`: open, and the last probe has no result yet."""
        if self._probe_at is None:
            return "closed"
        return "probing" if self._probing else "open"

    def allows(self) -> bool:
        """Return whether to make the call. While open, true for one caller every `probe_every_s`: it must make it."""
        if self._probe_at is None:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + self._probe_every_s
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Record a success."""
        self.is_idle = True
        self._failures.clear()
        self._probe_at = None
        self._probing = False

    def failed(self) -> None:
        """Record a failure that other calls would meet too."""
        self.is_idle = False
        self._probing = False
        if self._probe_at is not None:
            return
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == MAX_FAILURES and now - self._failures[0] <= WINDOW_S:
            self._probe_at = now + self._probe_every_s
