"""Store the hooks of tenants."""

from datetime import datetime
from typing import NamedTuple

from auth1.core import standard_webhooks
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres, Queries, Transaction
from auth1.endpoint_secrets import encrypt_secret
from auth1.errors import NotFound
from auth1.events.log import EventContext, RecordedEvent, RecordedEvents, read_events
from auth1.hooks.config import HookName, OnError
from auth1.hooks.schemas import HookIn
from auth1.row_keys import TenantKey

_QUERIES = Queries("hooks")


class _HookKey(NamedTuple):
    tenant_id: str
    name: HookName


class _Found(NamedTuple):
    found: int


class HookRow(NamedTuple):
    """A stored hook. Its secrets are encrypted."""

    url: str
    on_error: OnError
    timeout_ms: int
    secret: bytes
    previous_secret: bytes | None
    created_at: datetime
    previous_secret_until: datetime | None


class _SaveHook(NamedTuple):
    tenant_id: str
    name: HookName
    url: str
    on_error: OnError
    timeout_ms: int
    secret: bytes
    grace_s: int
    changed: list[str]
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class _DeleteHook(NamedTuple):
    tenant_id: str
    name: HookName
    event_id: str
    actor: str
    request_id: str | None
    network: str | None


class Saved(NamedTuple):
    """A saved hook: its secret if that is new, and the event if anything changed."""

    secret: bytes | None
    events: list[RecordedEvent]


_GET_HOOK = _QUERIES.statement("get_hook", _HookKey, HookRow)
_LOCK_TENANT = _QUERIES.statement("lock_tenant_of_hooks", TenantKey, _Found)
_SAVE_HOOK = _QUERIES.statement("save_hook", _SaveHook, RecordedEvents)
_DELETE_HOOK = _QUERIES.statement("delete_hook", _DeleteHook, RecordedEvents)


async def get_hook(postgres: Postgres, tenant_id: str, name: HookName) -> HookRow:
    """Return a hook. Raises NotFound."""
    row = await postgres.row(_GET_HOOK, _HookKey(tenant_id, name))
    if row is None:
        raise NotFound
    return row


async def save_hook(
    postgres: Postgres, keyring: Keyring, tenant_id: str, name: HookName, hook: HookIn, context: EventContext
) -> Saved:
    """Create a hook or replace it. Raises NotFound for a deleted tenant."""
    timeout_ms = round(hook.timeout_in * 1000)

    async def work(transaction: Transaction) -> Saved:
        if await transaction.row(_LOCK_TENANT, TenantKey(tenant_id)) is None:
            raise NotFound
        stored = await transaction.row(_GET_HOOK, _HookKey(tenant_id, name))
        secret = standard_webhooks.new_secret() if stored is None or hook.rotate_secret else None
        changed = _changed_fields(stored, hook, timeout_ms)
        if secret is not None:
            changed.append("secret")
            box = encrypt_secret(keyring, tenant_id, name, secret)
        elif stored is not None:
            box = stored.secret
        if not changed:
            return Saved(None, [])
        row = await transaction.row(
            _SAVE_HOOK,
            _SaveHook(
                tenant_id=tenant_id,
                name=name,
                url=hook.url,
                on_error=hook.on_error,
                timeout_ms=timeout_ms,
                secret=box,
                grace_s=hook.grace_in,
                changed=changed,
                event_id=new_id("evt"),
                **context._asdict(),
            ),
        )
        return Saved(secret, read_events(row.events if row is not None else None))

    return await postgres.in_transaction(work)


async def delete_hook(postgres: Postgres, tenant_id: str, name: HookName, context: EventContext) -> list[RecordedEvent]:
    """Delete a hook; returns the event. Raises NotFound."""
    row = await postgres.row(_DELETE_HOOK, _DeleteHook(tenant_id, name, new_id("evt"), *context))
    events = read_events(row.events if row is not None else None)
    if not events:
        raise NotFound
    return events


def _changed_fields(stored: HookRow | None, hook: HookIn, timeout_ms: int) -> list[str]:
    if stored is None:
        return ["url", "on_error", "timeout_in"]
    return [
        name
        for name, before, after in (
            ("url", stored.url, hook.url),
            ("on_error", stored.on_error, hook.on_error),
            ("timeout_in", stored.timeout_ms, timeout_ms),
        )
        if before != after
    ]
