"""The CPU time of hostile input, compared with that of harmless input of the same size."""

import time
from collections.abc import Callable

ROUNDS = 3


def cpu_ratio(read: Callable[[bytes], object], hostile: bytes, harmless: bytes) -> float:
    """Return how many times longer `read` takes for hostile input. The machine's speed does not matter."""
    assert len(hostile) <= len(harmless)
    return _cpu_s(read, hostile) / _cpu_s(read, harmless)


def _cpu_s(read: Callable[[bytes], object], raw: bytes) -> float:
    """Return the least CPU time of some rounds."""
    times = []
    for _ in range(ROUNDS):
        started = time.thread_time()
        read(raw)
        times.append(time.thread_time() - started)
    return min(times)
