"""Listen on the port once a worker can serve, not before.

The main process binds the port, and its workers inherit the socket. A socket that listens at once collects connections
that wait for the first worker, and then arrive all together. A socket that does not listen yet rejects them, and a
proxy uses another instance meanwhile.
"""

import socket

BACKLOG = 2048

_inherited: list[socket.socket] = []


def leave_to_workers(listener: socket.socket) -> None:
    """Let the workers that are forked from now on listen on the port."""
    _inherited.append(listener)


def begin() -> None:
    """Listen on the inherited socket, in a worker. Does nothing when there is none or it listens already.

    Raises OSError when another program has begun to listen on the port meanwhile.
    """
    for listener in _inherited:
        listener.listen(BACKLOG)
