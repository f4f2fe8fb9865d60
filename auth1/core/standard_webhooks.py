"""Signatures of Standard Webhooks (https://www.standardwebhooks.com), version `v1` (HMAC-SHA256). It does no I/O.

What is signed is `id.timestamp.body`. While a secret is rotated, both secrets sign, and a receiver accepts either one.
"""

import base64
import hmac
import secrets
from collections.abc import Sequence

SECRET_BYTES = 32
SECRET_PREFIX = "whsec_"  # noqa: S105  # the prefix of every secret
ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"


def new_secret() -> bytes:
    """Return a random secret."""
    return secrets.token_bytes(SECRET_BYTES)


def format_secret(secret: bytes) -> str:
    """Return a secret as receivers configure it: `whsec_` and base64."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def sign(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the three headers of a message. `timestamp` is the time of the attempt in Unix seconds.

    Each key makes one signature; a space separates them. An id contains no full stop: the signed text would be
    ambiguous.
    """
    if "." in message_id:
        raise ValueError("The id of a message must not contain a full stop.")
    signed = f"{message_id}.{timestamp}.".encode() + body
    signatures = [base64.b64encode(hmac.digest(key, signed, "sha256")).decode() for key in keys]
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(f"v1,{signature}" for signature in signatures),
    }
