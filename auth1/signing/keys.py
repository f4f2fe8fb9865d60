"""Create, encrypt and describe the keys that sign the OAuth tokens of a tenant."""

import hashlib
import json
from typing import Any, Literal, NamedTuple

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_der_private_key,
)
from jwt.algorithms import Algorithm, get_default_algorithms

from auth1.core.crypto import base64url

Alg = Literal["RS256", "ES256", "EdDSA"]
RSA_BITS = 2048
_PUBLIC_EXPONENT = 65537
# The members of a JWK that its thumbprint covers, and that are public (RFC 7638, RFC 8037).
_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
ALGORITHMS: dict[Alg, Algorithm] = {
    "RS256": get_default_algorithms()["RS256"],
    "ES256": get_default_algorithms()["ES256"],
    "EdDSA": get_default_algorithms()["EdDSA"],
}


class NewSigningKey(NamedTuple):
    """A new key: its private half in DER (PKCS 8), and its public half as a JWK."""

    kid: str
    jwk: dict[str, str]
    private: bytes


def create_key(alg: Alg) -> NewSigningKey:
    """Create a key. A key for RS256 takes some 40 ms of CPU, so call it in a thread."""
    key: Any
    if alg == "RS256":
        key = rsa.generate_private_key(_PUBLIC_EXPONENT, RSA_BITS)
    elif alg == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    whole = json.loads(ALGORITHMS[alg].to_jwk(key.public_key()))
    jwk = {name: whole[name] for name in _MEMBERS[whole["kty"]]}
    kid = base64url(hashlib.sha256(json.dumps(jwk, separators=(",", ":"), sort_keys=True).encode()).digest())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return NewSigningKey(kid, {**jwk, "kid": kid, "use": "sig", "alg": alg}, private)


def read_private(private: bytes) -> Any:
    """Read a private key. It was encrypted by us, so the costly check of its primes is left out."""
    return load_der_private_key(private, password=None, unsafe_skip_rsa_key_validation=True)


def read_public(alg: Alg, jwk: dict[str, str]) -> Any:
    """Read a public key."""
    return ALGORITHMS[alg].from_jwk(json.dumps(jwk))
