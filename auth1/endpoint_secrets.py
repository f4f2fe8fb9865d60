"""The stored form of the secrets that sign our calls of a tenant's webhooks and hooks, and of its signing keys.

A secret must outlive a change of JWT_SECRET. So at start each one that the previous secret has encrypted is encrypted
again under the current one.
"""

from auth1.core.crypto import Keyring

_PURPOSE = "endpoint-secret"


def encrypt_secret(keyring: Keyring, tenant_id: str, endpoint_id: str, secret: bytes) -> bytes:
    """Encrypt the secret of an endpoint. It opens only for this endpoint."""
    return keyring.seal(_PURPOSE, secret, _context(tenant_id, endpoint_id))


def decrypt_secret(keyring: Keyring, tenant_id: str, endpoint_id: str, encrypted: bytes) -> bytes | None:
    """Decrypt the secret of an endpoint; None when neither JWT_SECRET nor JWT_SECRET_PREVIOUS opens it."""
    return keyring.open(_PURPOSE, encrypted, _context(tenant_id, endpoint_id))


def current_seal(keyring: Keyring) -> bytes:
    """Return the first bytes of every secret that is encrypted under the current JWT_SECRET."""
    return keyring.seals(_PURPOSE)[0]


def encrypt_again(keyring: Keyring, tenant_id: str, endpoint_id: str, encrypted: bytes) -> bytes | None:
    """Encrypt a secret under the current JWT_SECRET; None when no accepted secret opens it."""
    secret = decrypt_secret(keyring, tenant_id, endpoint_id, encrypted)
    return encrypt_secret(keyring, tenant_id, endpoint_id, secret) if secret is not None else None


def _context(tenant_id: str, endpoint_id: str) -> bytes:
    return f"{tenant_id}\0{endpoint_id}".encode()
