"""The stop signals of a worker process, held back until it serves.

granian loses a signal that reaches a worker before that has handlers of its own, and hangs after two that reach it
before it serves: Ctrl-C and systemd signal the whole group, and the parent signals its workers once more. Such a worker
would run on until it is killed. So workers are forked with these signals blocked: what comes early is delivered late.
"""

import asyncio
import os
import signal

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}
# Counted from the end of the worker's start. granian takes microseconds from there to serving, and a timer of the event
# loop cannot fire meanwhile.
SERVES_AFTER_S = 0.1


def hold_back_in_children() -> None:
    """Fork every process from here on with the stop signals blocked."""
    os.register_at_fork(before=_hold_back, after_in_parent=_let_through)


def let_through_soon() -> None:
    """Unblock the stop signals of a worker that has just started; to be called in its event loop."""
    asyncio.get_running_loop().call_later(SERVES_AFTER_S, _let_through)


def _hold_back() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)


def _let_through() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
