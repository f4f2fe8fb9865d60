"""The provider of development: it prints the message to the terminal."""

from auth1.core.log import Log
from auth1.messaging.providers.protocol import OutgoingMessage, SendResult


class Console:
    """Prints each message. The only place where a code reaches the output."""

    name = "console"
    reports = False

    def __init__(self, log: Log) -> None:
        self._log = log

    async def send(self, message: OutgoingMessage) -> SendResult:
        self._log.plain(f"\n  message to {message.to}: {message.text}\n")
        return SendResult()

    async def close(self) -> None:
        pass
