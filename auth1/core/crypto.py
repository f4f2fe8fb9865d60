"""Keys derived from one secret, and their operations.

Each purpose has its own key (HKDF-SHA256, RFC 5869), so that one use cannot be turned against another. While an
operator rotates the secret, the previous one still opens and compares, but never seals or signs.
"""

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_SEAL_BYTES = 4
_NONCE_BYTES = 12
_SEALED_FROM = _SEAL_BYTES + _NONCE_BYTES


class Keyring:
    """All keys, from the current secret and from the previous one."""

    def __init__(self, secret: str, previous: str | None = None) -> None:
        self._secrets = (secret.encode(), *([previous.encode()] if previous else []))

    def derive_all(self, purpose: str) -> list[bytes]:
        """Derive the 32-byte keys of a purpose: from the current secret, then from the previous one."""
        return [_hkdf(secret, purpose) for secret in self._secrets]

    def macs(self, purpose: str, message: bytes) -> list[bytes]:
        """Authenticate a message (HMAC-SHA256): under the current secret, then under the previous one."""
        return [hmac.digest(_hkdf(secret, purpose), message, "sha256") for secret in self._secrets]

    def seal(self, purpose: str, text: bytes, context: bytes) -> bytes:
        """Encrypt `text` (AES-256-GCM) so that it opens only with the same purpose and context."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = AESGCM(_hkdf(self._secrets[0], purpose)).encrypt(nonce, text, context)
        return self.seals(purpose)[0] + nonce + sealed

    def open(self, purpose: str, box: bytes, context: bytes) -> bytes | None:
        """Decrypt the result of `seal`; None when no accepted secret opens it."""
        seal, nonce, sealed = box[:_SEAL_BYTES], box[_SEAL_BYTES:_SEALED_FROM], box[_SEALED_FROM:]
        for secret, known in zip(self._secrets, self.seals(purpose), strict=True):
            if seal == known:
                with suppress(InvalidTag, ValueError):
                    return AESGCM(_hkdf(secret, purpose)).decrypt(nonce, sealed, context)
        return None

    def seals(self, purpose: str) -> list[bytes]:
        """Return the first four bytes of boxes that `open` can open: they identify the secret without revealing it."""
        return [_hkdf(secret, f"{purpose} seal")[:_SEAL_BYTES] for secret in self._secrets]


def digest(token: str) -> bytes:
    """Digest a random token for storage: 160 bits or more of entropy need no salt and no slow hash (ASVS 6.5)."""
    return hashlib.sha256(token.encode()).digest()


def base64url(raw: bytes) -> str:
    """Encode bytes in base64url without padding (RFC 7515, 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def s256(verifier: str) -> str:
    """Return the code challenge of a PKCE verifier by the method S256 (RFC 7636, 4.2)."""
    return base64url(digest(verifier))


def content_hash(text: str) -> str:
    """Return the SHA-256 of a style or script in base64, as a Content-Security-Policy names it."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def equal(a: str, b: str) -> bool:
    """Compare two secrets in constant time."""
    return hmac.compare_digest(a.encode(), b.encode())


@lru_cache(maxsize=64)
def _hkdf(secret: bytes, purpose: str) -> bytes:
    """Derive 32 bytes: one block of HKDF-SHA256 without salt."""
    extracted = hmac.digest(bytes(32), secret, "sha256")
    return hmac.digest(extracted, purpose.encode() + b"\x01", "sha256")
