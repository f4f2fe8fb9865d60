"""The access log of ops/nginx has the route and the client's network of each request, and no secret."""

import ipaddress
import re
from collections.abc import Iterator

import pytest

from auth1.core.http.router import Router
from auth1.routes import ROUTES
from tests.ops import nginx_routes
from tests.ops.nginx import FOLDER, NGINX, Proxy, free_port, running

ADDRESSES = {
    "203.0.113.77": "203.0.113.0/24",
    "10.0.0.1": "10.0.0.0/24",
    "2001:db8::1": "2001:db8::/48",
    "2001:db8:1:2:3:4:5:6": "2001:db8:1::/48",
    "2001:db8:1:2::6": "2001:db8:1::/48",
    "2001:db8:1::6": "2001:db8:1::/48",
    "2001:db8:0:1:2:3:4:5": "2001:db8::/48",
    "2001:0:5:6:7:8:9:a": "2001:0:5::/48",
    "2a00::1": "2a00::/48",
    "::1": "::/48",
    "0:1:2:3:4:5:6:7": "0:1:2::/48",
    "fe80::a:b:c:d": "fe80::/48",
}
SAME_CLIENT = [f"2001:db8:5:6:{tail}" for tail in ("1:2:3:4", "a:b:c:d", "ffff:0:0:1", "0:1:2:3", ":1")]

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    """Return an nginx without Auth1 that takes the client's address from X-Forwarded-For."""
    with running(tmp_path_factory.mktemp("log"), free_port(), trust_peer=True) as proxy:
        yield proxy


def maps() -> dict[str, list[tuple[str, str]]]:
    """Return the regular expressions of each map of auth1-http.conf, and what each makes."""
    text = (FOLDER / "conf.d/auth1-http.conf").read_text()
    blocks = re.findall(r"^map \S+ \$(\w+) \{(.*?)^\}", text, re.MULTILINE | re.DOTALL)
    return {name: re.findall(r'"~(\S+)" "?([^";]+)"?;', block) for name, block in blocks}


def apply(name: str, address: str) -> str:
    """Map an address as nginx does: by the first expression that matches."""
    for pattern, result in maps()[name]:
        if match := re.search(pattern, address):
            return result.replace("$1", match[1])
    return address


def test_routes_file_is_up_to_date() -> None:
    assert nginx_routes.FILE.read_text() == nginx_routes.render(), "run: just openapi"


def test_each_route_is_logged_by_its_template(proxy: Proxy) -> None:
    router = Router(ROUTES)
    wanted = []
    before = len(proxy.access_lines(0))
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "SECRET-part_1.2", route.path)
        proxy.send(path + "?phone=%2B15551234567&token=SECRET", route.method)
        wanted.append((route.method, router.find(route.method, path).route.path))
    lines = proxy.access_lines(before + len(wanted))[before:]
    assert [(line["method"], line["route"]) for line in lines] == wanted
    assert "SECRET" not in proxy.logs()
    assert "5551234567" not in proxy.logs()


@pytest.mark.parametrize(
    "path",
    [
        "/SECRET",
        "/api/auth/link/SECRET/more",
        "/api/auth/request/SECRET",
        "/api/auth/SECRET",
        "/api/auth/link/",
        "/api/auth/link/%2FSECRET%2F",
    ],
)
def test_unknown_path_is_logged_as_none(path: str, proxy: Proxy) -> None:
    before = len(proxy.access_lines(0))
    proxy.send(path)
    line = proxy.access_lines(before + 1)[-1]
    assert line["route"] in ("none", "/api/auth/link/{token}")
    assert "SECRET" not in proxy.logs()


def test_line_has_status_duration_and_request_id(proxy: Proxy) -> None:
    before = len(proxy.access_lines(0))
    status, _, body = proxy.send("/api/auth/verify", "POST", body=b"{}")
    line = proxy.access_lines(before + 1)[-1]
    assert (line["status"], line["method"], line["route"]) == (status, "POST", "/api/auth/verify")
    assert line["request_id"] in body.decode()
    assert line["duration_s"] >= 0
    assert line["bytes"] == len(body)
    assert line["upstream"].startswith("127.0.0.1:")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d", line["ts"])


@pytest.mark.parametrize("address", ADDRESSES)
def test_client_is_logged_by_its_network(address: str, proxy: Proxy) -> None:
    before = len(proxy.access_lines(0))
    proxy.send("/health", headers={"X-Forwarded-For": address})
    line = proxy.access_lines(before + 1)[-1]
    assert line["network"] == ADDRESSES[address]
    bits = 24 if "." in address else 48
    assert line["network"] == str(ipaddress.ip_network((address, bits), strict=False))
    assert address not in proxy.logs()


def test_addresses_of_one_ipv6_network_of_64_bits_share_a_limit() -> None:
    assert {apply("auth1_client", address) for address in SAME_CLIENT} <= {"2001:db8:5:6", "2001:db8:5:6::"}
    assert apply("auth1_client", "2001:db8:5:7:1:2:3:4") == "2001:db8:5:7"
    assert apply("auth1_client", "203.0.113.7") == "203.0.113.7"
    assert apply("auth1_client", "203.0.113.8") == "203.0.113.8"
