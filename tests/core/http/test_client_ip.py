"""The client's address behind proxies: every form that RFC 7239 and the large proxies send."""

import ipaddress
from typing import Any

import pytest

from auth1.core.http.client_ip import ClientAddress, ClientFinder, parse_hop

PROXIES = (ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8"))


class Warnings:
    """A log that collects warnings."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def warn(self, msg: str, **fields: object) -> None:
        self.texts.append(f"{msg}: {fields['peer']}")


@pytest.fixture
def log() -> Any:
    return Warnings()


@pytest.fixture
def finder(log: Any) -> ClientFinder:
    return ClientFinder(PROXIES, log)


@pytest.mark.parametrize(
    ("entry", "address"),
    [
        ("1.2.3.4", "1.2.3.4"),
        (" 1.2.3.4 ", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),  # Azure Application Gateway, IIS
        ('"1.2.3.4:80"', "1.2.3.4"),
        ("1.2.3.4:_hidden", "1.2.3.4"),
        ("2001:db8::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ('"[2001:db8:cafe::17]:4711"', "2001:db8:cafe::17"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("[::ffff:1.2.3.4]:9", "1.2.3.4"),
    ],
)
def test_entry_with_an_address_is_read(entry: str, address: str) -> None:
    assert str(parse_hop(entry)) == address


@pytest.mark.parametrize(
    "entry",
    [
        *("", "unknown", "_hidden", "1.2.3", "1.2.3.4:", "1.2.3.4:123456", "1.2.3.4.5", "[2001:db8::1", "2001:db8::1]"),
        *("fe80::1%eth0", "localhost", "0x7f.1", "1.2.3.4 5.6.7.8", "1.2.3.4;x", "١.2.3.4", "1" * 5000),
    ],
)
def test_entry_without_an_address_is_not_read(entry: str) -> None:
    assert parse_hop(entry) is None


@pytest.mark.parametrize(
    ("headers", "address"),
    [
        ({b"x-forwarded-for": [b"203.0.113.9:51000, 10.0.0.2:443"]}, "203.0.113.9"),
        ({b"forwarded": [b"for=192.0.2.60;proto=http;by=203.0.113.43"]}, "192.0.2.60"),
        ({b"forwarded": [b'for=192.0.2.1, For="[2001:db8::17]:4711";by=10.0.0.1']}, "2001:db8::17"),
        ({b"forwarded": [b"for=192.0.2.1", b"proto=https;for=10.0.0.3"]}, "192.0.2.1"),
        ({b"forwarded": [b"for=192.0.2.1"], b"x-forwarded-for": [b"192.0.2.2"]}, "192.0.2.2"),
    ],
)
def test_trusted_proxy_names_the_client(
    finder: ClientFinder, log: Any, headers: dict[bytes, list[bytes]], address: str
) -> None:
    assert finder.find("10.0.0.1", headers) == ClientAddress(address, is_certain=True)
    assert log.texts == []


@pytest.mark.parametrize(
    "headers",
    [
        {b"x-forwarded-for": [b"203.0.113.9, unknown"]},
        {b"x-forwarded-for": [b"203.0.113.9, "]},
        {b"x-forwarded-for": [b""]},
        {b"forwarded": [b"for=unknown"]},
        {b"forwarded": [b"proto=https"]},
    ],
)
def test_unreadable_entry_of_a_trusted_proxy_is_logged_once_for_each_proxy(
    finder: ClientFinder, log: Any, headers: dict[bytes, list[bytes]]
) -> None:
    for proxy in ("10.0.0.1", "10.0.0.2", "10.0.0.1"):
        assert finder.find(proxy, headers) == ClientAddress(proxy, is_certain=False)

    text = "A trusted proxy sent an unreadable client address; its clients share a rate limit: "
    assert log.texts == [text + "10.0.0.1", text + "10.0.0.2"]


def test_forwarding_header_of_an_untrusted_peer_is_ignored(finder: ClientFinder, log: Any) -> None:
    assert finder.find("8.8.8.8", {b"x-forwarded-for": [b"1.2.3.4"]}) == ClientAddress("8.8.8.8", is_certain=False)
    assert log.texts == []
    assert finder.find("192.168.0.1", {b"x-real-ip": [b"1.2.3.4"]}) == ClientAddress("192.168.0.1", is_certain=False)
    assert len(log.texts) == 1
    assert finder.find("192.168.0.1", {}) == ClientAddress("192.168.0.1", is_certain=True)


def test_private_peers_are_logged_once_each_and_up_to_a_bound(finder: ClientFinder, log: Any) -> None:
    peers = [f"192.168.{number // 250}.{number % 250}" for number in range(1200)]
    for peer in peers * 2:
        finder.find(peer, {b"x-forwarded-for": [b"1.2.3.4"]})

    assert len(log.texts) == len(set(log.texts)) == 1000


def test_unix_socket_is_trusted(finder: ClientFinder) -> None:
    assert finder.find("", {b"x-forwarded-for": [b"192.0.2.1"]}) == ClientAddress("192.0.2.1", is_certain=True)
    assert finder.find("", {}) == ClientAddress("local", is_certain=True)
