"""The body of a delivery, made from the row of its event: the same bytes at each attempt."""

from datetime import datetime

import msgspec

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


class Content(msgspec.Struct, frozen=True):
    """The content of a delivery: its own body, or the row of its event, whose columns are null when it was purged."""

    body: str | None
    event_id: str | None
    event_tenant: str | None
    type: str
    actor: str
    subject: str
    request_id: str | None
    data: str
    created_at: datetime | None

    def encode(self) -> bytes | None:
        """Return the body of the delivery; null when its event was purged. `data` is that of PostgreSQL."""
        if self.body is not None:
            return self.body.encode()
        if self.event_id is None or self.event_tenant is None or self.created_at is None:
            return None
        data = msgspec.Raw(self.data.encode())
        return _encode(
            _Body(
                self.type,
                self.created_at,
                self.event_id,
                self.event_tenant,
                self.actor,
                self.subject,
                self.request_id,
                data,
            )
        )


_encode = msgspec.json.Encoder().encode


def test_body(
    event_id: str, made_at: datetime, tenant_id: str, webhook_id: str, actor: str, request_id: str | None
) -> bytes:
    """Return the body of a test, which is no event. Its subject is the webhook."""
    return _encode(_Body(TEST, made_at, event_id, tenant_id, actor, webhook_id, request_id, msgspec.Raw(b"{}")))
