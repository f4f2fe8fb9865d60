"""Remove the exposure of messages that were acquired for a request, and that no provider accepted later.

The outbox reports them after the request was answered. Their addresses are only in Redis, with the other messages of
the code.
"""

from collections import deque

from auth1.core.postgres import Postgres
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.messages import Message
from auth1.fraud.exposures.settlements import MAX_PENDING
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.policy_store import get_policy


class UnsentMessages:
    """Collects SMS that were not sent, and settles them with the other settlements."""

    def __init__(self, postgres: Postgres, exposures: Exposures) -> None:
        self._postgres = postgres
        self._exposures = exposures
        self._messages: deque[Message] = deque(maxlen=MAX_PENDING)

    def add(self, message: Message) -> None:
        """Collect a message."""
        self._messages.append(message)

    async def flush(self) -> None:
        """Add the collected messages to the settlements. Raises Unavailable, and keeps the rest for the next time."""
        policies: dict[str, FraudPolicy] = {}
        while self._messages:
            message = self._messages[0]
            if message.tenant_id not in policies:
                policies[message.tenant_id] = await get_policy(self._postgres, message.tenant_id)
            self._exposures.settlements.unsent_later(policies[message.tenant_id], message)
            self._messages.popleft()
