"""The newest messages, in Redis, so that all workers share them. Bounded in number, and gone after a day."""

import time

import msgspec

from auth1.core.redis import Redis, RedisUnavailable
from auth1.core.telemetry.log import Log
from auth1.messaging.providers.protocol import OutgoingMessage

MAX_MESSAGES = 100
_KEY = "auth1:dev:{inbox}"  # one hash tag, because a command names several keys
_LIFE_S = 24 * 3600


class InboxMessage(msgspec.Struct):
    """A message as the page shows it. The HTML of an email is stored apart."""

    id: str
    channel: str
    to: str
    text: str
    sent_at: float  # seconds since 1970
    subject: str | None = None


_decode = msgspec.json.Decoder(InboxMessage).decode


class InboxStore:
    """Keeps messages for `auth1 dev`. Without Redis it keeps none; the terminal shows them all the same."""

    def __init__(self, redis: Redis, log: Log) -> None:
        self._redis = redis
        self._log = log

    async def add(self, message: OutgoingMessage) -> None:
        """Add a message and remove the oldest ones beyond the bound."""
        email = message.email
        kept = InboxMessage(
            id=message.message_id,
            channel="sms" if email is None else "email",
            to=message.to,
            text=message.text,
            sent_at=time.time(),
            subject=None if email is None else email.subject,
        )
        try:
            if email is not None:
                await self._redis.call("SET", _html_key(kept.id), email.html.encode(), "EX", _LIFE_S)
            length = await self._redis.call("LPUSH", _KEY, msgspec.json.encode(kept))
            await self._redis.call("EXPIRE", _KEY, _LIFE_S)
            excess = length - MAX_MESSAGES
            if excess > 0 and (old := await self._redis.call("RPOP", _KEY, excess)):
                await self._redis.call("DEL", *(_html_key(_decode(each).id) for each in old))
        except RedisUnavailable as error:
            self._log.warn("the inbox could not keep a message", reason=str(error))

    async def messages(self) -> list[InboxMessage]:
        """Return the messages, newest first. Raises RedisUnavailable."""
        return [_decode(each) for each in await self._redis.call("LRANGE", _KEY, 0, MAX_MESSAGES - 1)]

    async def html(self, message_id: str) -> bytes | None:
        """Return the HTML of an email. Raises RedisUnavailable."""
        html: bytes | None = await self._redis.call("GET", _html_key(message_id))
        return html

    async def clear(self) -> None:
        """Remove all messages. Raises RedisUnavailable."""
        keys = [_html_key(message.id) for message in await self.messages() if message.channel == "email"]
        await self._redis.call("DEL", _KEY, *keys)


def _html_key(message_id: str) -> str:
    return f"{_KEY}:html:{message_id}"
