"""Notify applications that a session ended, by a call of their own URL (Back-Channel Logout 1.0).

The statement that ends a session queues a message for each application that has a grant of it. A message is delivered
at least once, with three attempts; after the last failure an event is recorded.

Calls to one application or tenant cannot delay those to others: a slow receiver has at most two calls at once in a
worker.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Collection
from typing import NamedTuple
from urllib.parse import urlencode

from auth1.core.ids import new_id
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.guarded import GuardedClient
from auth1.core.postgres import NoParams, Queries
from auth1.core.processes.tasks import cancel_all
from auth1.events.log import RecordedEvents, log_events, read_events
from auth1.oauth.issuers import issuer_of
from auth1.oauth.tokens.id_tokens import sign_logout_token
from auth1.services import Services
from auth1.signing.keys import Alg

INTERVAL_S = 1.0
MAX_CALLS = 20  # at once, in a worker
TENANT_CALLS = 4  # of them, to the applications of a tenant and of its sandbox
APPLICATION_CALLS = 2
TENANT_CALLS_PER_S = 50  # begun in a worker
CALL_S = 5.0
LEASE_S = 60  # longer than a call
RETRY_S = (5, 60)  # after the first and the second attempt
BATCH = 500  # grants of a tenant that ended all sessions

_QUERIES = Queries("logouts")


class _Claim(NamedTuple):
    max_rows: int
    lease_s: int
    tenant_calls: int
    application_calls: int
    tenants: list[str]
    calls_of_tenants: list[int]
    applications: list[str]
    calls_of_applications: list[int]


class _Claimed(NamedTuple):
    tenant_id: str
    session_id: str
    client_id: str
    user_id: str
    attempts: int
    slug: str | None
    url: str | None
    alg: Alg | None


class _Retry(NamedTuple):
    tenant_id: str
    session_id: str
    client_id: str
    delay_s: int


class _Finish(NamedTuple):
    tenant_id: str
    session_id: str
    client_id: str
    event_id: str
    error: str | None


class _QueueTenant(NamedTuple):
    tenant_id: str
    after: str
    max_rows: int


class _Last(NamedTuple):
    last: str | None


_CLAIM = _QUERIES.statement("claim_logouts", _Claim, _Claimed)
_RETRY = _QUERIES.statement("retry_logout", _Retry, NoParams)
_FINISH = _QUERIES.statement("finish_logout", _Finish, RecordedEvents)
_QUEUE_TENANT = _QUERIES.statement("queue_tenant_logouts", _QueueTenant, _Last)


class LogoutSender:
    """Sends logout tokens to the addresses of applications."""

    def __init__(self, guard: Guard) -> None:
        self._client = GuardedClient(guard, max_calls=MAX_CALLS)
        self._second = 0
        self._begun = Counter[str]()  # calls of tenants in this second

    async def run_once(self, app: Services) -> None:
        """Deliver the messages that are due. Any number of workers may run it. Raises Unavailable."""
        calls: dict[asyncio.Task[None], _Claimed] = {}
        try:
            while True:
                for message in await self._claim(app, calls.values()):
                    self._begun[_owner(message)] += 1
                    calls[asyncio.create_task(self._deliver(app, message))] = message
                if not calls:
                    return
                # After a call has ended, another one may begin; and more become due while slow ones last.
                done, _ = await asyncio.wait(calls, timeout=INTERVAL_S, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    del calls[task]
                    task.result()
        finally:
            await cancel_all(list(calls))

    async def close(self) -> None:
        """Close all connections; calls in progress fail."""
        await self._client.close()

    async def _claim(self, app: Services, calls: Collection[_Claimed]) -> list[_Claimed]:
        """Lease the messages that are due, within the limits of applications and tenants."""
        free = MAX_CALLS - len(calls)
        if not free:
            return []
        if self._second != (now := int(time.monotonic())):
            self._second = now
            self._begun.clear()
        of_tenants = Counter(map(_owner, calls))
        of_tenants.update({tenant: TENANT_CALLS for tenant, n in self._begun.items() if n >= TENANT_CALLS_PER_S})
        of_applications = Counter(message.client_id for message in calls)
        claim = _Claim(
            *(free, LEASE_S, TENANT_CALLS, APPLICATION_CALLS),
            *(list(of_tenants), list(of_tenants.values())),
            *(list(of_applications), list(of_applications.values())),
        )
        return await app.postgres.rows(_CLAIM, claim)

    async def _deliver(self, app: Services, message: _Claimed) -> None:
        if not message.client_id:
            await _queue_tenant(app, message)
            return
        error = await self._send(app, message)
        if error is not None and message.attempts <= len(RETRY_S):
            delay_s = RETRY_S[message.attempts - 1]
            await app.postgres.row(_RETRY, _Retry(*message[:3], delay_s))
            return
        await _finish(app, message, error)

    async def _send(self, app: Services, message: _Claimed) -> str | None:
        """Send a logout token; return why it was not accepted. There may be nothing to send any more."""
        if message.slug is None or message.url is None or message.alg is None:
            return None
        sandbox = message.tenant_id.endswith(":test")
        tenant = await app.tenants.find_slug(message.slug, sandbox=sandbox)
        if tenant is None:
            return None
        issuer = issuer_of(app, tenant, message.slug)
        token = await sign_logout_token(
            app, issuer, message.client_id, message.alg, message.user_id, message.session_id
        )
        headers = {"content-type": "application/x-www-form-urlencoded"}
        body = urlencode({"logout_token": token}).encode()
        answer = await self._client.post(message.url, body, headers, timeout_s=CALL_S)
        return None if answer.is_success else answer.error or f"status_{answer.status}"


def _owner(message: _Claimed) -> str:
    """Return the id of the tenant that a message belongs to, also of its sandbox."""
    return message.tenant_id.removesuffix(":test")


async def _queue_tenant(app: Services, message: _Claimed) -> None:
    """Queue the logouts of all grants that a tenant ended, from where another worker stopped."""
    after: str | None = message.user_id
    while after is not None:
        row = await app.postgres.row(_QUEUE_TENANT, _QueueTenant(message.tenant_id, after, BATCH))
        after = row.last if row is not None else None
    await _finish(app, message, None)


async def _finish(app: Services, message: _Claimed, error: str | None) -> None:
    row = await app.postgres.row(_FINISH, _Finish(*message[:3], new_id("evt"), error))
    log_events(app.log, read_events(row.events if row else None))
