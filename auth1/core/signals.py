"""The stop signals of a worker process, held back until it serves.

granian loses a signal that reaches a worker before that has handlers of its own, and hangs after two that reach it
before it serves: Ctrl-C and systemd signal the whole group, and the parent signals its workers once more. Such a worker
would run on until it is killed. So workers are forked with these signals blocked: what comes early is delivered late.
"""

import asyncio
import os
import signal

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
# granian takes microseconds from the end of the worker's start to serving. But the event loop stands still between, and
# on a busy machine that may be long: so this is counted once more when it runs again.
SERVES_AFTER_S = 0.1


def hold_back_in_children() -> None:
    """Fork every process from here on with the stop signals blocked."""
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through)


def let_through_soon() -> None:
    """Unblock the stop signals of a worker that has just started; to be called in its event loop."""
    loop = asyncio.get_running_loop()
    loop.call_later(SERVES_AFTER_S, loop.call_later, SERVES_AFTER_S, _let_through)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
