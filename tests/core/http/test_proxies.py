"""The client address behind proxies, seen by its rate limit (contract: sections 2 and 7).

These applications allow one request per address: a second request is rejected only from the same address.
"""

import itertools

import pytest

from tests.conftest import Started
from tests.support.api_client import VERIFY, ApiClient
from tests.support.api_keys import made_up
from tests.support.raw_asgi import JSON, RawAsgi

Peer = str | None
PROXY = "10.0.0.1"
# Nothing listens there: the process counts by itself, so that no slow machine can make it count anew.
NO_REDIS = "redis://127.0.0.1:1/0"

_hosts = itertools.count(1)


def address() -> str:
    """Return an IPv4 documentation address that no other test uses."""
    number = next(_hosts)
    return f"203.0.113.{number}" if number < 255 else f"198.51.100.{number - 254}"


@pytest.fixture(scope="module")
async def once(start_app: Started) -> ApiClient:
    """Return an application that allows one request per address, behind trusted proxies."""
    proxies = "10.0.0.0/8,fd00::/8"
    return await start_app(RATE_LIMIT_MAX="1", TRUSTED_PROXIES=proxies, REDIS_URL=NO_REDIS)


async def passes(api: ApiClient, peer: Peer, *forwarded_for: str, key: str = "none", named: str | None = None) -> bool:
    """Send an invalid request; return whether the rate limit let it pass."""
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded_for]
    headers += [(b"x-api-key", key.encode()), JSON]
    if named is not None:
        headers.append((b"auth1-forwarded-for", named.encode()))
    client = None if peer is None else (peer, 4000)
    answer = await RawAsgi(api).answer("POST", VERIFY, headers, b"{}", client=client)
    assert answer.json()["code"] in ("invalid_api_key", "validation_failed", "rate_limited")
    return answer.status_code != 429


async def test_untrusted_peer_is_the_client_despite_forwarded_headers(once: ApiClient) -> None:
    peer = address()

    assert await passes(once, peer, address())
    assert not await passes(once, peer, address())
    assert not await passes(once, peer)


async def test_trusted_proxy_forwards_the_client_address(once: ApiClient) -> None:
    client = address()

    assert await passes(once, PROXY, client)
    assert not await passes(once, client)
    assert not await passes(once, "10.9.9.9", client)
    assert await passes(once, PROXY, address())


async def test_untrusted_proxy_is_logged_once_for_each_address(start_app: Started) -> None:
    api = await start_app(TRUSTED_PROXIES="10.0.0.0/8", REDIS_URL=NO_REDIS)
    raw_asgi = RawAsgi(api)
    calls: list[tuple[str, bytes | None]] = [
        ("10.0.0.1", b"1.2.3.4"),
        ("1.2.3.5", b"1.2.3.4"),
        ("192.168.0.1", None),
        ("192.168.0.2", b"1.2.3.4"),
        ("192.168.0.3", b"1.2.3.4"),
        ("192.168.0.2", b"1.2.3.5"),
    ]
    for number, (peer, forwarded_for) in enumerate(calls):
        headers = [(b"x-request-id", b"request-%d" % number)]
        headers += [(b"x-forwarded-for", forwarded_for)] if forwarded_for else []
        await raw_asgi.answer("GET", "/health/live", headers, client=(peer, 4000))

    while "request-5" not in (reported := await api.log()):
        pass
    lines = [line for line in reported.splitlines() if "Ignoring forwarding headers from an untrusted peer" in line]
    assert len(lines) == 2
    assert '"peer":"192.168.0.2"' in lines[0]
    assert '"peer":"192.168.0.3"' in lines[1]


async def test_client_supplied_forwarded_addresses_are_ignored(once: ApiClient) -> None:
    client, victim = address(), address()

    assert await passes(once, PROXY, f"{victim}, {client}")
    assert not await passes(once, PROXY, f"1.2.3.4, {address()}, {client}")
    assert not await passes(once, PROXY, f"{address()},{client}")
    assert not await passes(once, PROXY, f"not an address, {client}")
    assert await passes(once, victim)


async def test_proxy_chain_is_read_from_the_right(once: ApiClient) -> None:
    client = address()

    assert await passes(once, PROXY, f"{address()}, {client}, 10.0.0.2, 10.0.0.3")
    assert not await passes(once, PROXY, f"{client}", "10.0.0.2, 10.0.0.3")
    assert not await passes(once, PROXY, f"{client}, fd00::1")


async def test_proxy_with_an_invalid_address_is_the_client(once: ApiClient) -> None:
    proxy = "10.1.0.1"

    assert await passes(once, proxy, f"{address()}, garbage")
    for garbage in ("unknown", "_hidden", "", "1.2.3", "1.2.3.4:", "[::1", "\xff", "1.2.3.4 ; x", "0x7f.1", "127.1"):
        assert not await passes(once, proxy, f"{address()}, {garbage}")
    assert not await passes(once, proxy)


