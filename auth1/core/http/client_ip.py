"""Find the client's address. Forwarding headers are read from the right, as far as trusted proxies wrote them."""

import ipaddress
import re
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from auth1.core.log import Log

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE_BITS = 64  # the network of one customer
_NETWORK_BITS = {4: 24, 6: 48}  # identifies a network, not a person
_MAX_HOPS = 16
_MAX_ADDRESS = 64  # characters
WARN_EVERY_S = 60.0
FORWARDING_HEADERS = (
    *(b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-forwarded-host", b"via"),
    *(b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"),
)
# An address with an optional port, which may be obfuscated: 1.2.3.4:5678, [2001:db8::1]:443, [2001:db8::1]:_x, ::1.
_HOP = re.compile(
    r"\[(?P<bracketed>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5}|:_[\w.-]+)?"
    r"|(?P<plain>[0-9.]+(?=:)|[0-9A-Fa-f:.]+)(?(plain)(?::[0-9]{1,5}|:_[\w.-]+)?)",
    re.ASCII,
)
_FOR = re.compile(r"(?:^|;)\s*for=([^;]*)", re.IGNORECASE)


class Client(NamedTuple):
    """The client's address. `is_certain` is False when a forwarding header was sent and could not be used."""

    address: str
    is_certain: bool


class ClientFinder:
    """Finds the client's address behind trusted proxies. Warns of headers that it cannot use, once a minute each."""

    def __init__(self, trusted: tuple[Network, ...], log: Log) -> None:
        self._trusted = trusted
        self._log = log
        self._next_warning: dict[str, float] = {}

    def find(self, peer: str, headers: Mapping[bytes, Sequence[bytes]]) -> Client:
        """Return the right-most address that is not a trusted proxy; `peer` is the other end of the socket.

        X-Forwarded-For is read, or Forwarded (RFC 7239) without it. A unix socket has no address; only a local proxy
        can use it, so it is trusted.
        """
        current = parse_address(peer)
        is_forwarded = any(name in headers for name in FORWARDING_HEADERS)
        if current is not None and not is_trusted(current, self._trusted):
            if current.is_private and is_forwarded:
                self._warn("Ignoring forwarding headers from an untrusted peer; name it in TRUSTED_PROXIES", peer)
            return Client(str(current), not is_forwarded)
        hops, is_certain = _hops(headers)[-_MAX_HOPS:], not is_forwarded
        for hop in reversed(hops):
            address = parse_hop(hop)
            if address is None:
                self._warn("A trusted proxy sent an unreadable client address; its clients share a rate limit", peer)
                is_certain = False
                break
            current, is_certain = address, True
            if not is_trusted(address, self._trusted):
                break
        return Client(str(current) if current is not None else "local", is_certain)

    def _warn(self, message: str, peer: str) -> None:
        now = time.monotonic()
        if self._next_warning.get(message, 0.0) <= now:
            self._next_warning[message] = now + WARN_EVERY_S
            self._log.warn(message, peer=peer or "unix socket")


def parse_address(text: str) -> Address | None:
    """Return an IP address, or None for other texts. An IPv4-mapped address (`::ffff:1.2.3.4`) is IPv4."""
    return _parse(text) if len(text) <= _MAX_ADDRESS else None


def parse_hop(text: str) -> Address | None:
    """Return the address of an entry: bare, quoted, in brackets, with or without a port (RFC 7239, 6)."""
    entry = _HOP.fullmatch(text.strip().replace('"', ""))
    return parse_address(entry["bracketed"] or entry["plain"]) if entry is not None else None


def _hops(headers: Mapping[bytes, Sequence[bytes]]) -> list[str]:
    """Return the entries of X-Forwarded-For, or the `for` of each element of Forwarded."""
    values = headers.get(b"x-forwarded-for") or headers.get(b"forwarded") or ()
    elements = [part.strip() for value in values for part in value.decode("latin-1").split(",")]
    if b"x-forwarded-for" in headers:
        return elements
    found = [_FOR.search(element) for element in elements]
    return [match[1] if match is not None else "unknown" for match in found]


@lru_cache(maxsize=10_000)
def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if getattr(address, "scope_id", None) is not None:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=10_000)
def is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    """Return whether an address is in a network of TRUSTED_PROXIES."""
    return any(address.version == network.version and address in network for network in trusted)


@lru_cache(maxsize=10_000)
def rate_limit_prefix(address: str) -> str:
    """Return the part of an address that rate limits use: all of IPv4, the /64 of IPv6."""
    parsed = parse_address(address)
    if parsed is None or parsed.version == 4:
        return address
    return str(ipaddress.ip_network((parsed, _IPV6_SITE_BITS), strict=False))


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str | None:
    """Return the network of an address as it is stored: the /24 of IPv4, the /48 of IPv6. None for other texts."""
    parsed = parse_address(address)
    if parsed is None:
        return None
    return str(ipaddress.ip_network((parsed, _NETWORK_BITS[parsed.version]), strict=False))
