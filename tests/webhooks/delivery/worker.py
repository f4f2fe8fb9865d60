"""A worker that sends deliveries, and what it has stored."""

from typing import Any

import asyncpg

from auth1.webhooks.delivery.worker import DeliveryWorker
from tests.support.receiver import Receiver
from tests.webhooks.conftest import Owner


def new_worker(owner: Owner, **options: Any) -> DeliveryWorker:
    services = owner.services
    guard = options.pop("guard", services.guard)
    keyring = options.pop("keyring", services.keyring)
    return DeliveryWorker(services.postgres, keyring, services.log, guard, **options)


async def deliver(owner: Owner, worker: DeliveryWorker | None = None) -> None:
    """Send all that is due now."""
    own = worker or new_worker(owner)
    while await own.run_once():
        await own.join()
    if worker is None:
        await own.stop()


async def subscribe(owner: Owner, receiver: Receiver, *events: str) -> dict[str, Any]:
    return await owner.webhook(*(events or ("user.updated",)), url=receiver.url)


async def send(owner: Owner, count: int = 1) -> list[str]:
    """Make events with their deliveries; return the ids of the events."""
    ids = await owner.add(*["user.updated"] * count)
    await owner.fan_out()
    return ids


async def make_due(owner: Owner) -> None:
    """Let the time of all later attempts and pauses of the tenant come."""
    keys = await owner.database.fetch(
        "select webhook_id, event_id from deliveries where tenant_id = $1", owner.tenant_id
    )
    update = "update deliveries set due_at = now() where tenant_id = $1 and webhook_id = $2 and event_id = $3"
    for key in keys:  # one row at a time: workers lock rows in another order
        await owner.database.execute(update, owner.tenant_id, *key)
    await owner.database.execute(
        "update webhooks set due_at = now(), paused_until = '-infinity' where tenant_id = $1", owner.tenant_id
    )


async def endpoint(owner: Owner, webhook: dict[str, Any]) -> asyncpg.Record:
    row = await owner.database.fetchrow("select * from webhooks where id = $1", webhook["webhook_id"])
    assert row is not None
    return row


async def attempts(owner: Owner, event_id: str) -> list[asyncpg.Record]:
    return await owner.database.fetch(
        "select * from delivery_attempts where tenant_id = $1 and event_id = $2 order by attempt",
        *(owner.tenant_id, event_id),
    )


async def state(owner: Owner, webhook: dict[str, Any]) -> list[tuple[str, int]]:
    return [(row["state"], row["attempts"]) for row in await owner.deliveries(webhook)]