async def test_first_address_is_the_client_when_all_are_proxies(once: ApiClient) -> None:
    assert await passes(once, PROXY, "10.2.0.1, 10.2.0.2")
    assert not await passes(once, "10.2.0.1")


async def test_overlong_proxy_chain_is_not_read_completely(once: ApiClient) -> None:
    far = address()
    hops = ", ".join(f"10.3.0.{number}" for number in range(1, 17))

    assert await passes(once, PROXY, f"{far}, {hops}")
    assert not await passes(once, PROXY, f"{address()}, {hops}")
    assert await passes(once, far)


async def test_ipv6_network_shares_one_rate_limit(once: ApiClient) -> None:
    assert await passes(once, "2001:db8:1:1::1")
    assert not await passes(once, "2001:db8:1:1:ffff:ffff:ffff:ffff")
    assert not await passes(once, "2001:0DB8:0001:0001:0:0:0:2")
    assert not await passes(once, PROXY, "2001:db8:1:1:abcd::")
    assert await passes(once, "2001:db8:1:2::1")


async def test_ipv4_mapped_ipv6_address_is_ipv4(once: ApiClient) -> None:
    client = address()

    assert await passes(once, f"::ffff:{client}")
    assert not await passes(once, client)
    assert not await passes(once, f"::ffff:{PROXY}", client)
    assert not await passes(once, PROXY, f"::FFFF:{client}")


async def test_unix_socket_peer_is_a_trusted_proxy(once: ApiClient) -> None:
    client = address()

    assert await passes(once, None, client)
    assert not await passes(once, client)
    assert not await passes(once, "", client)
    assert await passes(once, None)  # no client address: these share one rate limit
    assert not await passes(once, None)
    assert not await passes(once, "", "garbage")


async def test_only_loopback_is_a_trusted_proxy_by_default(start_app: Started) -> None:
    api = await start_app(RATE_LIMIT_MAX="1", REDIS_URL=NO_REDIS)
    client = address()

    assert await passes(api, "127.0.0.1", client)
    assert not await passes(api, "::1", client)
    assert await passes(api, "10.4.0.1", client)
    assert not await passes(api, "10.4.0.1", address())


async def test_loopback_is_untrusted_when_trusted_proxies_excludes_it(start_app: Started) -> None:
    api = await start_app(RATE_LIMIT_MAX="1", TRUSTED_PROXIES="192.0.2.1", REDIS_URL=NO_REDIS)

    assert await passes(api, "127.0.0.1", address())
    assert not await passes(api, "127.0.0.1", address())


async def test_secret_key_is_exempt_and_may_forward_the_client_address(once: ApiClient) -> None:
    tenant, server, person = await once.tenant(), address(), address()
    secret = tenant["secret_key"]
    for _ in range(3):
        assert await passes(once, server, key=secret)

    assert await passes(once, server, key=secret, named=person)
    assert not await passes(once, address(), key=secret, named=person)
    assert await passes(once, server, key=secret, named=address())
    assert await passes(once, server, key=secret, named="2001:db8:2:1::1")
    assert not await passes(once, server, key=secret, named="2001:db8:2:1::2")
    assert await passes(once, server, key=secret)


async def test_forwarded_address_limit_is_separate_per_tenant(once: ApiClient) -> None:
    tenant, other, person = await once.tenant(), await once.tenant(), address()
    assert await passes(once, address(), key=tenant["secret_key"], named=person)
    assert not await passes(once, address(), key=tenant["secret_key"], named=person)

    assert await passes(once, address(), key=other["secret_key"], named=person)
    assert await passes(once, person, key=tenant["api_key"])
    assert not await passes(once, person, key=other["api_key"])


async def test_publishable_key_cannot_forward_a_client_address(once: ApiClient) -> None:
    tenant, client, person = await once.tenant(), address(), address()

    assert await passes(once, client, key=tenant["api_key"], named=person)
    assert not await passes(once, client, key=tenant["api_key"], named=address())
    assert await passes(once, person, key=tenant["api_key"])


@pytest.mark.parametrize("named", ["", "someone", "1.2.3.4, 5.6.7.8", "1.2.3.4:80", "127.1", " 1.2.3.4"])
async def test_invalid_forwarded_client_address_is_rejected(once: ApiClient, named: str) -> None:
    secret = (await once.tenant())["secret_key"]
    headers = [(b"x-api-key", secret.encode()), (b"auth1-forwarded-for", named.encode()), JSON]

    answer = await RawAsgi(once).answer("POST", VERIFY, headers, b"{}")

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


async def test_invalid_keys_use_the_ip_rate_limit(once: ApiClient) -> None:
    for key in (made_up("pk"), made_up("sk"), made_up("test"), "anything"):
        client = address()
        assert await passes(once, client, key=key)
        assert not await passes(once, client, key=key)
