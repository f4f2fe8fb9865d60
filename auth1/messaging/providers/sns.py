"""SMS through AWS SNS (Publish to a phone number, API 2010-03-31).

One attempt with one deadline: the API has no idempotency key. SNS sends no delivery reports, so a message stays `sent`.
It accepts, and silently drops, messages to numbers that have opted out of the account.

`sns_client` talks to AWS. It is imported on first use and in a thread, because aioboto3 takes two seconds on a cold
disk and 29 MB. It is also an optional extra.
"""

import asyncio
import importlib
from typing import TYPE_CHECKING

from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError, SendResult

if TYPE_CHECKING:
    from auth1.messaging.providers.sns_client import SnsClient

WARM_UP_S = 10.0
WAIT_FOR_WARM_UP_S = 2.0  # with Twilio's 2 s and our own 1.5 s less than the 6 s of a request


class Sns:
    """Sends SMS. AWS' own chain finds credentials, proxies and AWS_ENDPOINT_URL_SNS.

    `origination_number` is in E.164; without one SNS chooses.
    """

    name = "sns"
    reports = False

    def __init__(self, region: str, origination_number: str | None, *, timeout_scale: float = 1.0) -> None:
        self._timeout_scale = timeout_scale
        self._region = region
        self._origination_number = origination_number
        self._client: SnsClient | None = None
        self._warming: asyncio.Task[SnsClient | SendError] | None = None

    async def warm_up(self) -> None:
        """Load aioboto3, find credentials and create the client, so that the first `send` is fast.

        Raises SendError; the next send tries again.
        """
        await self._warm()

    async def send(self, message: OutgoingMessage) -> SendResult:
        """Publish the message. SNS returns no price."""
        client = self._client
        if client is None:
            try:
                async with asyncio.timeout(WAIT_FOR_WARM_UP_S * self._timeout_scale):
                    client = await self._warm()
            except TimeoutError as error:
                raise SendError(Failure.TRANSIENT, "not_ready") from error
        return SendResult(await client.publish(message.to, message.text, self._attributes(message)))

    async def close(self) -> None:
        if self._warming is not None:
            self._warming.cancel()
            await asyncio.gather(self._warming, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    def _attributes(self, message: OutgoingMessage) -> dict[str, str]:
        attributes = {"AWS.SNS.SMS.SMSType": "Transactional"}
        sender = message.senders.sns or self._origination_number
        if sender is not None:
            attributes["AWS.MM.SMS.OriginationNumber" if sender.startswith("+") else "AWS.SNS.SMS.SenderID"] = sender
        return attributes

    async def _warm(self) -> "SnsClient":
        """Return the client, which one shared task creates; a cancelled caller does not cancel it."""
        if self._client is not None:
            return self._client
        if self._warming is None or self._warming.done():
            self._warming = asyncio.create_task(self._make_client())
        made = await asyncio.shield(self._warming)
        if isinstance(made, SendError):
            raise SendError(made.failure, made.code, made.cause)
        return made

    async def _make_client(self) -> "SnsClient | SendError":
        """Create the client; return a failure, because possibly no caller waits any more."""
        try:
            async with asyncio.timeout(WARM_UP_S * self._timeout_scale):
                sns_client = await asyncio.to_thread(importlib.import_module, "auth1.messaging.providers.sns_client")
                session = await asyncio.to_thread(sns_client.load, self._region)
                client: SnsClient = await sns_client.open_client(session, self._timeout_scale)
        except ImportError:
            return SendError(Failure.CONFIGURATION, "not_installed")
        except TimeoutError:
            return SendError(Failure.TRANSIENT, "not_ready")
        except SendError as error:
            return error
        self._client = client
        return client
