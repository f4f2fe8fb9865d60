"""One message that a request would send: its scopes, and what Redis stores under which key.

Keys of a tenant share the hash tag `{tenant_id}`. A narrow scope is a string and expires; the countries, the exposure
budget and the wrong codes of a tenant are one hash. A state is 24 bytes: exposure, verified amount, second of both.
"""

import struct
from typing import NamedTuple

from auth1.core.crypto import digest
from auth1.core.http.client_ip import network_of, rate_limit_prefix
from auth1.fraud.scopes import EMPTY, NARROW, Scope, State

_STATE = struct.Struct("<3d")
_SCOPES_WITHOUT_ADDRESS = 2
_UNKNOWN_COUNTRY = "ZZ"  # ISO 3166-1 reserves it
_NO_ADDRESS = "-"


class Message(NamedTuple):
    """A message, and what the rules read about it.

    `number`: E.164; null for an email, which has no scopes. `address`: null where a secret key names none; there are no
    scopes of addresses then. `price`: dollars. `known`, `in_country`, `signals`, `minimum`: as in `rules.Facts`.
    `proof`: digest of a solved and checked proof. `code_s`: seconds that its code is valid.
    """

    tenant_id: str
    identifier: str
    number: str | None = None
    country: str | None = None
    price: float = 0.0
    address: str | None = None
    known: bool = False
    in_country: bool = False
    signals: tuple[str, ...] = ()
    minimum: float = 0.0
    proof: str | None = None
    code_s: int = 600

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """The narrow scopes."""
        if self.number is None:
            return ()
        return NARROW if self.address is not None else NARROW[:_SCOPES_WITHOUT_ADDRESS]

    @property
    def country_field(self) -> str:
        """The field of the country in the wide hash, and its key in PostgreSQL."""
        return self.country or _UNKNOWN_COUNTRY

    def narrow_keys(self) -> list[str]:
        """Return the keys of the narrow scopes, in the order of `scopes`."""
        if self.number is None:
            return []
        tag, number, address = f"fraud:{{{self.tenant_id}}}:", self.number, self.address
        keys = [f"{tag}block_of_1000:{number[:-3]}", f"{tag}block_of_10000:{number[:-4]}"]
        if address is not None:
            keys += [f"{tag}address:{rate_limit_prefix(address)}", f"{tag}network:{_network(address)}"]
        return keys

    def blocks(self) -> tuple[str, str]:
        """Return the digits that the numbers of its blocks share."""
        return (self.number[:-3], self.number[:-4]) if self.number is not None else ("", "")

    def sends_key(self) -> str:
        """Return the key of the sends of the live code."""
        return f"fraud:{{{self.tenant_id}}}:sends:{digest(self.identifier).hex()[:32]}"

    def wide_key(self) -> str:
        return wide_key(self.tenant_id)

    def proof_key(self) -> str:
        """Return the key of the solved proof, which exists once it is redeemed."""
        return f"fraud:{{{self.tenant_id}}}:proof:{self.proof}"

    def entry(self) -> str:
        """Return the entry of this message among the sends of its code."""
        if self.address is None:
            return f"{_NO_ADDRESS} {_NO_ADDRESS} {self.price!r}\n"
        return f"{rate_limit_prefix(self.address)} {_network(self.address)} {self.price!r}\n"


class Sent(NamedTuple):
    """A message that was sent for a live code, from its entry."""

    address: str | None
    network: str | None
    price: float


def wide_key(tenant_id: str) -> str:
    """Return the key of a tenant's hash of countries, exposure budget and wrong codes."""
    return f"fraud:{{{tenant_id}}}:wide"


def block_key(tenant_id: str, scope: str, block: str) -> str:
    """Return the key of a block of numbers."""
    return f"fraud:{{{tenant_id}}}:{scope}:{block}"


def address_keys(tenant_id: str, sent: Sent) -> list[str]:
    """Return the keys of the address and the network of a message that was sent."""
    if sent.address is None:
        return []
    return [f"fraud:{{{tenant_id}}}:address:{sent.address}", f"fraud:{{{tenant_id}}}:network:{sent.network}"]


def read_sends(stored: bytes | None) -> list[Sent]:
    """Return the messages of a live code, oldest first. Entries that are garbage are left out."""
    sends = []
    for line in (stored or b"").decode("ascii", "replace").splitlines():
        address, _, rest = line.partition(" ")
        network, _, price = rest.partition(" ")
        try:
            dollars = float(price)
        except ValueError:
            continue
        if 0 <= dollars < 1000 and address and network:  # false for NaN
            has_address = address != _NO_ADDRESS
            sends.append(Sent(address if has_address else None, network if has_address else None, dollars))
    return sends


def pack_state(state: State) -> bytes:
    """Return the bytes of a state."""
    return _STATE.pack(*state)


def read_state(stored: bytes | None) -> State:
    """Return a state from its bytes; an empty one where it is missing or garbage."""
    if stored is None or len(stored) != _STATE.size:
        return EMPTY
    return State(*_STATE.unpack(stored))


def _network(address: str) -> str:
    return network_of(address) or address  # a unix socket has none
