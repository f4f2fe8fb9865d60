"""CPU and memory of processes, from /proc (proc(5))."""

import os
import time
from collections.abc import Iterable
from pathlib import Path

from auth1.dev.processes import children

ROOT = Path(__file__).parent.parent

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def family(root: int) -> list[int]:
    """List a process and everything below it."""
    return [root, *(pid for child in children(root) for pid in family(child))]


def cpu_s(root: int) -> float:
    """CPU that a process and everything below it have used, also what has ended there."""
    while True:
        try:
            return sum(map(_ticks, family(root))) / _TICKS_PER_S
        except (FileNotFoundError, ProcessLookupError):
            if not Path(f"/proc/{root}").exists():
                raise
            # A child ended in between: now its time is among that of its parent's children.


def _ticks(pid: int) -> int:
    # After the command, which may hold anything: utime, stime, and both of the children that were waited for.
    return sum(map(int, Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[11:15]))


def pss_mib(pids: Iterable[int]) -> float:
    """Return the memory of processes, each page divided by the number of its users."""
    kib = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


_watched: list[int] = []


def watch(*pids: int) -> None:
    """Set the processes that `cpu_of_all` counts; without any, it counts only this one."""
    while _watched:
        os.close(_watched.pop())
    _watched.extend(os.open(f"/proc/{pid}/schedstat", os.O_RDONLY) for pid in pids)


def cpu_of_all() -> float:
    """CPU of this process and of the main threads of those that are watched, in seconds, to the nanosecond.

    A process that runs this very moment is counted up to its last switch, so measure over many calls.
    """
    others = sum(int(os.pread(descriptor, 64, 0).split()[0]) for descriptor in _watched)
    return time.process_time() + others / 1e9
