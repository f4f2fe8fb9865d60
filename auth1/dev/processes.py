"""Processes, locks and ports of servers that end with the process that started them."""

import fcntl
import importlib.util
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

HOST = "127.0.0.1"
# Below the range of outgoing connections (sysctl ip_local_port_range; RFC 6335). While a server is stopped, the kernel
# can give a port of that range to a client; a client that connects to the server could then connect to itself.
PORTS = range(20_000, 32_000)
POLL_S = 0.01
LAUNCH = Path(__file__).with_name("launch.py")

# The kernel ends a child with the *thread* that started it (PR_SET_PDEATHSIG, prctl(2)). Threads such as those of
# asyncio.to_thread may end early, so their servers are started by this thread, which lasts as long as the process.
_lasting_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="auth1-dev")


def launch(
    command: Sequence[str],
    *,
    log: Path,
    keep_open: Sequence[int],
    death_signal: signal.Signals,
    identity: str = "ourselves",
) -> subprocess.Popen[bytes]:
    """Start a program in a separate session, which Ctrl-C does not reach. It ends when this process ends.

    `keep_open`: descriptors that the program and all its children inherit. `death_signal`: the signal that it gets when
    this process ends. `identity`: the user of the program, by a name of launch.py.
    """
    parts = [sys.executable, "-I", "-S", LAUNCH, os.getpid(), int(death_signal), identity, *command]
    # libpq and initdb read PGPORT, PGDATA and other variables.
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PG")}

    def run() -> subprocess.Popen[bytes]:
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "wb") as output:
            return subprocess.Popen(
                [str(part) for part in parts],
                cwd="/",
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=keep_open,
                start_new_session=True,
            )

    if threading.current_thread() is threading.main_thread():
        return run()
    return _lasting_thread.submit(run).result()


def stop_tree(parent: int) -> list[int]:
    """Stop a child process and its children with SIGSTOP, and return all their pids."""
    stopped = [parent]
    send(parent, signal.SIGSTOP)
    if sys.platform == "linux":  # once it has stopped, it starts no more children
        os.waitid(os.P_PID, parent, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    while fresh := [pid for pid in children(parent) if pid not in stopped]:
        for pid in fresh:
            send(pid, signal.SIGSTOP)
        stopped += fresh
    return stopped


def children(parent: int) -> list[int]:
    """Return the pids of the children of a process that have not ended."""
    found = []
    if sys.platform == "linux":
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                # proc(5): pid (command, which may hold anything) state ppid
                state, ppid = stat.read_bytes().rpartition(b")")[2].split()[:2]
                if int(ppid) == parent and state != b"Z":
                    found.append(int(stat.parent.name))
    else:
        listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, check=True).stdout
        found = [int(pid) for pid, ppid in map(bytes.split, listing.splitlines()) if int(ppid) == parent]
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may have ended."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def resume_frozen_at_exit(pids: Sequence[int]) -> subprocess.Popen[bytes]:
    """Start a watcher that sends SIGCONT to frozen processes when this process ends; return the watcher.

    A frozen process does not handle the signal that ends it. The watcher waits for the end of its input, which only
    this process has open. A watcher that is killed sends nothing.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", 'read -r _; kill -CONT "$@"', "resume", *map(str, pids)],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def try_lock(file: int) -> bool:
    """Lock an open file unless it is locked; the lock ends when the last copy of the descriptor is closed."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Return whether a file is locked; a missing file is not."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(file)
    finally:
        os.close(file)


def free_port() -> int:
    """Return a free port. Another program may begin to use it before the caller does."""
    return next(port for port in random.sample(PORTS, len(PORTS)) if not port_obstacle(port))


def port_obstacle(port: int) -> str | None:
    """Return the reason that no program can listen on this port of 127.0.0.1, or None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # an ended connection is no obstacle
        try:
            probe.bind((HOST, port))
        except OSError as error:
            return error.strerror
    return None


def exchange(port: int, request: bytes, end: bytes) -> bytes:
    """Send a request to a port, and return the response up to `end`.

    The response is incomplete if the connection closes, or if nothing arrives for a second.
    """
    response = b""
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1) as connection:
        connection.sendall(request)
        while end not in response and (more := connection.recv(65536)):
            response += more
    return response


def wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    """Poll until a condition holds. Return whether it did so in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def package_directory(package: str) -> Path | None:
    """Return the directory of an installed package without importing it; None if it is not installed."""
    spec = importlib.util.find_spec(package)
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None
