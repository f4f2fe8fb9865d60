"""Real PostgreSQL and Redis as child processes, for `auth1 dev` and for tests. They are not for production.

    postgres.py    PostgresServer: initdb, start, and how root runs a server that rejects root
    redis.py       RedisServer
    server.py      LocalServer, the base class of both: start, stop, kill, freeze, thaw; and all errors
    processes.py   processes, locks and ports
    launch.py      the script that a child runs first: it changes the user, and ends the child with its parent

Each server has its own directory, with `server.log`, `server.lock` and its data. It listens on 127.0.0.1 only and needs
no password. Ctrl-C does not reach it. On Linux it ends with the process that started it, even if that one is killed;
elsewhere it ends when that process calls `stop`. Only the standard library is imported here.
"""
