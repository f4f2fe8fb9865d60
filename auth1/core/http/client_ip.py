"""The client's address. X-Forwarded-For is believed only as far as trusted proxies wrote it, read from the right."""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_IPV6_SITE_BITS = 64  # what one customer is given; any address of it is theirs
_NETWORK_BITS = {4: 24, 6: 48}  # identifies a network, not a person
_MAX_HOPS = 16


@lru_cache(maxsize=10_000)
def parse_address(text: str) -> Address | None:
    """Parse an IP address; IPv4 written as IPv6 (`::ffff:1.2.3.4`) is IPv4. None when it is none."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


@lru_cache(maxsize=10_000)
def is_trusted(address: Address, trusted: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)


def client_address(peer: str, forwarded_for: Sequence[str], trusted: tuple[Network, ...]) -> str:
    """Find the right-most address that is not one of our proxies; `peer` is the socket's other end.

    A unix socket has no address: only a local proxy can be there, so it is trusted.
    """
    current = parse_address(peer)
    if current is not None and not is_trusted(current, trusted):
        return str(current)
    hops = [hop.strip() for header in forwarded_for for hop in header.split(",")]
    for hop in reversed(hops[-_MAX_HOPS:]):
        address = parse_address(hop)
        if address is None:
            break  # whoever wrote this is not one of ours: stop at the last address that is sure
        current = address
        if not is_trusted(address, trusted):
            break
    return str(current) if current is not None else "local"


def is_untrusted_private_peer(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether a peer that forwards and is not believed may be a proxy that nobody named: its address is private."""
    address = parse_address(peer)
    return address is not None and address.is_private and not is_trusted(address, trusted)


@lru_cache(maxsize=10_000)
def rate_limit_prefix(address: str) -> str:
    """The part of an address that limits hold: all of IPv4, the /64 of IPv6."""
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
