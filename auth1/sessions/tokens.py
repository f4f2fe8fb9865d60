"""Sign and check session tokens: JWTs of type `at+jwt` (RFC 9068) that name a session.

HS256 uses one key per tenant, derived from JWT_SECRET, tenant and key version. So no tenant can forge another's tokens.
The tenant gets it as text (`jwt_secret`). The bytes of that text are the HMAC key, as JWT libraries expect. ES256 and
EdDSA use the operator's key. The sandbox always has a separate derived key.

This module checks the envelope, which it also writes: three parts of unpadded base64url; a header of exactly `alg`,
`typ` and `kid`; claims of fixed types. The kid alone decides about key and algorithm, so no confusion is possible (RFC
8725, 3.1, 3.2, 3.11).

ES256 and EdDSA are PyJWT's. HS256 is one call of `hmac.digest` over the received bytes, compared with the received
signature as text. That replaces decoding three parts and encoding them again, and takes a third of the CPU. The oracle
is PyJWT in tests/sessions/test_token_oracle.py, over valid and damaged tokens.
"""

import binascii
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgspec
from jwt.algorithms import Algorithm, get_default_algorithms

from auth1.config.signing_keys import SigningKey
from auth1.core.crypto import Keyring
from auth1.core.ids import made_at, new_id
from auth1.errors import InvalidToken, TokenExpired
from auth1.tenants.settings import Tenant

TYPE = "at+jwt"
AAL1 = "urn:auth1:aal1"  # the login proved one factor: a code or a link
MAX_TOKEN_LIFE_S = 3600  # of a tenant's setting
_LAST_S = 253_402_300_799  # the end of the year 9999, the maximum of a timestamp
_SKEW_S = 600  # accepted difference between the clocks of two instances, where they do not share the database's
_PARTS = re.compile(rb"([A-Za-z0-9_-]{1,512})\.([A-Za-z0-9_-]{1,8192})\.([A-Za-z0-9_-]{1,128})")
_HEADERS = 256  # parsed headers of a worker: one per key that signs
_VERSION = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_ALGORITHMS: dict[str, Algorithm] = {name: get_default_algorithms()[name] for name in ("ES256", "EdDSA")}
_TO_URL = bytes.maketrans(b"+/", b"-_")
_FROM_URL = bytes.maketrans(b"-_", b"+/")
# The last digits that leave no bits over, by the number of digits beyond whole groups of four.
_LAST_DIGITS = {0: None, 2: frozenset(b"AQgw"), 3: frozenset(b"AEIMQUYcgkosw048")}

_Seconds = Annotated[int, msgspec.Meta(ge=0, le=_LAST_S)]


