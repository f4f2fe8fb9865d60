"""The signals of a worker process, blocked until it serves.

granian loses a signal that arrives before it has installed handlers, and hangs after two that arrive before it serves.
Ctrl-C and systemd signal the whole process group, and the supervisor signals its workers once more. Such a worker would
run until it is killed. So workers are forked with these signals blocked: an early signal is delivered late.

SIGTERM and SIGINT go to granian: it accepts no more connections and waits until each has closed, as long as that may
take. A request that has begun to arrive is still served. `DRAIN` comes just before, so that no probe finds the worker
ready. `FINISH` follows a second later: it ends the process as soon as no request is in flight.
"""

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

DRAIN = signal.SIGUSR2
FINISH = signal.SIGUSR1
STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM, DRAIN, FINISH}
# granian takes microseconds from the end of the worker's start to serving. But the event loop is not running between,
# and on a busy machine that may take long: so this is counted once more when it runs again.
SERVES_AFTER_S = 0.1
FINISH_AFTER_S = 1.0


@contextmanager
def blocked_in_children() -> Iterator[None]:
    """Fork every process of this block with the stop signals blocked."""
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        yield
    finally:
        unblock()


def unblock_after_startup() -> None:
    """Unblock the stop signals of a worker that has just started; call it in the worker's event loop."""
    loop = asyncio.get_running_loop()
    loop.call_later(SERVES_AFTER_S, loop.call_later, SERVES_AFTER_S, unblock)


def stop_with_parent() -> None:
    """Stop this worker when its supervisor has ended; call it in the worker's event loop."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def stop() -> None:
        loop.remove_reader(sentinel)
        os.kill(os.getpid(), DRAIN)
        os.kill(os.getpid(), signal.SIGTERM)
        loop.call_later(FINISH_AFTER_S, os.kill, os.getpid(), FINISH)

    loop.add_reader(sentinel, stop)


def on_drain(drain: Callable[[], None]) -> None:
    """Call `drain` in the event loop of this worker when `DRAIN` arrives."""
    asyncio.get_running_loop().add_signal_handler(DRAIN, drain)


def on_finish(finish: Callable[[], Awaitable[None]]) -> None:
    """Run `finish` in the event loop of this worker when `FINISH` arrives."""
    running: set[asyncio.Future[None]] = set()  # the event loop itself keeps no strong reference
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(FINISH, lambda: running.add(asyncio.ensure_future(finish())))


def unblock() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
