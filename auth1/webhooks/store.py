"""Store webhooks and their secrets."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.errors import Conflict, NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.row_keys import TenantKey
from auth1.webhooks.schemas import WebhookOut

MAX_WEBHOOKS = 10  # of a tenant

_QUERIES = Queries("webhooks")


class _Tenant(NamedTuple):
    id: str


class _Count(NamedTuple):
    webhooks: int


class _Insert(NamedTuple):
    tenant_id: str
    webhook_id: str
    url: str
    events: list[str]
    sandbox: bool
    secret: bytes
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _ChangedWebhook(WebhookOut):
    new_events: str | None

    def out(self) -> WebhookOut:
        """Return the webhook as callers see it."""
        return WebhookOut(*msgspec.structs.astuple(self)[:-1])


class _Page(NamedTuple):
    tenant_id: str
    after: str
    max_rows: int


class WebhookKey(NamedTuple):
    """The key of a webhook."""

    tenant_id: str
    webhook_id: str


class _Update(NamedTuple):
    tenant_id: str
    webhook_id: str
    url: str | None
    events: list[str] | None
    enabled: bool | None
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Delete(NamedTuple):
    tenant_id: str
    webhook_id: str
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Rotate(NamedTuple):
    tenant_id: str
    webhook_id: str
    secret: bytes
    grace_in: int
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _Rotated(NamedTuple):
    previous_secret_until: datetime | None
    events: str | None


_LOCK_OWNER = _QUERIES.statement("lock_owner", TenantKey, _Tenant)
_COUNT = _QUERIES.statement("count_webhooks", TenantKey, _Count)
_INSERT = _QUERIES.statement("insert_webhook", _Insert, _ChangedWebhook)
_LIST = _QUERIES.statement("list_webhooks", _Page, WebhookOut)
_FIND = _QUERIES.statement("find_webhook", WebhookKey, WebhookOut)
_UPDATE = _QUERIES.statement("update_webhook", _Update, _ChangedWebhook)
_DELETE = _QUERIES.statement("delete_webhook", _Delete, RecordedEvents)
_ROTATE = _QUERIES.statement("rotate_secret", _Rotate, _Rotated)


class NewWebhook(NamedTuple):
    """A webhook to store; `secret` is encrypted."""

    webhook_id: str
    url: str
    events: list[str]
    sandbox: bool
    secret: bytes


async def create_webhook(
    postgres: Postgres, tenant_id: str, new: NewWebhook, context: EventContext
) -> tuple[WebhookOut, list[RecordedEvent]]:
    """Store a webhook. Raises NotFound without a tenant, and Conflict when it has too many."""

    async def work(transaction: Transaction) -> tuple[WebhookOut, list[RecordedEvent]]:
        if await transaction.row(_LOCK_OWNER, TenantKey(tenant_id)) is None:
            raise NotFound
        count = await transaction.row(_COUNT, TenantKey(tenant_id))
        if count is not None and count.webhooks >= MAX_WEBHOOKS:
            raise Conflict(f"A tenant has at most {MAX_WEBHOOKS} webhooks; delete one.")
        row = await transaction.row(_INSERT, _Insert(tenant_id, *new, new_id("evt"), *context))
        assert row is not None, "the statement always returns a row"
        return row.out(), read_events(row.new_events)

    return await postgres.in_transaction(work)


async def list_webhooks(postgres: Postgres, tenant_id: str, after: str, limit: int) -> list[WebhookOut]:
    """Return the webhooks of a tenant, oldest first."""
    return await postgres.rows(_LIST, _Page(tenant_id, after, limit))


async def find_webhook(postgres: Postgres, key: WebhookKey) -> WebhookOut:
    """Return a webhook. Raises NotFound."""
    row = await postgres.row(_FIND, key)
    if row is None:
        raise NotFound
    return row


async def update_webhook(
    postgres: Postgres,
    key: WebhookKey,
    context: EventContext,
    *,
    url: str | None,
    events: list[str] | None,
    enabled: bool | None,
) -> tuple[WebhookOut, list[RecordedEvent]]:
    """Change a webhook; None leaves a field as it is. Raises NotFound."""
    row = await postgres.row(
        _UPDATE, _Update(key.tenant_id, key.webhook_id, url, events, enabled, new_id("evt"), *context)
    )
    if row is None:
        raise NotFound
    return row.out(), read_events(row.new_events)


async def delete_webhook(postgres: Postgres, key: WebhookKey, context: EventContext) -> list[RecordedEvent]:
    """Delete a webhook. Raises NotFound."""
    row = await postgres.row(_DELETE, _Delete(key.tenant_id, key.webhook_id, new_id("evt"), *context))
    if row is None:
        raise NotFound
    return read_events(row.events)


async def rotate_secret(
    postgres: Postgres, key: WebhookKey, secret: bytes, grace_in: int, context: EventContext
) -> tuple[datetime | None, list[RecordedEvent]]:
    """Replace a secret; return the end of the previous one. Raises NotFound."""
    row = await postgres.row(_ROTATE, _Rotate(key.tenant_id, key.webhook_id, secret, grace_in, new_id("evt"), *context))
    if row is None:
        raise NotFound
    return row.previous_secret_until, read_events(row.events)
