"""The id of a delivery: made from its webhook and event, so that it need not be stored.

Its first characters are those of the event's id: it sorts by the time of the event. The others are a digest of both.
"""

import hashlib

from auth1.core.ids import pack_id, unpack_id

PREFIX = "dlv"
_TIME_CHARACTERS = 10


def delivery_id(webhook_id: str, event_id: str) -> str:
    """Return the id of the delivery of an event to a webhook."""
    digest = hashlib.sha256(f"{webhook_id}\0{event_id}".encode()).digest()[:10]
    return unpack_id(pack_id(event_id, "evt")[:6] + digest, PREFIX)


def event_prefix(delivery: str) -> str:
    """Return the first characters of the event's id: those of all events of the same millisecond."""
    return f"evt_{delivery.removeprefix(f'{PREFIX}_')[:_TIME_CHARACTERS]}"
