"""A process that runs both servers in a directory, controlled by the tests.

parent.py DIRECTORY ACT [WAY...]
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

from auth1.dev.postgres import PostgresServer, RootMode
from auth1.dev.redis import RedisServer
from auth1.dev.server import ServerError

CLONE_NEWUSER = 0x10000000

root_modes = [RootMode[name] for name in sys.argv[3:]] or tuple(RootMode)
postgres = PostgresServer(Path(sys.argv[1], "postgres"), durable=False, root_modes=root_modes)
redis = RedisServer(Path(sys.argv[1], "redis"))


def say(*words: object) -> None:
    print(*words, flush=True)


def serve() -> None:
    """Start both servers and print their process ids, until stopped."""
    with postgres, redis:
        owners = [Path(f"/proc/{server.pid}").stat().st_uid for server in (postgres, redis)]
        say(postgres.pid, redis.pid, postgres.url(), redis.port, *owners)
        sys.stdin.readline()


def freeze() -> None:
    """Freeze both servers."""
    with postgres, redis:
        postgres.freeze()
        redis.freeze()
        say(postgres.pid, redis.pid)
        sys.stdin.readline()


def initdb() -> None:
    """Start PostgreSQL for the first time."""
    postgres.start()


def outlive_ctrl_c() -> None:
    """Receive an interrupt, then print where the servers listen, until stopped."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    with postgres, redis:
        try:
            say("started")
            signal.pause()
        except KeyboardInterrupt:
            say(postgres.url(), redis.port)
            sys.stdin.readline()


def lose_namespaces() -> None:
    """Start PostgreSQL where root cannot create a user namespace."""
    if ctypes.CDLL(None).unshare(CLONE_NEWUSER) != 0:
        return
    say("unshared")
    sys.stdin.readline()  # by now the test has mapped uids
    Path("/proc/sys/user/max_user_namespaces").write_text("0")
    try:
        with postgres:
            say(Path(f"/proc/{postgres.pid}").stat().st_uid)
    except ServerError as error:
        say(error)


if __name__ == "__main__":
    os.umask(0o022)
    {act.__name__: act for act in (serve, freeze, initdb, outlive_ctrl_c, lose_namespaces)}[sys.argv[2]]()
