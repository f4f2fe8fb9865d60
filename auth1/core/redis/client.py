"""The base class of a single server and a cluster."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from auth1 import metrics
from auth1.core.redis.address import Endpoint, RedisUnavailable
from auth1.core.redis.connection import Reply
from auth1.core.redis.script import Script
from auth1.core.telemetry.log import Log

if TYPE_CHECKING:  # for types only: `server` builds on this module
    from auth1.core.redis.server import Server


class Node(NamedTuple):
    """A server of the topology. `role`: primary, replica or sentinel. `slots`: their number, in a cluster only."""

    endpoint: Endpoint
    role: str
    slots: int = 0


class Redis(ABC):
    """The service's Redis. `call` and `run` raise RedisUnavailable at once while it is not connected."""

    def __init__(self, log: Log, name: str) -> None:
        self._log = log
        self._name = name
        self.round_trips = 0  # commands sent; tests count them per request

    @property
    @abstractmethod
    def connected(self) -> bool:
        """Return whether every command can be sent."""

    @property
    @abstractmethod
    def failure(self) -> str:
        """Return the reason that the last connection failed, without passwords; empty if none has failed."""

    @abstractmethod
    async def start(self) -> bool:
        """Connect, then keep reconnecting in the background. Return whether it is connected."""

    @abstractmethod
    async def stop(self) -> None:
        """Close every connection."""

    @abstractmethod
    async def call(self, *words: str | bytes | int) -> Reply:
        """Send one command and await its reply. Raises RedisUnavailable, also for an error reply."""

    @abstractmethod
    def listener(self, name: str) -> "Server":
        """Return a separate connection for a subscription, because it accepts no other commands."""

    @abstractmethod
    def primaries(self) -> Sequence["Server"]:
        """Return the servers that accept writes."""

    @abstractmethod
    async def topology(self) -> list[Node]:
        """Return all servers that are known. Raises RedisUnavailable."""

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> Reply:
        """Run a script by its digest, or by its text once after a restart or SCRIPT FLUSH.

        All keys must share a hash tag.
        """
        try:
            return await self.call("EVALSHA", script.sha1, len(keys), *keys, *arguments)
        except RedisUnavailable as error:
            if not str(error).startswith("NOSCRIPT"):
                raise
        return await self.call("EVAL", script.text, len(keys), *keys, *arguments)

    def _raise_for_error(self, message: str) -> NoReturn:
        if not message.startswith("NOSCRIPT"):
            metrics.REDIS_ERRORS.inc()
            self._log.warn("Redis rejected a command", reply=message.split(" ")[0])
        raise RedisUnavailable(message)
