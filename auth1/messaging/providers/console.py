"""The provider of development: it prints messages on the terminal."""

from collections.abc import Awaitable, Callable

from auth1.core.telemetry.log import Log
from auth1.messaging.providers.protocol import OutgoingMessage, SendResult

OnMessage = Callable[[OutgoingMessage], Awaitable[None]]


class Console:
    """Prints each message. No other code writes codes to stdout. `on_message` receives each message too."""

    name = "console"
    reports = False

    def __init__(self, log: Log, on_message: OnMessage | None = None) -> None:
        self._log = log
        self._on_message = on_message

    async def send(self, message: OutgoingMessage) -> SendResult:
        self._log.message(message.to, message.text)
        if self._on_message is not None:
            await self._on_message(message)
        return SendResult()

    async def close(self) -> None:
        pass
