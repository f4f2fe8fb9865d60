"""A circuit breaker: whoever keeps failing is left alone, and asked now and then whether it is well again.

    closed ── 5 failures within 10 s, no success among them ──> open ── after 30 s, to one caller ──> probing
       ^                                                          ^                                      │
       └──────────────── a success, whoever reports it ───────────┴──────────── a failure ───────────────┘

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


class Breaker:
    """Ask `allows` before each call, and report `succeeded` or `failed` after it.

    A call that reports nothing (its task was cancelled) does no harm: probes go by the clock. Reports of calls that
    began before the breaker opened are welcome too; their failures change nothing and a success closes it.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock  # in seconds; never goes back
        self._failures: deque[float] = deque(maxlen=MAX_FAILURES)
        self._probe_at: float | None = None  # None while closed
        self._probing = False

    @property
    def state(self) -> State:
        """Tell `closed`, `open`, or `probing`: open, and the last probe has not been answered yet."""
        if self._probe_at is None:
            return "closed"
        return "probing" if self._probing else "open"

    def allows(self) -> bool:
        """Whether to make the call. While open, true for one caller every PROBE_EVERY_S, who is to make it."""
        if self._probe_at is None:
            return True
        now = self._clock()
        if now < self._probe_at:
            return False
        self._probe_at = now + PROBE_EVERY_S
        self._probing = True
        return True

    def succeeded(self) -> None:
        """Report that a call was answered as it should be."""
        self._failures.clear()
        self._probe_at = None
        self._probing = False

    def failed(self) -> None:
        """Report that a call failed in a way that others would fail too."""
        self._probing = False
        if self._probe_at is not None:
            return
        now = self._clock()
        self._failures.append(now)
        if len(self._failures) == MAX_FAILURES and now - self._failures[0] <= WINDOW_S:
            self._probe_at = now + PROBE_EVERY_S
