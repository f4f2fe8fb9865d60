"""Connects to the first suitable host of a URL that lists several; asyncpg alone waits for each in turn.

The host of the last connection comes first. The others are tried as well when it fails, or has not responded after a
quarter of the time; it goes on meanwhile, because a busy host is slow. `target_session_attrs` decides which of them is
suitable. A single host is connected to as it is.
"""

import asyncio
import errno
import socket
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

import asyncpg

from auth1.core.postgres.connections import UNAVAILABLE_ERRORS, clean_dsn

HEAD_START = 0.25  # of the time to connect


class Hosts:
    """The hosts of a database URL."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(clean_dsn(url))
        user, at, hosts = parts.netloc.rpartition("@")
        self._urls = [urlunsplit(parts._replace(netloc=f"{user}{at}{host}")) for host in hosts.split(",")]
        self._last = self._urls[0]
        self._names = hosts or dict(parse_qsl(parts.query)).get("host") or "the socket"

    def failure_reason(self, error: Exception) -> str:
        """Return the reason that no connection could be opened: the host and the cause, without user and password."""
        match error:
            case TimeoutError():
                return f"no answer from {self._names}"
            case socket.gaierror():
                return f"the host name in {self._names} cannot be resolved"
            case OSError() if _has_errno(error, errno.ECONNREFUSED):
                return f"no server listens at {self._names}"
            case OSError() if _has_errno(error, errno.EHOSTUNREACH) or _has_errno(error, errno.ENETUNREACH):
                return f"no route to {self._names}"
        return str(error) or type(error).__name__

    async def connect(self, timeout_s: float, **options: Any) -> asyncpg.Connection:
        """Return a connection. Raises TimeoutError, or the error of a host."""
        async with asyncio.timeout(timeout_s):
            if len(self._urls) == 1:
                return await asyncpg.connect(self._last, **options)
            return await self._connect_to_any(timeout_s * HEAD_START, options)

    async def _connect_to_any(self, head_start_s: float, options: dict[str, Any]) -> asyncpg.Connection:
        tasks = {asyncio.create_task(_connect(self._last, options))}
        others = [url for url in self._urls if url != self._last]
        chosen: asyncpg.Connection | None = None
        try:
            await asyncio.wait(tasks, timeout=head_start_s)
            if any(task.done() and task.exception() is None for task in tasks):
                others = []
            tasks |= {asyncio.create_task(_connect(url, options)) for url in others}
            error: BaseException = TimeoutError()
            for task in asyncio.as_completed(tasks):
                try:
                    self._last, chosen = await task
                except UNAVAILABLE_ERRORS as failure:
                    error = failure
                else:
                    return chosen
            raise error
        finally:
            for one in tasks:
                one.cancel()
            for result in await asyncio.gather(*tasks, return_exceptions=True):
                if not isinstance(result, BaseException) and result[1] is not chosen:
                    result[1].terminate()


def _has_errno(error: OSError, number: int) -> bool:
    """Return whether the error has the number. asyncio joins the errors of several addresses into one text."""
    return error.errno == number or f"[Errno {number}]" in str(error)


async def _connect(url: str, options: dict[str, Any]) -> tuple[str, Any]:
    return url, await asyncpg.connect(url, **options)
