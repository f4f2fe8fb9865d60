"""The provider of test keys: it takes every message and sends none."""

from auth1.messaging.provider import Outgoing


class Sandbox:
    """Takes every message."""

    name = "sandbox"

    async def send(self, message: Outgoing) -> str | None:
        return None

    async def close(self) -> None:
        pass
