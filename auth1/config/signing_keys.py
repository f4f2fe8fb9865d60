"""The operator's own signing keys, read from JWT_ALGORITHM and JWT_PRIVATE_KEY.

The PEM text contains one key or several. The first signs and all verify, so a new key is put first while tokens of
the old one are still valid. A key that only verifies may be a public key.
"""

import base64
import hashlib
import json
import re
from typing import Any, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

_BLOCK = re.compile(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_COORDINATE_BYTES = 32


class SigningKey(NamedTuple):
    """A key pair. `kid` is the thumbprint (RFC 7638), `jwk` the public key (RFC 7517)."""

    algorithm: str
    kid: str
    private: Any  # None for a key that only verifies
    public: Any
    jwk: dict[str, str]


def read_signing_keys(pem: str, algorithm: str) -> tuple[SigningKey, ...]:
    """Read the keys of a PEM text. Raises ValueError with the problem."""
    # Environments often carry a PEM text on one line, with \n for its line ends.
    found = [block[0] for block in _BLOCK.finditer(pem.replace("\\n", "\n")) if block[1] != "EC PARAMETERS"]
    if not found:
        raise ValueError("JWT_PRIVATE_KEY contains no PEM key; generate one: openssl genpkey -algorithm ed25519")
    keys = tuple(_read_one(block) for block in found)
    if algorithm != "HS256" and (keys[0].private is None or keys[0].algorithm != algorithm):
        raise ValueError(f"JWT_PRIVATE_KEY must begin with a private key for {algorithm}: the first key signs")
    if len({key.kid for key in keys}) < len(keys):
        raise ValueError("JWT_PRIVATE_KEY contains a key twice; remove one")
    return keys


def _read_one(block: str) -> SigningKey:
    private: Any = None
    try:
        if "PRIVATE" in block.partition("\n")[0]:
            private = load_pem_private_key(block.encode(), password=None)
            public: Any = private.public_key()
        else:
            public = load_pem_public_key(block.encode())
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(
            "JWT_PRIVATE_KEY contains an unreadable key; decrypt it first if it has a passphrase"
        ) from error
    algorithm, jwk = _describe(public)
    if private is not None and not isinstance(private, EllipticCurvePrivateKey | Ed25519PrivateKey):
        raise ValueError("JWT_PRIVATE_KEY must contain keys for ES256 (P-256) or EdDSA (Ed25519)")
    canonical = json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()
    kid = _base64url(hashlib.sha256(canonical).digest())
    return SigningKey(algorithm, kid, private, public, {**jwk, "kid": kid, "use": "sig", "alg": algorithm})


def _describe(public: Any) -> tuple[str, dict[str, str]]:
    """Return the algorithm of a key, and the members of its JWK that its thumbprint covers."""
    if isinstance(public, Ed25519PublicKey):
        x = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return "EdDSA", {"crv": "Ed25519", "kty": "OKP", "x": _base64url(x)}
    if isinstance(public, EllipticCurvePublicKey) and isinstance(public.curve, SECP256R1):
        numbers = public.public_numbers()
        x, y = (number.to_bytes(_COORDINATE_BYTES, "big") for number in (numbers.x, numbers.y))
        return "ES256", {"crv": "P-256", "kty": "EC", "x": _base64url(x), "y": _base64url(y)}
    raise ValueError("JWT_PRIVATE_KEY must contain keys for ES256 (P-256) or EdDSA (Ed25519)")


def _base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
