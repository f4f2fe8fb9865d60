"""Look-ups of host names of untrusted servers, in threads of their own.

The event loop resolves all names in a few threads (uvloop in four). A name server that never responds blocks a thread
for many seconds, longer than the caller waits. Such names must not delay the look-ups of our own services.
"""

import asyncio
import itertools
import socket
import threading
from contextlib import suppress

MAX_LOOKUPS = 64  # at once, those that their callers gave up included
MAX_ADDRESSES = 10

_running = 0  # changed only by event loops of one thread


async def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a host, the best first, IPv6 and IPv4 in turn. Raises OSError."""
    global _running
    if _running >= MAX_LOOKUPS:
        raise OSError("Too many look-ups of host names are in progress.")
    loop = asyncio.get_running_loop()
    result: asyncio.Future[list[str]] = loop.create_future()

    def finish(addresses: list[str] | None, error: Exception | None) -> None:
        global _running
        _running -= 1
        if result.done():
            return  # the caller gave up
        if error is not None:
            result.set_exception(error)
        else:
            result.set_result(addresses or [])

    def look_up() -> None:
        addresses, error = None, None
        try:
            addresses = _look_up(host, port)
        except (OSError, UnicodeError) as caught:
            error = caught if isinstance(caught, OSError) else OSError("The host is not a valid name.")
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(finish, addresses, error)

    _running += 1
    # A daemon: a look-up that hangs does not delay the exit of the process.
    threading.Thread(target=look_up, name="resolver", daemon=True).start()
    return await result


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[socket.AddressFamily, list[str]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append(str(address[0]))
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [address for address in in_turn if address is not None][:MAX_ADDRESSES]
