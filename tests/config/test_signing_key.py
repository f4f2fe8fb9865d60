"""JWT_PRIVATE_KEY: accepted keys, and the message for each rejected one."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from jwt.api_jwk import PyJWK

from auth1.config.settings import ConfigurationError, load_settings
from auth1.config.signing_keys import read_signing_keys

P256, ED25519 = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
ENVIRONMENT = {"DATABASE_URL": "postgresql://h/d", "REDIS_URL": "redis://h", "JWT_SECRET": "x" * 32}


def pem(key: Any, form: PrivateFormat = PrivateFormat.PKCS8) -> str:
    return str(key.private_bytes(Encoding.PEM, form, NoEncryption()).decode())


def public(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


@pytest.mark.parametrize(
    ("text", "algorithms"),
    [
        (pem(P256), ["ES256"]),
        (pem(P256, PrivateFormat.TraditionalOpenSSL), ["ES256"]),
        (pem(ED25519), ["EdDSA"]),
        (pem(P256) + "\nsome words between\n" + pem(ED25519), ["ES256", "EdDSA"]),
        (pem(ED25519) + public(P256), ["EdDSA", "ES256"]),
        (pem(P256).replace("\n", "\\n"), ["ES256"]),
        ("-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + pem(P256), ["ES256"]),
    ],
)
def test_es256_and_eddsa_keys_are_read(text: str, algorithms: list[str]) -> None:
    keys = read_signing_keys(text, algorithms[0])

    assert [key.algorithm for key in keys] == algorithms
    for key in keys:
        assert PyJWK(key.jwk).key_type == key.jwk["kty"]  # the oracle understands it
        assert "d" not in key.jwk


def test_kid_is_the_rfc_8037_thumbprint() -> None:
    """The example of RFC 8037, appendix A.3."""
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    [key] = read_signing_keys(pem(ed25519.Ed25519PrivateKey.from_private_bytes(private)), "EdDSA")

    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize(
    ("text", "algorithm", "says"),
    [
        ("not a key", "ES256", "contains no PEM key"),
        (pem(P256), "EdDSA", "must begin with a private key for EdDSA"),
        (public(P256), "ES256", "must begin with a private key for ES256"),
        (pem(P256) + public(P256), "ES256", "contains a key twice"),
        (pem(P256)[:80] + "\n-----END PRIVATE KEY-----", "ES256", "unreadable key"),
        (pem(ec.generate_private_key(ec.SECP384R1())), "ES256", "must contain keys for ES256"),
        (lambda: pem(rsa.generate_private_key(65537, 2048)), "ES256", "must contain keys for ES256"),
        (pem(ed448.Ed448PrivateKey.generate()), "EdDSA", "must contain keys for ES256"),
        (lambda: pem(dsa.generate_private_key(1024)), "ES256", "must contain keys for ES256"),
        (
            P256.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
            "ES256",
            "unreadable key",
        ),
    ],
)
def test_invalid_signing_key_is_rejected(text: str | Callable[[], str], algorithm: str, says: str) -> None:
    # Keys that take long to generate are functions: every process of the tests imports this file.
    text = text if isinstance(text, str) else text()

    with pytest.raises(ConfigurationError) as rejected:
        load_settings(ENVIRONMENT | {"JWT_ALGORITHM": algorithm, "JWT_PRIVATE_KEY": text})

    [problem] = rejected.value.problems
    assert says in problem
    assert "MI" not in problem  # nothing of the key is repeated


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ({"JWT_ALGORITHM": "RS256"}, "JWT_ALGORITHM must be one of HS256, ES256, EdDSA"),
        ({"JWT_ALGORITHM": "none"}, "JWT_ALGORITHM must be one of"),
        ({"JWT_ALGORITHM": "ES256"}, "JWT_PRIVATE_KEY is required for JWT_ALGORITHM=ES256"),
    ],
)
def test_algorithm_requires_a_matching_key(environment: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError) as rejected:
        load_settings(ENVIRONMENT | environment)

    assert says in str(rejected.value)
