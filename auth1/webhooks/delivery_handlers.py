"""List, replay, cancel and test the deliveries of a webhook."""

from datetime import UTC, datetime

import msgspec

from auth1.core import timestamps
from auth1.core.http.request import JSON, Request
from auth1.core.ids import new_id
from auth1.core.standard_webhooks import ID_HEADER
from auth1.services import Services
from auth1.tenants.settings import TenantAdmin
from auth1.webhooks import delivery_store, store
from auth1.webhooks.delivery.body import test_body
from auth1.webhooks.delivery_store import ChangedDeliveries, Range
from auth1.webhooks.handlers import webhook_key
from auth1.webhooks.schemas import (
    CancelIn,
    DeliveriesOut,
    DeliveryDetail,
    DeliveryOut,
    DeliveryPage,
    DeliveryQuery,
    DeliveryRequest,
    ReplayIn,
)
from auth1.webhooks.statements import DeliveryKey


async def list_deliveries(app: Services, request: Request[TenantAdmin], query: DeliveryQuery) -> DeliveryPage:
    """List deliveries, newest event first. A page may be empty and have a `next_cursor`: it scans 20,000 at most."""
    key = webhook_key(request)
    await store.find_webhook(app.postgres, key)
    return DeliveryPage(*await delivery_store.list_deliveries(app.postgres, key, query))


async def get_delivery(app: Services, request: Request[TenantAdmin]) -> DeliveryDetail:
    """Return a delivery with its request, and with the response and timing of each call."""
    key = await _find_key(app, request)
    delivery = await delivery_store.find_delivery(app.postgres, key)
    body = await delivery_store.find_body(app.postgres, key)
    headers = {"content-type": JSON, ID_HEADER: key.event_id}
    content = None if body is None else DeliveryRequest("POST", headers, body.decode())
    calls = await delivery_store.list_calls(app.postgres, key)
    return DeliveryDetail(**msgspec.structs.asdict(delivery), request=content, calls=calls)


async def replay_delivery(app: Services, request: Request[TenantAdmin]) -> DeliveryOut:
    """Send a delivery again, with the same `webhook-id`. The attempts after it follow the usual schedule."""
    key = await _find_key(app, request)
    await delivery_store.replay_delivery(app.postgres, key)
    return await delivery_store.find_delivery(app.postgres, key)


async def cancel_delivery(app: Services, request: Request[TenantAdmin]) -> DeliveryOut:
    """Cancel a pending delivery. A replay sends it after all."""
    key = await _find_key(app, request)
    await delivery_store.cancel_delivery(app.postgres, key)
    return await delivery_store.find_delivery(app.postgres, key)


async def replay_deliveries(app: Services, request: Request[TenantAdmin], body: ReplayIn) -> DeliveriesOut:
    """Send deliveries again, oldest first: all failed ones, or those of a state and time range.

    A webhook gets 20 replays a second, whatever the number of requests. Its other deliveries do not wait for them.
    One request changes at most 10,000. While `has_more` is true, repeat it; for `delivered` move `since` forward.
    """
    within = _range(body)
    return _out(await delivery_store.replay_deliveries(app.postgres, webhook_key(request), body.state, within))


async def cancel_deliveries(app: Services, request: Request[TenantAdmin], body: CancelIn) -> DeliveriesOut:
    """Cancel pending deliveries: all, or those of a time range. A call that is under way is not stopped."""
    return _out(await delivery_store.cancel_deliveries(app.postgres, webhook_key(request), _range(body)))


async def send_test(app: Services, request: Request[TenantAdmin]) -> DeliveryOut:
    """Send `webhook.test`, which is no event, before all pending deliveries."""
    key, event_id = webhook_key(request), new_id("evt")
    context = request.caller.context
    body = test_body(event_id, datetime.now(UTC), key.tenant_id, key.webhook_id, context.actor, context.request_id)
    await delivery_store.insert_test(app.postgres, key, event_id, body.decode())
    return await delivery_store.find_delivery(app.postgres, DeliveryKey(*key, event_id))


async def _find_key(app: Services, request: Request[TenantAdmin]) -> DeliveryKey:
    """Return the key of the delivery that the path names. Raises NotFound."""
    key = webhook_key(request)
    await store.find_webhook(app.postgres, key)
    return await delivery_store.find_key(app.postgres, key, request.parameters["delivery_id"])


def _range(body: ReplayIn | CancelIn) -> Range:
    timestamps.check_range(body.since, body.until)
    return Range(body.since, body.until)


def _out(changed: ChangedDeliveries) -> DeliveriesOut:
    return DeliveriesOut(changed.deliveries, changed.has_more)
