"""Networks by type: membership in CIDRs of both IP versions, and bad files."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.fraud.datasets import networks
from auth1.fraud.datasets.files import BadLine
from auth1.fraud.datasets.networks import AddressRanges, Networks, compile_networks

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
SPACES = {4: (0xC0000000, 0xFFFFFFFF), 6: (0x2001_0DB8 << 96, (1 << 128) - 1)}


def compiled(*lines: str) -> AddressRanges:
    return AddressRanges(compile_networks(lines)[1])


@st.composite
def address(draw: st.DrawFn) -> tuple[int, int]:
    """Draw the version and value of an address among few, so that networks touch and overlap."""
    version = draw(st.sampled_from((4, 6)))
    base, end = SPACES[version]
    return version, draw(st.one_of(st.integers(base, base + 300), st.integers(end - 300, end)))


@st.composite
def network(draw: st.DrawFn) -> Network:
    version, value = draw(address())
    if version == 4:
        return ipaddress.ip_network((value, draw(st.integers(20, 32))), strict=False)
    return ipaddress.ip_network((value, draw(st.integers(116, 128))), strict=False)


@settings(max_examples=300)
@given(st.lists(network(), max_size=20), st.lists(address(), min_size=1, max_size=30))
def test_address_is_found_exactly_in_the_networks_of_the_file(
    drawn: list[Network], addresses: list[tuple[int, int]]
) -> None:
    count, data = compile_networks([f"{network}\n" for network in drawn])
    ranges = AddressRanges(data)

    assert count == len(drawn)
    for version, value in addresses:
        parsed = ipaddress.IPv4Address(value) if version == 4 else ipaddress.IPv6Address(value)
        assert (parsed in ranges) == any(parsed.version == network.version and parsed in network for network in drawn)


def test_types_of_an_address_are_those_of_all_matching_files() -> None:
    loaded = Networks()
    loaded.replace("hosting", compiled("203.0.113.0/24", "2001:db8::/32"))
    loaded.replace("tor", compiled("203.0.113.7"))

    assert loaded.types_of("203.0.113.7") == ("hosting", "tor")
    assert loaded.types_of("::ffff:203.0.113.8") == ("hosting",)
    assert loaded.types_of("2001:db8::1") == ("hosting",)
    assert loaded.types_of("198.51.100.1") == ()
    assert loaded.types_of("local") == ()


def test_removed_type_contains_no_address() -> None:
    loaded = Networks()
    loaded.replace("vpn", compiled("0.0.0.0/0", "::/0"))
    assert loaded.types_of("203.0.113.7") == ("vpn",)

    loaded.replace("vpn", None)

    assert loaded.types_of("203.0.113.7") == ()


def test_comments_and_empty_lines_are_skipped_in_a_file_of_networks() -> None:
    assert compile_networks(["# exits\r\n", "\n", "203.0.113.7  # one\n", "2001:db8::/32\r\n"])[0] == 2


def test_touching_networks_are_merged() -> None:
    _, data = compile_networks(["203.0.113.0/25", "203.0.113.128/25", "203.0.113.64/26"])

    assert len(data) == len(compile_networks(["203.0.113.0/24"])[1])


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("203.0.113.1/24", "203.0.113.1/24 has host bits set; write 203.0.113.0/24"),
        ("example.com", "must be a network or an address, such as 203.0.113.0/24"),
        ("203.0.113.0/33", "must be a network"),
        ("203.0.113.0/24,hosting", "must be a network"),
        ("fe80::1%eth0", "must be a network"),
        ("\u0663.0.0.1", "must be a network"),
    ],
)
def test_bad_network_is_named_with_its_line_and_reason(line: str, problem: str) -> None:
    with pytest.raises(BadLine) as error:
        compile_networks(["198.51.100.0/24\n", f"{line}\n"])

    assert str(error.value).startswith(f"line 2: {problem}")


def test_file_of_networks_above_the_maximum_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "MAX_NETWORKS", 2)

    with pytest.raises(BadLine, match="line 3: a file may have 2 networks at most"):
        compile_networks(["203.0.113.1", "203.0.113.2", "203.0.113.3"])


@pytest.mark.parametrize("data", [b"\x01\x00\x00\x00\x00\x00\x00\x00", b"\x00" * 9, b""])
def test_bytes_of_another_format_are_rejected(data: bytes) -> None:
    with pytest.raises(ValueError, match="not compiled networks"):
        AddressRanges(data)
