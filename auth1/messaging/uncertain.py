"""Messages whose commit is uncertain, because the database did not answer. No provider has them.

This process has not sent them, so it returns those that were committed to the outbox. Otherwise they would become
`unknown` when their claim ends, and would never be sent.
"""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from auth1.core.postgres import Postgres, Queries
from auth1.core.telemetry.log import Log
from auth1.errors import Unavailable

KEPT_S = 15.0  # while the database answers; a late commit is committed by then
MAX_KEPT = 1000

_QUERIES = Queries("messaging")


class _Messages(NamedTuple):
    tenant_ids: list[str]
    message_ids: list[str]


class _Returned(NamedTuple):
    message_id: str


_RETURN_MESSAGES = _QUERIES.statement("return_messages", _Messages, _Returned)


class UncertainMessages:
    """Keeps uncertain messages until they are in the outbox, or are known not to be committed."""

    def __init__(self, postgres: Postgres, log: Log) -> None:
        self._postgres = postgres
        self._log = log
        self._kept: dict[str, tuple[str, float]] = {}  # tenant and time, by message

    @contextmanager
    def watch(self, tenant_id: str, message_id: str) -> Iterator[None]:
        """Keep a message where the statement that writes it ends without an answer. The oldest are dropped."""
        try:
            yield
        except (Unavailable, asyncio.CancelledError):
            self._add(tenant_id, message_id)
            raise

    def _add(self, tenant_id: str, message_id: str) -> None:
        self._kept[message_id] = (tenant_id, time.monotonic())
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]

    async def flush(self) -> None:
        """Return messages that were committed to the outbox. Raises Unavailable."""
        if not self._kept:
            return
        tried = dict(self._kept)
        tenant_ids = [tenant_id for tenant_id, _ in tried.values()]
        try:
            rows = await self._postgres.rows(_RETURN_MESSAGES, _Messages(tenant_ids, list(tried)))
        except Unavailable:
            now = time.monotonic()  # the time counts while the database answers
            self._kept |= {message_id: (tenant_id, now) for message_id, (tenant_id, _) in tried.items()}
            raise
        too_old = time.monotonic() - KEPT_S
        returned = {row.message_id for row in rows}
        for message_id, (_, added_at) in tried.items():
            if message_id in returned or added_at < too_old:
                self._kept.pop(message_id, None)
        if returned:
            self._log.info("messages of failed requests were returned to the outbox", messages=len(returned))
