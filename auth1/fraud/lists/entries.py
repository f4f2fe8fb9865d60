"""Allow and block lists: the entry that decides about a request. Pure: no I/O, and the clock is an argument.

Of the entries of a number (number, prefix, country) the longest match decides; a country counts as long as its calling
code. So it is of the entries of an address (address, network) and of an email (email_domain). Between these groups a
whole number or address decides before a part of one. At equal length a block entry decides before an allow entry. The
operator's entries are a list of their own: a tenant's allow entry does not lift the operator's block entry.
"""

import ipaddress
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Literal, NamedTuple

import phonenumbers

from auth1.core.http import client_ip
from auth1.identifiers import Identifier

ListName = Literal["allow", "block"]
Kind = Literal["number", "prefix", "country", "address", "network", "email_domain"]

NEVER = float("inf")
_WHOLE = 1_000  # the length of a whole number or address; parts are shorter


class Entry(NamedTuple):
    """An entry of a list. `expires_at`: seconds since 1970, or NEVER."""

    entry_id: str
    list: ListName
    kind: Kind
    value: str
    expires_at: float = NEVER


class _Pair(NamedTuple):
    """The entries of one value in both lists."""

    block: Entry | None = None
    allow: Entry | None = None

    def valid(self, now: float) -> Entry | None:
        """Return the entry that decides at a time: the block entry before the allow entry."""
        for entry in self:
            if entry is not None and entry.expires_at > now:
                return entry
        return None


_Found = tuple[int, Entry] | None  # the length of a match, and its entry


class Lists:
    """The entries of one owner, by kind and value. An entry is found in a few dictionary look-ups."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.size = 0
        self._texts: dict[tuple[Kind, str], _Pair] = {}
        self._networks: dict[tuple[int, int], dict[int, _Pair]] = {}
        self._prefix_lengths: tuple[int, ...] = ()  # the longest first
        self._widths: tuple[tuple[int, int], ...] = ()  # IP version and host bits of networks; the longest match first
        for entry in entries:
            self.add(entry)

    def add(self, entry: Entry) -> None:
        """Add an entry while the lists are built."""
        self.size += 1
        if entry.kind in ("address", "network"):
            network = ipaddress.ip_network(entry.value)
            shift = network.max_prefixlen - network.prefixlen
            if (network.version, shift) not in self._networks:
                self._widths = tuple(sorted({*self._widths, (network.version, shift)}))
            pairs = self._networks.setdefault((network.version, shift), {})
            key = int(network.network_address) >> shift
            pairs[key] = _with(pairs.get(key), entry)
            return
        if entry.kind == "prefix" and len(entry.value) not in self._prefix_lengths:
            self._prefix_lengths = tuple(sorted({*self._prefix_lengths, len(entry.value)}, reverse=True))
        self._texts[entry.kind, entry.value] = _with(self._texts.get((entry.kind, entry.value)), entry)

    def match(self, identifier: Identifier, address: str | None, country: str | None, now: float) -> Entry | None:
        """Return the entry that decides, or None. `country`: that of the number."""
        found = [
            self._by_email(identifier.value, now)
            if identifier.channel == "email"
            else self._by_number(identifier.value, country, now),
            self._by_address(address, now) if address is not None and self._networks else None,
        ]
        # Between the groups only whole matches compare: digits and bits have no common length.
        ranked = [(length >= _WHOLE, entry.list == "block", entry) for length, entry in filter(None, found)]
        return max(ranked, key=lambda one: one[:2])[2] if ranked else None

    def _by_number(self, number: str, country: str | None, now: float) -> _Found:
        if (entry := self._valid("number", number, now)) is not None:
            return _WHOLE, entry
        found = [self._by_prefix(number, now)]
        if country is not None and (entry := self._valid("country", country, now)) is not None:
            found.append((calling_code_length(country), entry))
        return max(filter(None, found), key=lambda one: (one[0], one[1].list == "block"), default=None)

    def _by_prefix(self, number: str, now: float) -> _Found:
        for length in self._prefix_lengths:
            if length <= len(number) and (entry := self._valid("prefix", number[:length], now)) is not None:
                return length - 1, entry  # without the +
        return None

    def _by_address(self, text: str, now: float) -> _Found:
        address = client_ip.parse_address(text)
        if address is None:
            return None
        for version, shift in self._widths:
            pair = self._networks[version, shift].get(int(address) >> shift) if version == address.version else None
            if pair is not None and (entry := pair.valid(now)) is not None:
                return _WHOLE if shift == 0 else address.max_prefixlen - shift, entry
        return None

    def _by_email(self, email: str, now: float) -> _Found:
        for domain in parent_domains(email.rpartition("@")[2]):
            if (entry := self._valid("email_domain", domain, now)) is not None:
                return domain.count(".") + 1, entry
        return None

    def _valid(self, kind: Kind, value: str, now: float) -> Entry | None:
        pair = self._texts.get((kind, value))
        return pair.valid(now) if pair is not None else None


class Match(NamedTuple):
    """The entry that decides about a request. `is_operators`: it is on the operator's list."""

    entry: Entry
    is_operators: bool = False

    @property
    def is_blocked(self) -> bool:
        return self.entry.list == "block"


class TenantLists(NamedTuple):
    """The lists that apply to a tenant: its own, and the operator's."""

    own: Lists = Lists()
    operators: Lists = Lists()


def match(
    lists: TenantLists, identifier: Identifier, address: str | None, country: str | None, now: float
) -> Match | None:
    """Return the entry that decides about a request, None where no entry matches. `country`: that of the number."""
    own = lists.own.match(identifier, address, country, now) if lists.own.size else None
    operators = lists.operators.match(identifier, address, country, now) if lists.operators.size else None
    if operators is not None and (own is None or operators.list == "block"):
        return Match(operators, is_operators=True)
    return Match(own) if own is not None else None


def parent_domains(domain: str) -> Iterator[str]:
    """Yield a domain, then the domains that contain it: mail.example.com, example.com, com."""
    while domain:
        yield domain
        domain = domain.partition(".")[2]


@lru_cache(maxsize=256)
def calling_code_length(country: str) -> int:
    """Return the number of digits of a country's calling code."""
    return len(str(phonenumbers.country_code_for_region(country)))


def _with(pair: _Pair | None, entry: Entry) -> _Pair:
    """Return the pair with one more entry. Of an address and a network of one address the later to expire stays."""
    pair = pair or _Pair()
    known = pair.block if entry.list == "block" else pair.allow
    if known is not None and known.expires_at >= entry.expires_at:
        return pair
    return pair._replace(block=entry) if entry.list == "block" else pair._replace(allow=entry)
