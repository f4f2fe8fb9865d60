"""A guard against server-side request forgery (CWE-918): which URLs of tenants Auth1 may call, and at which address.

A URL must be in the plain form that every parser reads alike. Its host is resolved at each call, and every address must
be public. The connection goes to an address that was checked (`CONNECT_TO`), so the name cannot change between the
check and the call. Networks that the operator allows may be private, and be called over http.

Lists of addresses: the IANA special-purpose registries of IPv4 and IPv6 (RFC 6890), and the metadata address of Azure,
which is public.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from auth1.core.outbound.resolver import resolve as resolve_in_thread

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Awaitable[list[str]]]

MAX_URL_CHARACTERS = 2048
MIN_PORT = 1024  # lower ones belong to services of other protocols; 443 is allowed
RESOLVE_S = 5.0

_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-fA-F:.]+\]|[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?)"
    r"(?::(?P<port>[1-9][0-9]{0,4}))?(?:[/?][!-\"$-\[\]-~]*)?"  # printable ASCII without # and backslash
)
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")  # a last label that makes a host an IPv4 address (WHATWG URL, 3.5)

_NOT_PUBLIC_4 = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carrier-grade NAT; metadata of Alibaba Cloud
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # metadata of Azure
        "169.254.0.0/16",  # link-local; metadata of AWS, Google Cloud and others
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; metadata of Oracle Cloud
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_PUBLIC_6 = ipaddress.IPv6Network("2000::/3")  # all that is assigned
_NOT_PUBLIC_6 = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: contains an IPv4 address
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # the last 32 bits are an IPv4 address (RFC 6052)


class UrlNotAllowed(ValueError):
    """A URL that is never called. The text is a sentence for the caller that sent it."""


class AddressNotAllowed(Exception):
    """A host with an address that is not allowed. Only this fact is for callers: addresses describe our network."""


class Target(NamedTuple):
    """The parts of a URL in its plain form. `address` is set when the host is an IP address."""

    scheme: str
    host: str
    port: int
    address: Address | None


class Guard:
    """Decides which URLs may be called. `own_host` is the host of APP_URL, `own_port` our port."""

    def __init__(
        self,
        allowed_networks: tuple[Network, ...] = (),
        *,
        own_host: str | None = None,
        own_port: int | None = None,
        resolve: Resolve | None = None,
        resolve_s: float = RESOLVE_S,
    ) -> None:
        self._allowed_networks = allowed_networks
        self._own = (own_host.lower().strip("[]") if own_host else None, own_port)
        self._resolve = resolve or resolve_in_thread
        self._resolve_s = resolve_s

    def check_url(self, url: str) -> Target:
        """Return the parts of a URL that may be called. Raises UrlNotAllowed.

        It does not resolve the host: `find_addresses` does, before each call.
        """
        target = parse_url(url)
        if target.scheme == "http" and not self._allowed_networks:
            raise UrlNotAllowed(
                "Must begin with https://; WEBHOOK_ALLOWED_NETWORKS allows http:// to private networks."
            )
        if target.address is not None and not self._is_allowed(target.address, target):
            raise UrlNotAllowed("Must not name a private or reserved address.")
        if target.host == self._own[0] and (not self._allowed_networks or target.port == self._own[1]):
            raise UrlNotAllowed("Must not name the host of APP_URL, which is Auth1 itself.")
        return target

    async def find_address(self, url: str) -> str:
        """Return the first of `find_addresses`."""
        return (await self.find_addresses(url))[0]

    async def find_addresses(self, url: str) -> list[str]:
        """Return the IP addresses to connect to for a URL, the best first.

        Raises UrlNotAllowed, AddressNotAllowed, and OSError where the host cannot be resolved (TimeoutError: in time).
        """
        target = self.check_url(url)
        if target.address is not None:
            found = [target.address]
        else:
            async with asyncio.timeout(self._resolve_s):
                found = [ipaddress.ip_address(text) for text in await self._resolve(target.host, target.port)]
        if not found:
            raise OSError("The host has no address.")
        # One address that is not allowed makes the name invalid: mixed addresses are a sign of an attack.
        if not all(self._is_allowed(address, target) for address in found):
            raise AddressNotAllowed
        return [str(address) for address in found]

    def _is_allowed(self, address: Address, target: Target) -> bool:
        if any(address in network for network in self._allowed_networks):
            return not (_is_ours(address) and target.port == self._own[1])
        return target.scheme == "https" and is_public(address) and not _is_ours(address)


def parse_url(url: str) -> Target:
    """Parse a URL strictly. Raises UrlNotAllowed for all that two parsers could read differently."""
    if len(url) > MAX_URL_CHARACTERS:
        raise UrlNotAllowed(f"Must be at most {MAX_URL_CHARACTERS} characters.")
    match = _URL.fullmatch(url)
    if match is None:
        raise UrlNotAllowed("Must be a URL such as https://example.com/webhooks, without user name or fragment.")
    scheme, host = match["scheme"], match["host"].lower()
    port = int(match["port"]) if match["port"] else {"https": 443, "http": 80}[scheme]
    if port > 65535 or (port < MIN_PORT and port != {"https": 443, "http": 80}[scheme]):
        raise UrlNotAllowed(f"The port must be 443, or {MIN_PORT} to 65535.")
    if host.startswith("["):
        try:
            return Target(scheme, host[1:-1], port, ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise UrlNotAllowed("The host is not a valid IPv6 address.") from None
    labels = host.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return Target(scheme, host, port, ipaddress.IPv4Address(host))
        except ValueError:
            raise UrlNotAllowed("A numeric host must be an IPv4 address such as 192.0.2.1.") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise UrlNotAllowed("The host is not a valid name.")
    return Target(scheme, host, port, None)


def is_public(address: Address) -> bool:
    """Return whether an address is on the public internet."""
    if isinstance(address, ipaddress.IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    embedded = address.ipv4_mapped
    if embedded is None and address in _NAT64:
        embedded = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if embedded is not None:
        return is_public(embedded)
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _is_ours(address: Address) -> bool:
    """Return whether an address belongs to this machine: only then can a socket be bound to it."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
