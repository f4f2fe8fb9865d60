"""Real PostgreSQL and Redis as child processes, for `auth1 dev` and for the tests. Never for production.

    postgres.py    PostgresServer: initdb, start, and how root runs a server that rejects root
    redis.py       RedisServer
    server.py      LocalServer, what the two have in common: start, stop, kill, freeze, thaw; and every error
    processes.py   processes, locks and ports: what a LocalServer is made of
    launch.py      the script that a child runs first: it changes the user and ties the child to its parent

A server lives in a directory of its own: `server.log`, `server.lock` and what it keeps. It listens on 127.0.0.1 only,
needs no password, is not reached by Ctrl-C, and ends when the process that started it ends, however that
ends (off Linux: only when that calls `stop`). Only the standard library is imported here.
"""
