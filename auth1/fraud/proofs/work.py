"""Proof of work in ALTCHA's first format, for doubtful requests (docs/fraud.md, "Proof of work").

A challenge is the SHA-256 of a salt and a random number; the caller finds the number. Nothing is stored until a proof
is redeemed: the signature shows that the challenge is ours, and the salt contains the time of expiry and a digest of
the tenant and the identifier. The salt ends in a delimiter and has a fixed form, so each challenge has one solution:
digits cannot be moved between the salt and the number, or be appended to the time.

    salt       <24 hex digits>?expires=<unix time>&for=<32 hex digits>&
    challenge  hex SHA-256 of salt + number
    signature  hex HMAC-SHA256 of challenge

The oracle of the tests is the package `altcha`.
"""

import base64
import hashlib
import hmac
import re
import secrets
from typing import Annotated, Literal

import msgspec

from auth1.api_error import PowChallenge
from auth1.core.crypto import Keyring
from auth1.errors import FieldError, ValidationFailed

EXPIRES_IN = 300  # seconds
MIN_NUMBER = 50_000  # maxnumber at load 1; half of it is the expected number of attempts
MAX_NUMBER = 1_000_000  # maxnumber at load 2, and ALTCHA's own default
KEEP_S = 1500  # of the key of a redeemed proof: its life, and clocks of instances that differ by 10 minutes each way

_SIGNING = "proof of work"
_BINDING = "proof of work binding"
_SALT = re.compile(r"([0-9a-f]{24})\?expires=([1-9][0-9]{9})&for=([0-9a-f]{32})&", re.ASCII)
_BINDING_CHARACTERS = 32

_Digest = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Solution(msgspec.Struct, frozen=True):
    """The JSON of a solution. Widgets add fields, such as `took`."""

    algorithm: Literal["SHA-256"]
    challenge: _Digest
    number: Annotated[int, msgspec.Meta(ge=0, le=MAX_NUMBER)]
    salt: Annotated[str, msgspec.Meta(max_length=200)]
    signature: _Digest


_decoder = msgspec.json.Decoder(Solution)


def new_challenge(keyring: Keyring, tenant_id: str, identifier: str, load: float, now: float) -> PowChallenge:
    """Return proof of work for an identifier of a tenant; its difficulty follows from the load."""
    nonce, maxnumber = secrets.token_hex(12), difficulty(load)
    binding = _bindings(keyring, nonce, tenant_id, identifier)[0]
    salt = f"{nonce}?expires={int(now) + EXPIRES_IN}&for={binding}&"
    challenge = _hash(salt, secrets.randbelow(maxnumber + 1))
    return PowChallenge(
        algorithm="SHA-256",
        challenge=challenge,
        salt=salt,
        maxnumber=maxnumber,
        signature=_signatures(keyring, challenge)[0],
        expires_in=EXPIRES_IN,
    )


def difficulty(load: float) -> int:
    """Return the `maxnumber` for a load: MIN_NUMBER at 1 or less, MAX_NUMBER at 2 or more, linear between them."""
    return MIN_NUMBER + round(min(max(load - 1, 0), 1) * (MAX_NUMBER - MIN_NUMBER))


def parse_payload(payload: str) -> Solution:
    """Decode the solution of a widget: base64 of JSON. Raises ValidationFailed.

    These are errors of the client's program. A solution that has expired, or is no solution, is not: see `verify`.
    """
    try:
        return _decoder.decode(base64.b64decode(payload, validate=True))
    except (ValueError, msgspec.MsgspecError, RecursionError):
        error = FieldError("proof.payload", "Must be the base64 of a solution's JSON.")
        raise ValidationFailed(errors=[error]) from None


def verify(keyring: Keyring, tenant_id: str, identifier: str, solution: Solution, now: float) -> str | None:
    """Return the digest under which a solution is redeemed, once within KEEP_S; None for a solution that is not valid.

    Valid: it solves a challenge of ours for this identifier of this tenant, which has not expired.
    """
    found = _SALT.fullmatch(solution.salt)
    if found is None:
        return None
    nonce, expires_at, binding = found[1], int(found[2]), found[3]
    signatures = _signatures(keyring, solution.challenge)
    bindings = _bindings(keyring, nonce, tenant_id, identifier)
    # Comparisons take constant time. A signature and a binding must be of the same secret.
    is_ours = any(
        hmac.compare_digest(signature, solution.signature) and hmac.compare_digest(expected, binding)
        for signature, expected in zip(signatures, bindings, strict=True)
    )
    is_solved = hmac.compare_digest(_hash(solution.salt, solution.number), solution.challenge)
    return solution.challenge if is_ours and is_solved and now < expires_at else None


def _hash(salt: str, number: int) -> str:
    return hashlib.sha256(f"{salt}{number}".encode()).hexdigest()


def _signatures(keyring: Keyring, challenge: str) -> list[str]:
    return [mac.hex() for mac in keyring.macs(_SIGNING, challenge.encode())]


def _bindings(keyring: Keyring, nonce: str, tenant_id: str, identifier: str) -> list[str]:
    """Return digests that only we can make. No part contains a NUL, which separates them."""
    message = f"{nonce}\0{tenant_id}\0{identifier}".encode()
    return [mac.hex()[:_BINDING_CHARACTERS] for mac in keyring.macs(_BINDING, message)]
