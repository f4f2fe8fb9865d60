"""The check of tokens agrees with PyJWT over many tokens, valid and damaged."""

import random
import string
import time
from collections.abc import Callable, Iterator
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from auth1.config.signing_keys import read_signing_keys
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.errors import InvalidToken, TokenExpired
from auth1.sessions.tokens import Signer, Subject
from auth1.tenants.settings import Tenant, TenantSettings

ISSUER = "https://auth.example.com"
TOKENS = 150
DAMAGED = 20  # per token
ALPHABET = string.ascii_letters + string.digits + "-_.=+/ \n?\0é"
KEYS: dict[str, Callable[[], Any]] = {
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def new_signer(algorithm: str) -> tuple[Signer, Any]:
    """Return a signer, and the operator's private key, if it has one."""
    if algorithm not in KEYS:
        return Signer(Keyring("k" * 40), algorithm, (), ISSUER), None
    private = KEYS[algorithm]()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return Signer(Keyring("k" * 40), algorithm, read_signing_keys(pem, algorithm), ISSUER), private


def new_tenant() -> Tenant:
    return Tenant(
        id=new_id("tn"),
        name="Acme",
        settings=TenantSettings(),
        jwt_version=1,
        suspended=False,
        key_id=new_id("key"),
        key_kind="pk",
        allowed_origins=(),
        key_expires_at=None,
    )


def damage(token: str, chance: random.Random) -> Iterator[str]:
    """Yield tokens that differ from a valid one in one place."""
    for _ in range(DAMAGED):
        at = chance.randrange(len(token))
        letter = chance.choice(ALPHABET)
        yield chance.choice(
            [
                token[:at] + letter + token[at + 1 :],
                token[:at] + letter + token[at:],
                token[:at] + token[at + 1 :],
                token[:at],
                token + letter,
                token[:at].swapcase() + token[at:],
            ]
        )
    # Each last digit of each part: most differ in bits that decoders ignore.
    for end in (token.index("."), token.rindex("."), len(token)):
        for digit in chance.sample(ALPHABET[:64], 8):
            yield token[: end - 1] + digit + token[end:]


def is_accepted(signer: Signer, tenant: Tenant, token: str) -> bool:
    try:
        signer.check(tenant, token)
    except (InvalidToken, TokenExpired):
        return False
    return True


def pyjwt_accepts(signer: Signer, tenant: Tenant, token: str, algorithm: str) -> bool:
    """Return whether PyJWT accepts a token. It also accepts spellings that are not canonical."""
    if algorithm == "HS256":
        key: Any = signer.secrets(tenant.id, 1)[0]
    else:
        key = jwt.PyJWKSet.from_dict(signer.jwks).keys[0]
    try:
        jwt.decode(token, key, algorithms=[algorithm], audience=tenant.id, issuer=ISSUER)
    except (jwt.PyJWTError, UnicodeError):
        return False
    return True


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
def test_only_tokens_in_their_one_spelling_are_accepted(algorithm: str) -> None:
    chance = random.Random(1)
    (signer, _), tenant = new_signer(algorithm), new_tenant()
    for number in range(TOKENS):
        subject = Subject(new_id("usr"), new_id("ses"), chance.choice(["sms", "email"]), f"+1555{number:07d}")
        token = signer.sign(tenant, subject)
        assert is_accepted(signer, tenant, token)
        assert pyjwt_accepts(signer, tenant, token, algorithm)
        for damaged in damage(token, chance):
            # PyJWT reads some damaged tokens as the same bytes.
            assert is_accepted(signer, tenant, damaged) == (damaged == token), damaged


@pytest.mark.parametrize("algorithm", ["HS256", "ES256", "EdDSA"])
def test_claims_signed_by_pyjwt_are_read_as_it_reads_them(algorithm: str) -> None:
    chance = random.Random(2)
    (signer, private), tenant = new_signer(algorithm), new_tenant()
    secret = private or signer.secrets(tenant.id, 1)[0]
    now = int(time.time())
    for _ in range(TOKENS):
        claims = {
            "iss": chance.choice([ISSUER, ISSUER, ISSUER + "/"]),
            "aud": chance.choice([tenant.id, tenant.id, new_id("tn")]),
            "exp": chance.choice([now + 600, now + 600, now - 1]),
            "sub": new_id("usr"),
            "sid": new_id("ses"),
            "iat": now,
            "jti": new_id("jti"),
            "amr": ["otp"],
            "auth_time": now,
            "email": chance.choice(["ann@example.com", "ü@example.com", None]),
        }
        kid = f"{tenant.id}.1" if algorithm == "HS256" else signer.jwks["keys"][0]["kid"]
        token = jwt.encode(claims, secret, algorithm=algorithm, headers={"typ": "at+jwt", "kid": kid})

        accepted = is_accepted(signer, tenant, token)

        assert accepted == pyjwt_accepts(signer, tenant, token, algorithm)
        assert not accepted or signer.check(tenant, token).sub == claims["sub"]
