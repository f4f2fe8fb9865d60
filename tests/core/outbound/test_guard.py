"""The guard against server-side request forgery: vectors of URLs and addresses, and a canary without connections."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable

import httpx
import pytest

from auth1.core.outbound import CONNECT_TO, Transport
from auth1.core.outbound.guard import AddressNotAllowed, Guard, UrlNotAllowed, is_public, parse_url
from tests.core.outbound.conftest import HOST, Open
from tests.core.outbound.server import Server, respond

pytestmark = pytest.mark.asyncio(loop_scope="function")

LOOPBACK = (ipaddress.ip_network("127.0.0.0/8"),)
PUBLIC = "8.8.8.8"

REJECTED_URLS = [
    "http://example.com/",  # not https
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https:///path",
    "https:/example.com",
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://example.com:443@internal.test/",
    "https://example.com#@internal.test/",
    "https://example.com/#fragment",
    "https://example.com\\@internal.test/",
    "https://example.com/\\path",
    "https://example.com/\r\nx-injected: 1",
    "https://exam\tple.com/",
    "https://example.com/\x00",
    " https://example.com/",
    "https://example.com/ path",
    "https://example.com./",  # trailing dot
    "https://.example.com/",
    "https://a..b.com/",
    "https://-a.com/",
    "https://a_b.com/",
    "https://exämple.com/",
    "https://example。com/",  # an ideographic full stop, which IDNA maps to a dot
    "https://①②⑦.0.0.1/",
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.01/",
    "https://example.0x1/",
    "https://1.2.3.4.5/",
    "https://256.1.1.1/",
    "https://0/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://100.100.100.200/",
    "https://168.63.129.16/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.0.0.192/",
    "https://192.0.2.1/",
    "https://192.168.1.1/",
    "https://198.18.0.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://240.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[ff02::1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::1]/",
    "https://[2002:7f00:1::1]/",
    "https://[2001:0:1::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[::1/",
    "https://[1:2]/",
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:80/",
    "https://example.com:0443/",
    "https://example.com:65536/",
    "https://example.com:99999/",
    "https://example.com:/",
    "https://example.com:4%34/",
    "https://%65xample.com/",
    "https://example.com/" + "a" * 2048,
    "https://auth.example.com/hook",  # the host of APP_URL
    "https://AUTH.example.com:8443/hook",
]

ALLOWED_URLS = [
    "https://example.com",
    "https://example.com/",
    "https://example.com?x=1",
    "https://example.com:443/path/~user?x=%20@[]&y=';",
    "https://Example.COM:8443/Path",
    "https://xn--exmple-cua.com/",
    "https://a.b-c.d1.museum/",
    "https://8.8.8.8/",
    "https://[2606:4700::1111]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::8.8.8.8]/",
    "https://example.com/" + "a" * 2028,
]


def answer(*texts: str) -> Callable[[str, int], Awaitable[list[str]]]:
    """Return a resolver with one answer after the other; the last one stays."""
    left = list(texts)

    async def resolve(host: str, port: int) -> list[str]:
        return (left.pop(0) if len(left) > 1 else left[0]).split()

    return resolve


@pytest.mark.parametrize("url", REJECTED_URLS)
async def test_url_is_rejected(url: str) -> None:
    guard = Guard(own_host="auth.example.com", own_port=3000, resolve=answer(PUBLIC))

    with pytest.raises(UrlNotAllowed):
        guard.check_url(url)
    with pytest.raises(UrlNotAllowed):
        await guard.find_address(url)


@pytest.mark.parametrize("url", ALLOWED_URLS)
async def test_url_is_allowed(url: str) -> None:
    guard = Guard(own_host="auth.example.com", own_port=3000, resolve=answer(PUBLIC))

    assert guard.check_url(url).scheme == "https"
    assert is_public(ipaddress.ip_address(await guard.find_address(url)))


async def test_httpx_reads_an_allowed_url_as_the_guard_does() -> None:
    for url in ALLOWED_URLS:
        target, read = parse_url(url), httpx.URL(url)
        assert (target.scheme, target.host, target.port) == (read.scheme, read.raw_host.decode(), read.port or 443)


@pytest.mark.parametrize(
    "addresses",
    [
        "127.0.0.1",
        "10.1.2.3",
        "169.254.169.254",
        "::1",
        "fe80::1%1",
        "::ffff:10.0.0.1",
        f"{PUBLIC} 10.0.0.1",
        "0.0.0.0",
    ],
)
async def test_name_with_an_address_that_is_not_public_is_rejected(addresses: str) -> None:
    with pytest.raises(AddressNotAllowed) as caught:
        await Guard(resolve=answer(addresses)).find_address("https://name.test/")

    assert str(caught.value) == ""  # nothing of our network is revealed


async def test_name_without_addresses_is_an_error() -> None:
    with pytest.raises(OSError, match="no address"):
        await Guard(resolve=answer("")).find_address("https://name.test/")


async def test_slow_resolver_is_given_up() -> None:
    async def hang(host: str, port: int) -> list[str]:
        await asyncio.Event().wait()
        return []

    with pytest.raises(TimeoutError):
        await Guard(resolve=hang, resolve_s=0.01).find_address("https://name.test/")


async def test_allowed_network_may_be_private_and_use_http() -> None:
    guard = Guard(LOOPBACK, own_host="localhost", own_port=3000, resolve=answer("127.0.0.1"))

    assert await guard.find_address("http://127.0.0.1:8000/") == "127.0.0.1"
    assert await guard.find_address("http://localhost:8000/") == "127.0.0.1"
    assert await guard.find_address("https://name.test/") == "127.0.0.1"


@pytest.mark.parametrize(
    ("url", "addresses"),
    [
        ("http://name.test/", PUBLIC),  # http only inside of the network
        ("http://10.0.0.1/", "10.0.0.1"),
        ("https://name.test/", "10.0.0.1"),
        ("https://name.test/", "127.0.0.1 10.0.0.1"),
        ("http://127.0.0.1:3000/", "127.0.0.1"),  # our own port
        ("http://name.test:3000/", "127.0.0.1"),
        ("http://localhost:3000/", "127.0.0.1"),
    ],
)
async def test_allowed_network_allows_nothing_else(url: str, addresses: str) -> None:
    guard = Guard(LOOPBACK, own_host="localhost", own_port=3000, resolve=answer(addresses))

    with pytest.raises((UrlNotAllowed, AddressNotAllowed)):
        await guard.find_address(url)


async def test_address_of_this_machine_is_rejected_even_if_it_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket.socket, "bind", lambda self, address: None)  # as if each address were ours

    with pytest.raises(AddressNotAllowed):
        await Guard(resolve=answer(PUBLIC)).find_address("https://name.test/")


async def test_name_that_changes_after_the_check_reaches_no_canary(
    server_tls: ssl.SSLContext, open_client: Open
) -> None:
    """The connection goes to the address that was checked, whatever the name means by then."""
    async with Server(server_tls) as allowed, Server(server_tls) as canary, open_client() as client:
        network = (ipaddress.ip_network("127.0.0.2/32"),)
        guard = Guard(network, resolve=answer("127.0.0.2", "127.0.0.1"))
        url = f"https://{HOST}:{canary.port}/"
        address = await guard.find_address(url)
        with pytest.raises(httpx.ConnectError):  # nothing listens at 127.0.0.2
            await client.get(url, extensions={CONNECT_TO: address})

        with pytest.raises(AddressNotAllowed):  # the next call resolves anew
            await guard.find_address(url)
        assert canary.connections == allowed.connections == 0


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_to_the_canary_is_not_followed(open_client: Open, status: int) -> None:
    async with Server() as canary:
        location = f"location: {canary.url}\r\n".encode()
        redirect = b"HTTP/1.1 %d Moved\r\n%bcontent-length: 0\r\n\r\n" % (status, location)

        async with Server(None, [respond(redirect)]) as server:
            transport = Transport()
            response = await transport.handle_async_request(httpx.Request("POST", server.url, content=b"{}"))
            await transport.aclose()

        assert response.status_code == status
        assert canary.connections == 0
