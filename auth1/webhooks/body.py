"""The body of a delivery, made from the row of its event: the same bytes at each attempt."""

from datetime import datetime

import msgspec

from auth1.events.reader import EventRow
from auth1.webhooks.schemas import TEST


class _Body(msgspec.Struct):
    type: str
    timestamp: datetime
    event_id: str
    tenant_id: str
    actor: str
    subject: str
    request_id: str | None
    data: msgspec.Raw


_encode = msgspec.json.Encoder().encode


def event_body(event: EventRow) -> bytes:
    """Return the body of an event. Its `data` is the text that PostgreSQL stores."""
    data = msgspec.Raw(event.data.encode())
    return _encode(
        _Body(
            event.type,
            event.created_at,
            event.id,
            event.tenant_id,
            event.actor,
            event.subject,
            event.request_id,
            data,
        )
    )


def test_body(
    event_id: str, made_at: datetime, tenant_id: str, webhook_id: str, actor: str, request_id: str | None
) -> bytes:
    """Return the body of a test, which is no event. Its subject is the webhook."""
    return _encode(_Body(TEST, made_at, event_id, tenant_id, actor, webhook_id, request_id, msgspec.Raw(b"{}")))
