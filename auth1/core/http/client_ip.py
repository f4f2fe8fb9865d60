"""Find the client's address. Forwarding headers are read from the right, as far as trusted proxies wrote them."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

from auth1.core.telemetry.log import Log

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

LOCAL = "local"  # the client of a unix socket, which has no address
_IPV6_SITE_BITS = 64  # the network of one customer
_NETWORK_BITS = {4: 24, 6: 48}  # identifies a network, not a person
_MAX_HOPS = 16
_MAX_ADDRESS = 64  # characters
_CACHED = 4000  # clients of each cache
_MAX_WARNED = 1000  # peers
FORWARDING_HEADERS = frozenset(
    (
        *(b"x-forwarded-for", b"forwarded", b"x-real-ip", b"x-forwarded-host", b"via"),
        *(b"cf-connecting-ip", b"true-client-ip", b"x-client-ip"),
    )
)
# An address with an optional port, which may be obfuscated: 1.2.3.4:5678, [2001:db8::1]:443, [2001:db8::1]:_x, ::1.
_HOP = re.compile(
    r"\[(?P<bracketed>[0-9A-Fa-f:.]+)\](?::[0-9]{1,5}|:_[\w.-]+)?"
    r"|(?P<plain>[0-9.]+(?=:)|[0-9A-Fa-f:.]+)(?(plain)(?::[0-9]{1,5}|:_[\w.-]+)?)",
    re.ASCII,
)
_FOR = re.compile(r"(?:^|;)\s*for=([^;]*)", re.IGNORECASE)


class ClientAddress(NamedTuple):
    """The client's address. `is_certain` is False when a forwarding header was sent and could not be used."""

    address: str
    is_certain: bool


class _Found(NamedTuple):
    client: ClientAddress
    warning: str = ""


class ClientFinder:
    """Finds the client's address behind trusted proxies. Warns of headers that it cannot use, once for each peer.

    `direct` and `find` look addresses up in caches of parsed ones. That replaces ipaddress on the path of a request,
    and takes a tenth of its time. The caches hold what `_find` returned, so the two cannot differ.
    """

    def __init__(self, trusted: tuple[Network, ...], log: Log) -> None:
        self._trusted = trusted
        self._log = log
        self._warned: set[tuple[str, str]] = set()  # by message and peer
        self.direct: Callable[[str], ClientAddress] = lru_cache(maxsize=_CACHED)(self._direct)
        self._behind_proxy = lru_cache(maxsize=_CACHED)(self._find)

    def find(self, peer: str, headers: Mapping[bytes, Sequence[bytes]]) -> ClientAddress:
        """Return the right-most address that is not a trusted proxy; `peer` is the other end of the socket.

        X-Forwarded-For is read, or Forwarded (RFC 7239) without it. A unix socket has no address; only a local proxy
        can use it, so it is trusted.
        """
        if FORWARDING_HEADERS.isdisjoint(headers):
            return self.direct(peer)
        hops = tuple(headers.get(b"x-forwarded-for") or ())
        elements = () if b"x-forwarded-for" in headers else tuple(headers.get(b"forwarded") or ())
        values = hops + elements
        is_short = len(values) == 1 and len(values[0]) <= _MAX_ADDRESS
        found = (self._behind_proxy if is_short else self._find)(peer, hops, elements)
        if found.warning:
            self._warn(found.warning, peer)
        return found.client

    def _direct(self, peer: str) -> ClientAddress:
        """Return the client of a request without forwarding headers: the peer, trusted or not."""
        current = parse_address(peer)
        return ClientAddress(str(current) if current is not None else LOCAL, is_certain=True)

    def _find(self, peer: str, forwarded_for: tuple[bytes, ...], forwarded: tuple[bytes, ...]) -> _Found:
        """Return the client of a request with a forwarding header."""
        current = parse_address(peer)
        if current is not None and not is_trusted(current, self._trusted):
            warning = "Ignoring forwarding headers from an untrusted peer; name it in TRUSTED_PROXIES"
            return _Found(ClientAddress(str(current), is_certain=False), warning if current.is_private else "")
        is_certain, warning = False, ""
        for hop in reversed(_hops(forwarded_for, forwarded)[-_MAX_HOPS:]):
            address = parse_hop(hop)
            if address is None:
                warning = "A trusted proxy sent an unreadable client address; its clients share a rate limit"
                is_certain = False
                break
            current, is_certain = address, True
            if not is_trusted(address, self._trusted):
                break
        return _Found(ClientAddress(str(current) if current is not None else LOCAL, is_certain), warning)

    def _warn(self, message: str, peer: str) -> None:
        if (message, peer) not in self._warned and len(self._warned) < _MAX_WARNED:
            self._warned.add((message, peer))
            self._log.warn(message, peer=peer or "unix socket")


def parse_address(text: str) -> Address | None:
    """Return an IP address, or None for other texts. An IPv4-mapped address (`::ffff:1.2.3.4`) is IPv4."""
    return _parse(text) if len(text) <= _MAX_ADDRESS else None


def parse_hop(text: str) -> Address | None:
    """Return the address of an entry: bare, quoted, in brackets, with or without a port (RFC 7239, 6)."""
    entry = _HOP.fullmatch(text.strip().replace('"', ""))
    return parse_address(entry["bracketed"] or entry["plain"]) if entry is not None else None


def _hops(forwarded_for: tuple[bytes, ...], forwarded: tuple[bytes, ...]) -> list[str]:
    """Return the entries of X-Forwarded-For, and the `for` of each element of Forwarded."""
    found = [_FOR.search(element) for element in _elements(forwarded)]
    return _elements(forwarded_for) + [match[1] if match is not None else "unknown" for match in found]


def _elements(values: tuple[bytes, ...]) -> list[str]:
    return [part.strip() for value in values for part in value.decode("latin-1").split(",")]


@lru_cache(maxsize=1000)
def _parse(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if getattr(address, "scope_id", None) is not None:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=1000)
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
