"""Check and normalise the values of allow and block lists."""

import ipaddress
import re

from auth1.config.countries import country_problem
from auth1.errors import FieldError, ValidationFailed
from auth1.fraud.lists.entries import Kind
from auth1.identifiers import is_e164

_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}", re.ASCII)
_DOMAIN = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?", re.ASCII)
_MAX_DOMAIN = 253


def normalise(kind: Kind, value: str) -> str:
    """Return a value as it is stored and compared. Raises ValidationFailed."""
    normalised, problem = _KINDS[kind](value)
    if problem is not None:
        raise ValidationFailed(errors=[FieldError("value", problem)])
    return normalised


def _number(value: str) -> tuple[str, str | None]:
    return value, None if is_e164(value) else "Must be a phone number in E.164, such as +15551234567."


def _prefix(value: str) -> tuple[str, str | None]:
    problem = "Must be the beginning of a phone number in E.164, such as +1555 or +447."
    return value, None if _PREFIX.fullmatch(value) else problem


def _country(value: str) -> tuple[str, str | None]:
    return value, country_problem(value)


def _address(value: str) -> tuple[str, str | None]:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return value, "Must be an IP address, such as 192.0.2.7 or 2001:db8::7."
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return value, "Must be an IP address without a zone."
        address = address.ipv4_mapped or address
    return str(address), None


def _network(value: str) -> tuple[str, str | None]:
    problem = "Must be an IP network, such as 192.0.2.0/24 or 2001:db8::/32."
    if "/" not in value or "%" in value:
        return value, problem
    try:
        network = ipaddress.ip_network(value, strict=False)
    except ValueError:
        return value, problem
    address = value.partition("/")[0]
    if ipaddress.ip_address(address) != network.network_address:
        return value, f"Must have no bits after the prefix: write {network}."
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        return value, "Must be an IPv4 network: write it without ::ffff:."
    return str(network), None


def _email_domain(value: str) -> tuple[str, str | None]:
    domain = value.lower()
    is_valid = len(domain) <= _MAX_DOMAIN and _DOMAIN.fullmatch(domain)
    return domain, None if is_valid else "Must be a domain, such as example.com. Its subdomains are included."


_KINDS = {
    "number": _number,
    "prefix": _prefix,
    "country": _country,
    "address": _address,
    "network": _network,
    "email_domain": _email_domain,
}
