"""TCP connections to the first of several addresses that answers (RFC 8305, "Happy Eyeballs")."""

import asyncio
import itertools
import socket
from contextlib import suppress
from typing import Any

ATTEMPT_DELAY_S = 0.25  # before the next address is tried too: RFC 8305's own value
MAX_ADDRESSES = 10

Address = tuple[socket.AddressFamily, tuple[Any, ...]]  # the second depends on the family


async def find_addresses(host: str, port: int) -> list[Address]:
    """Return the addresses of a host, IPv6 and IPv4 in turn. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    families: dict[socket.AddressFamily, list[Address]] = {}
    for family, _, _, _, address in found:
        families.setdefault(family, []).append((family, address))
    in_turn = itertools.chain.from_iterable(itertools.zip_longest(*families.values()))
    return [address for address in in_turn if address is not None][:MAX_ADDRESSES]


async def connect_first(addresses: list[Address]) -> socket.socket:
    """Connect to the addresses in turn, the next one after a delay or a failure; return the first connected socket."""
    attempts: list[asyncio.Task[socket.socket]] = []
    error: BaseException = OSError("the host has no address")
    winner = None
    try:
        for address in itertools.chain(addresses, itertools.repeat(None)):
            if address is not None:
                attempts.append(asyncio.create_task(_connect_socket(*address)))
            running = [attempt for attempt in attempts if not attempt.done()]
            if not running:
                raise error
            delay_s = ATTEMPT_DELAY_S if address is not None else None
            done, _ = await asyncio.wait(running, timeout=delay_s, return_when=asyncio.FIRST_COMPLETED)
            for attempt in done:
                failure = attempt.exception()
                if failure is None:
                    winner = attempt
                    return attempt.result()
                error = failure
        raise error
    finally:
        for attempt in attempts:
            if attempt is not winner:
                attempt.cancel()
                attempt.add_done_callback(_close_late)


async def _connect_socket(family: socket.AddressFamily, address: tuple[Any, ...]) -> socket.socket:
    tcp = socket.socket(family, socket.SOCK_STREAM)
    try:
        tcp.setblocking(False)
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        await asyncio.get_running_loop().sock_connect(tcp, address)
    except BaseException:
        tcp.close()
        raise
    return tcp


def _close_late(attempt: asyncio.Task[socket.socket]) -> None:
    """Close the socket of an attempt that another one has overtaken."""
    with suppress(asyncio.CancelledError):
        if attempt.exception() is None:
            attempt.result().close()
