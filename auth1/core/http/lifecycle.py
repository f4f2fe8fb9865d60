"""Start and stop of a worker: the lifespan protocol of ASGI, and the end of a process that stops."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

from auth1.core.http.request import Receive
from auth1.core.telemetry.log import Log

Send = Callable[[dict[str, Any]], Awaitable[None]]
Services = TypeVar("Services")


class Lifecycle(Generic[Services]):
    """Creates the services of this worker with `start`, and closes them with `stop`, once.

    A subclass counts requests in `_in_flight`, and sets `_idle` when there are none.
    """

    def __init__(
        self, log: Log, start: Callable[[], Awaitable[Services]], stop: Callable[[Services], Awaitable[None]]
    ) -> None:
        self._log = log
        self._start = start
        self._stop = stop
        self._stopped: asyncio.Future[None] | None = None
        self._finishing = asyncio.Event()
        self._idle = asyncio.Event()
        self._in_flight = 0  # requests
        self.services: Services

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            self.services = await self._start()
        except Exception as error:
            # The server would ignore an exception and continue without services.
            self._log.error("start failed", error=error, reason=str(error))
            self._log.close()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self._stop_once()
        await send({"type": "lifespan.shutdown.complete"})

    async def finish(self) -> None:
        """End this process once no request is in flight, whatever its connections are waiting for.

        The server would wait for clients that do not read. The kernel still sends the data that it has.
        """
        self._finishing.set()
        if self._in_flight:
            self._idle.clear()
            await self._idle.wait()
        await self._stop_once()
        os._exit(0)

    async def _stop_once(self) -> None:
        if self._stopped is None:
            self._stopped = asyncio.ensure_future(self._stop(self.services))
        await asyncio.shield(self._stopped)
