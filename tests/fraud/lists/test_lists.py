"""The entry of allow and block lists that decides, compared with a slow search through all entries."""

import ipaddress

import phonenumbers
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.errors import ValidationFailed
from auth1.fraud.lists.entries import NEVER, Entry, Kind, Lists, TenantLists, match
from auth1.fraud.lists.values import normalise
from auth1.identifiers import Identifier, parse_email, parse_phone
from tests.support.effort import effort

NOW = 1_000.0
PHONES = ["+14155550100", "+14155550101", "+14165550100", "+447700900123", "+447700900124", "+33612345678"]
EMAILS = ["a@example.com", "a@mail.example.com", "a@b.mail.example.com", "a@example.org", "a@notexample.com"]
ADDRESSES = ["192.0.2.1", "192.0.2.200", "192.0.3.1", "2001:db8::1", "2001:db8:0:1::1", "::ffff:192.0.2.1", None]
VALUES: dict[Kind, list[str]] = {
    "number": PHONES,
    "prefix": ["+1", "+1415", "+1415555", "+44", "+447", "+3", "+33", "+336"],
    "country": ["US", "CA", "GB", "FR"],
    "address": ["192.0.2.1", "2001:db8::1"],
    "network": ["0.0.0.0/0", "192.0.2.0/24", "192.0.2.0/25", "192.0.2.1/32", "2001:db8::/32", "2001:db8::/64", "::/0"],
    "email_domain": ["com", "example.com", "mail.example.com", "org"],
}

identifiers = st.sampled_from([*map(parse_phone, PHONES), *map(parse_email, EMAILS)])
PAIRS = [(kind, value) for kind, values in VALUES.items() for value in values]
rows = st.tuples(
    st.sampled_from(["allow", "block"]), st.sampled_from(PAIRS), st.sampled_from([NEVER, NOW - 1, NOW, NOW + 1])
)
# Plain tuples are drawn ten times as fast as entries.
entries = st.lists(rows, max_size=12, unique_by=lambda row: row[:2]).map(
    lambda found: [Entry(str(n), name, *pair, expires) for n, (name, pair, expires) in enumerate(found)]  # type: ignore[arg-type]
)


def length_of(entry: Entry, identifier: Identifier, address: str | None) -> int | None:
    """Return how much of the request an entry matches, in digits, bits or labels; None where it does not match."""
    phone = identifier.value if identifier.channel == "sms" else ""
    match entry.kind:
        case "number":
            return 1000 if phone == entry.value else None
        case "prefix":
            return len(entry.value) - 1 if phone.startswith(entry.value) else None
        case "country":
            code = str(phonenumbers.country_code_for_region(entry.value))
            return len(code) if identifier.country == entry.value else None
        case "email_domain":
            domain = "." + identifier.value.rpartition("@")[2]
            matches = not phone and domain.endswith("." + entry.value)
            return len(entry.value.split(".")) if matches else None
        case _:
            if address is None:
                return None
            parsed = ipaddress.ip_address(address.removeprefix("::ffff:"))
            network = ipaddress.ip_network(entry.value)
            if parsed.version != network.version or parsed not in network:
                return None
            return 1000 if network.prefixlen == network.max_prefixlen else network.prefixlen


def slow_match(found: list[Entry], identifier: Identifier, address: str | None) -> set[Entry]:
    """Return the entries that may decide: the longest of each group, whole matches first, then block entries."""
    best: list[tuple[bool, bool, Entry]] = []
    for kinds in (("number", "prefix", "country", "email_domain"), ("address", "network")):
        lengths = [
            (length, entry)
            for entry in found
            if entry.kind in kinds and entry.expires_at > NOW
            if (length := length_of(entry, identifier, address)) is not None
        ]
        longest = [(length, entry) for length, entry in lengths if length == max(lengths)[0]]
        blocks = [one for one in longest if one[1].list == "block"]
        best += [(length == 1000, entry.list == "block", entry) for length, entry in blocks or longest]
    return {entry for *rank, entry in best if tuple(rank) == max(one[:2] for one in best)}


@settings(max_examples=effort(500, 5000), derandomize=True, database=None)
@given(entries, identifiers, st.sampled_from(ADDRESSES))
def test_match_is_the_entry_of_a_slow_search(found: list[Entry], identifier: Identifier, address: str | None) -> None:
    expected = slow_match(found, identifier, address)

    entry = Lists(found).match(identifier, address, identifier.country, NOW)

    assert entry in expected if expected else entry is None


