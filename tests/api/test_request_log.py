"""Each request's log line has the client's network and not its address."""

import json
from typing import Any

import pytest

from tests.conftest import Started
from tests.support.api_client import VERIFY, ApiClient
from tests.support.raw_asgi import JSON, RawAsgi

PROXY = "10.0.0.1"
NETWORKS = {
    "203.0.113.77": "203.0.113.0/24",
    "::ffff:203.0.113.77": "203.0.113.0/24",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48",
    "2001:db8::9": "2001:db8::/48",
}


@pytest.fixture(scope="module")
async def proxied(start_app: Started) -> ApiClient:
    """Return an application behind a proxy in 10.0.0.0/8."""
    return await start_app(TRUSTED_PROXIES="10.0.0.0/8")


async def line_of(api: ApiClient, request_id: str) -> dict[str, Any]:
    """Return the log line of a request."""
    lines = [json.loads(line) for line in (await api.log()).splitlines()]
    (found,) = [line for line in lines if line.get("request_id") == request_id and line["msg"] == "request"]
    assert isinstance(found, dict)
    return found


async def send(api: ApiClient, request_id: str, path: str = VERIFY, *headers: tuple[bytes, bytes], client: Any) -> None:
    named = [(b"x-request-id", request_id.encode()), JSON, *headers]
    await RawAsgi(api).answer("POST", path, named, b"{}", client=client)


@pytest.mark.parametrize("address", NETWORKS)
async def test_log_line_has_the_network_behind_a_proxy(proxied: ApiClient, address: str) -> None:
    request_id = f"network-of-{list(NETWORKS).index(address)}"
    await send(proxied, request_id, VERIFY, (b"x-forwarded-for", address.encode()), client=(PROXY, 4000))
    line = await line_of(proxied, request_id)
    assert line["network"] == NETWORKS[address]
    assert address not in json.dumps(line)


@pytest.mark.parametrize("path", [VERIFY, "/nothing/here", "/" + "x" * 3000], ids=["route", "unknown", "malformed"])
async def test_log_line_of_an_error_has_the_network_of_the_peer(proxied: ApiClient, path: str) -> None:
    request_id = f"peer-network-{len(path)}"
    await send(proxied, request_id, path, client=("198.51.100.7", 4000))
    line = await line_of(proxied, request_id)
    assert line["status"] >= 400
    assert line["network"] == "198.51.100.0/24"


async def test_log_line_over_a_unix_socket_has_no_network(proxied: ApiClient) -> None:
    await send(proxied, "unix-socket", client=None)
    assert (await line_of(proxied, "unix-socket")).get("network") is None
