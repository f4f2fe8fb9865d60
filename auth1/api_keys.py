"""API keys and client secrets: `auth1_<kind>_<slug>_<32 random characters><6 of checksum>`.

The checksum (CRC-32 in base 62, as in GitHub's tokens) detects a typing error or an invented key without a lookup, and
lets secret scanners confirm a match. 32 characters of base 62 are 190 bits.
"""

import re
import secrets
import zlib
from typing import Literal, NamedTuple, cast

from auth1.core.crypto import digest

Kind = Literal["pk", "sk", "test"]
KINDS: tuple[Kind, ...] = ("pk", "sk", "test")
CLIENT: Literal["cs"] = "cs"  # of an OAuth client; no API key

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_RANDOM_CHARACTERS = 32
_CHECKSUM_CHARACTERS = 6
_FORM = re.compile(r"auth1_(pk|sk|test)_([a-z0-9][a-z0-9-]{0,39})_([0-9A-Za-z]{38})", re.ASCII)


class NewKey(NamedTuple):
    """A new key, readable only now, and the digest and hint that are stored."""

    text: str
    digest: bytes
    hint: str


def make(kind: Kind | Literal["cs"], slug: str) -> NewKey:
    """Create a key of a tenant, or a client secret."""
    body = f"auth1_{kind}_{slug}_" + "".join(secrets.choice(_DIGITS) for _ in range(_RANDOM_CHARACTERS))
    text = body + _checksum(body)
    return NewKey(text, digest(text), f"auth1_{kind}_{slug}_…{text[-4:]}")


def kind_of(text: str) -> Kind | None:
    """Return the kind of a well-formed key; None when it cannot be a key of Auth1."""
    found = _FORM.fullmatch(text)
    if found is None or _checksum(text[:-_CHECKSUM_CHARACTERS]) != text[-_CHECKSUM_CHARACTERS:]:
        return None
    return cast(Kind, found[1])


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode())
    digits = []
    for _ in range(_CHECKSUM_CHARACTERS):
        number, digit = divmod(number, 62)
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