@settings(max_examples=effort(200, 2000), derandomize=True, database=None)
@given(entries, entries, identifiers, st.sampled_from(ADDRESSES))
def test_block_entry_of_the_operator_or_the_tenant_decides(
    own: list[Entry], shared: list[Entry], identifier: Identifier, address: str | None
) -> None:
    lists = TenantLists(Lists(own), Lists(shared))
    single = [one.match(identifier, address, identifier.country, NOW) for one in lists]

    found = match(lists, identifier, address, identifier.country, NOW)

    names = {entry.list for entry in single if entry is not None}
    assert (found.entry.list if found else None) == ("block" if "block" in names else next(iter(names), None))
    assert found is None or found.entry is single[found.is_operators]


@pytest.mark.parametrize(
    ("found", "decides"),
    [
        ([("block", "prefix", "+1415"), ("allow", "number", "+14155550100")], "allow"),
        ([("block", "number", "+14155550100"), ("allow", "prefix", "+1415555")], "block"),
        ([("block", "country", "US"), ("allow", "prefix", "+1415")], "allow"),
        ([("block", "country", "US"), ("allow", "prefix", "+1")], "block"),
        ([("allow", "number", "+14155550100"), ("block", "network", "192.0.2.0/24")], "allow"),
        ([("allow", "number", "+14155550100"), ("block", "address", "192.0.2.1")], "block"),
        ([("allow", "country", "US"), ("block", "network", "192.0.2.0/24")], "block"),
        ([("block", "network", "192.0.2.0/24"), ("allow", "network", "192.0.2.0/28")], "allow"),
    ],
)
def test_longest_match_decides(found: list[tuple[str, Kind, str]], decides: str) -> None:
    lists = Lists(Entry(str(n), name, kind, value) for n, (name, kind, value) in enumerate(found))  # type: ignore[arg-type]

    entry = lists.match(parse_phone("+14155550100"), "192.0.2.1", "US", NOW)

    assert entry is not None
    assert entry.list == decides


def test_expired_entry_leaves_the_decision_to_a_shorter_one() -> None:
    lists = Lists([Entry("1", "block", "prefix", "+1415", NOW), Entry("2", "allow", "prefix", "+1", NOW + 1)])
    phone = parse_phone("+14155550100")

    found = [lists.match(phone, None, "US", now) for now in (NOW - 1, NOW, NOW + 1)]

    assert [entry and entry.entry_id for entry in found] == ["1", "2", None]


@pytest.mark.parametrize(
    ("kind", "value", "stored"),
    [
        ("number", "+15551234567", "+15551234567"),
        ("prefix", "+1", "+1"),
        ("country", "GB", "GB"),
        ("address", "2001:DB8:0::1", "2001:db8::1"),
        ("address", "::ffff:192.0.2.1", "192.0.2.1"),
        ("network", "192.0.2.0/24", "192.0.2.0/24"),
        ("network", "2001:DB8::/32", "2001:db8::/32"),
        ("email_domain", "Example.COM", "example.com"),
    ],
)
def test_value_is_stored_in_one_form(kind: Kind, value: str, stored: str) -> None:
    assert normalise(kind, value) == stored


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("number", "5551234567", "Must be a phone number in E.164, such as +15551234567."),
        ("number", "+1555", "Must be a phone number in E.164, such as +15551234567."),
        ("prefix", "+", "Must be the beginning of a phone number in E.164, such as +1555 or +447."),
        ("prefix", "+0", "Must be the beginning of a phone number in E.164, such as +1555 or +447."),
        ("prefix", "+1\n", "Must be the beginning of a phone number in E.164, such as +1555 or +447."),
        ("country", "UK", "UK is not a country code (ISO 3166-1 alpha-2); write GB."),
        ("address", "192.0.2.256", "Must be an IP address, such as 192.0.2.7 or 2001:db8::7."),
        ("address", "fe80::1%eth0", "Must be an IP address without a zone."),
        ("network", "192.0.2.7", "Must be an IP network, such as 192.0.2.0/24 or 2001:db8::/32."),
        ("network", "192.0.2.7/24", "Must have no bits after the prefix: write 192.0.2.0/24."),
        ("network", "192.0.2.0/33", "Must be an IP network, such as 192.0.2.0/24 or 2001:db8::/32."),
        ("network", "::ffff:192.0.2.0/120", "Must be an IPv4 network: write it without ::ffff:."),
        ("email_domain", "@example.com", "Must be a domain, such as example.com. Its subdomains are included."),
        ("email_domain", "192.0.2.1", "Must be a domain, such as example.com. Its subdomains are included."),
    ],
)
def test_value_that_matches_nothing_is_rejected(kind: Kind, value: str, message: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        normalise(kind, value)

    assert [(error.field, error.message) for error in raised.value.errors] == [("value", message)]