class Claims(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The claims of a token (RFC 9068, 2.2); `amr` as in RFC 8176, times in seconds since 1970."""

    iss: str
    aud: str
    sub: Annotated[str, msgspec.Meta(pattern=r"^usr_[0-9a-z]{26}\Z")]
    sid: Annotated[str, msgspec.Meta(pattern=r"^ses_[0-9a-z]{26}\Z")]
    iat: _Seconds
    exp: int
    jti: str
    amr: list[str]
    acr: str | None = None  # tokens of older releases have none
    auth_time: _Seconds
    phone_number: str | None = None
    email: str | None = None
    test: bool = False


class _Header(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    alg: str
    kid: str
    typ: str


class Subject(NamedTuple):
    """The subject of a token: a user and a session, and the channel and identifier that opened it."""

    user_id: str
    session_id: str
    channel: str
    identifier: str | None


ExtraClaims = Mapping[str, Any]  # of the tenant's hook; none of them has the name of one of ours
NO_CLAIMS: ExtraClaims = {}

_decode_header = msgspec.json.Decoder(_Header).decode
_decode_claims = msgspec.json.Decoder(Claims).decode
_encode_claims = msgspec.json.Encoder().encode


class Signer:
    """Signs and checks the tokens of all tenants. `issuer` is APP_URL.

    `now` is a clock that all instances share: one with a slow clock would sign tokens that have expired elsewhere.
    """

    def __init__(
        self,
        keyring: Keyring,
        algorithm: str,
        keys: tuple[SigningKey, ...],
        issuer: str,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._keyring = keyring
        self._own = keys[0] if algorithm != "HS256" else None
        self._public = {key.kid: key for key in keys}
        self._issuer = issuer
        self._now = now
        self._header = lru_cache(maxsize=10_000)(_header)
        self._secrets = lru_cache(maxsize=10_000)(self._derive)

    @property
    def algorithms(self) -> list[str]:
        """The algorithms of tokens outside of the sandbox."""
        return sorted({key.algorithm for key in self._public.values()} | ({"HS256"} if self._own is None else set()))

    @property
    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Return the public keys (RFC 7517), without the secret HS256 keys of tenants."""
        return {"keys": [key.jwk for key in self._public.values()]}

    def secrets(self, tenant_id: str, version: int) -> list[str]:
        """Return a tenant's `jwt_secret` (256 bits in base64url), then that of the previous JWT_SECRET."""
        return [secret.decode() for secret in self._secrets(tenant_id, version)]

    def claims(self, tenant: Tenant, subject: Subject) -> Claims:
        """Return the claims of a new token of a session."""
        now = int(self._now())
        return Claims(
            iss=self._issuer,
            aud=tenant.id,
            sub=subject.user_id,
            sid=subject.session_id,
            iat=now,
            exp=now + tenant.settings.token_expires_in,
            jti=new_id("jti"),
            amr=["otp", "sms"] if subject.channel == "sms" else ["otp"],
            acr=AAL1,
            auth_time=made_at(subject.session_id),
            phone_number=subject.identifier if subject.channel == "sms" else None,
            email=subject.identifier if subject.channel == "email" else None,
            test=tenant.sandbox,
        )

    def sign(self, tenant: Tenant, subject: Subject, extra: ExtraClaims = NO_CLAIMS) -> str:
        """Return the signed token of a session, with extra claims."""
        payload = _encode_claims(self.claims(tenant, subject))
        if extra:
            payload = payload[:-1] + b"," + _encode_claims(extra)[1:]
        if self._own is not None and not tenant.sandbox:
            name, kid, key = self._own.algorithm, self._own.kid, self._own.private
        else:
            name, kid = "HS256", f"{tenant.id}.{tenant.jwt_version}"
            key = self._secrets(tenant.id, tenant.jwt_version)[0]
        text = self._header(name, kid) + b"." + _base64url(payload)
        signature = hmac.digest(key, text, "sha256") if name == "HS256" else _ALGORITHMS[name].sign(text, key)
        return (text + b"." + _base64url(signature)).decode()

    def check(self, tenant: Tenant, token: str) -> Claims:
        """Verify a token of this tenant and return its claims. Raises InvalidToken, TokenExpired."""
        received = token.encode("ascii", "replace")  # a question mark is no digit of base64url
        parts = _PARTS.fullmatch(received)
        if parts is None:
            raise InvalidToken
        encoded_header, encoded_claims, signature = parts.groups()
        try:
            header = _read_header(encoded_header)
            algorithm, keys = self._keys(tenant, header.kid)
            if header.typ != TYPE or header.alg != algorithm:
                raise InvalidToken
            signed = received[: parts.end(2)]
            if not any(_is_signature(algorithm, key, signed, signature) for key in keys):
                raise InvalidToken
            claims = _decode_claims(_bytes(encoded_claims))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error):
            raise InvalidToken from None
        if claims.iss != self._issuer or claims.aud != tenant.id or claims.test != tenant.sandbox:
            raise InvalidToken
        now = self._now()
        if claims.exp <= now:
            raise TokenExpired
        if claims.exp > now + MAX_TOKEN_LIFE_S + _SKEW_S:  # only a holder of the tenant's secret can write such a token
            raise InvalidToken
        return claims

    def _keys(self, tenant: Tenant, kid: str) -> tuple[str, tuple[Any, ...]]:
        """Return the algorithm and the keys of a kid at this tenant; no keys for an unknown kid."""
        if not tenant.sandbox and (key := self._public.get(kid)) is not None:
            return key.algorithm, (key.public,)
        owner, _, version = kid.rpartition(".")
        if owner != tenant.id or not _VERSION.fullmatch(version) or (self._own is not None and not tenant.sandbox):
            return "HS256", ()
        number = int(version)
        # Another worker has just created a version above the cached one.
        if number < tenant.jwt_version and tenant.retired_versions.get(number, 0.0) <= self._now():
            return "HS256", ()
        return "HS256", self._secrets(tenant.id, number)

    def _derive(self, tenant_id: str, version: int) -> tuple[bytes, ...]:
        """Derive the tenant's key as bytes of text, under the current JWT_SECRET, then under the previous one."""
        return tuple(map(_base64url, self._keyring.derive_all(f"jwt:{tenant_id}:{version}")))


def _header(algorithm: str, kid: str) -> bytes:
    return _base64url(json.dumps({"alg": algorithm, "kid": kid, "typ": TYPE}, separators=(",", ":")).encode())


def _base64url(raw: bytes) -> bytes:
    return binascii.b2a_base64(raw, newline=False).translate(_TO_URL).rstrip(b"=")


def _bytes(encoded: bytes) -> bytes:
    """Decode canonical base64url of checked digits: the last one leaves no bits over. Raises binascii.Error."""
    last_digits = _LAST_DIGITS.get(len(encoded) % 4, frozenset())
    if last_digits is not None and encoded[-1] not in last_digits:
        raise binascii.Error("bits are left over")
    return binascii.a2b_base64(encoded.translate(_FROM_URL) + b"==")


@lru_cache(maxsize=_HEADERS)
def _read_header(encoded: bytes) -> _Header:
    """Read a header: all tokens of a key have the same. Errors are not cached."""
    return _decode_header(_bytes(encoded))


def _is_signature(algorithm: str, key: Any, signed: bytes, signature: bytes) -> bool:
    """Return whether the received signature, in base64url, is that of the received bytes."""
    if algorithm == "HS256":
        return hmac.compare_digest(_base64url(hmac.digest(key, signed, "sha256")), signature)
    return _ALGORITHMS[algorithm].verify(signed, key, _bytes(signature))
