"""The provider for development: it prints each message to the terminal."""

from auth1.core.log import Log
from auth1.messaging.providers.protocol import OutgoingMessage, SendResult


class Console:
    """Prints each message. Codes reach the output nowhere else."""

    name = "console"
    reports = False

    def __init__(self, log: Log) -> None:
        self._log = log

    async def send(self, message: OutgoingMessage) -> SendResult:
        self._log.message(message.to, message.text)
        return SendResult()

    async def close(self) -> None:
        pass
