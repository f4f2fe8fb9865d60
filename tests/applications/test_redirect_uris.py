"""No application registers an ambiguous redirect URI, and no request redirects to a URI that is not registered."""

import itertools
import string
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest

from auth1.applications.kinds import Kind
from auth1.applications.redirect_uris import matches, redirect_uri_errors, redirect_uri_problem
from tests.support.each import each

CALLBACK = "https://app.example.com/callback"
WEB_URIS = (
    CALLBACK,
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com:8443/a/b?tenant=1&next=%2Fhome",
    "https://xn--bcher-kva.example/callback",
    "https://intranet/callback",
    "https://192.0.2.7/callback",
    "https://[2001:db8::7]/callback",
    "https://app.example.com/caf%C3%A9/;v=1",
    "https://app.example.com/@me",
    "http://localhost:3000/callback",
    "http://127.0.0.1/callback",
    "http://[::1]:8080/callback",
)
PRIVATE_URIS = (
    "com.example.app:/callback",
    "com.example.app:/",
    "com.example.app://callback",
    "com.example.app://callback/done?x=1",
    "org.example.my-app2:/oauth2redirect",
)
AMBIGUOUS = (
    "",
    "callback",
    "/callback",
    "//app.example.com/callback",
    "https:/app.example.com/callback",
    "https:app.example.com/callback",
    "https:///app.example.com/callback",
    "https://",
    "https://*.example.com/callback",
    "https://app.example.com/*",
    "https://app.example.com/callback#",
    "https://app.example.com/callback#done",
    "https://app.example.com/callback?",
    "https://user@app.example.com/callback",
    "https://user:secret@app.example.com/callback",
    "https://app.example.com@evil.example/callback",
    "https://app.example.com%40evil.example/callback",
    "https://app.example.com%25@evil.example/callback",
    "https://app.example.com\\@evil.example/callback",
    "https://app.example.com\\.evil.example/callback",
    "https:\\\\app.example.com\\callback",
    "https://app.example.com/a/../callback",
    "https://app.example.com/./callback",
    "https://app.example.com/..",
    "https://app.example.com/a/..;/callback",
    "https://app.example.com/a/..;x=1/callback",
    "https://app.example.com/a/%2e%2e/callback",
    "https://app.example.com/a/.%2E/callback",
    "https://app.example.com/a/%252e%252e/callback",
    "https://app.example.com/a%2Fcallback",
    "https://app.example.com/a%5Ccallback",
    "https://app.example.com/a%c0%ae%c0%ae/callback",
    "https://app.example.com/callback%00",
    "https://app.example.com/callback%0d%0aset-cookie:a=b",
    "https://app.example.com/callback?x=%0a",
    "https://app.example.com/%zz",
    "https://app.example.com/%",
    "https://app.example.com/callback?code=1",
    "https://app.example.com/callback?a=1&state=2",
    "https://app.example.com/callback?a=1;iss=2",
    "https://app.example.com/callback?%63ode=1",
    "HTTPS://app.example.com/callback",
    "https://App.example.com/callback",
    "https://app.example.com./callback",
    "https://.example.com/callback",
    "https://app..example.com/callback",
    "https://-app.example.com/callback",
    "https://app_1.example.com/callback",
    "https://bücher.example/callback",
    "https://app.example.com／callback",
    "https://app。example.com/callback",
    "https://app.example.com/c\u0430llback",
    "https://app.example.com:/callback",
    "https://app.example.com:0/callback",
    "https://app.example.com:0443/callback",
    "https://app.example.com:65536/callback",
    "https://app.example.com:٤٤٣/callback",
    "https://app.example.com:443x/callback",
    "https://2130706433/callback",
    "https://0x7f.1/callback",
    "https://127.1/callback",
    "https://127.0.0.01/callback",
    "https://[::ffff:127.0.0.1]/callback",
    "https://[0:0:0:0:0:0:0:1]/callback",
    "https://[::1%25eth0]/callback",
    "https://[::1/callback",
    "https://::1/callback",
    "http://app.example.com/callback",
    "http://127.0.0.2/callback",
    "http://127.0.0.1.evil.example/callback",
    "http://localhost.evil.example/callback",
    "http://0.0.0.0/callback",
    " https://app.example.com/callback",
    "https://app.example.com/callback ",
    "https://app.example.com/callback\n",
    "https://app.example.com/call\tback",
    "https://app.example.com/call\x00back",
    "https://app.example.com/\u202ecallback",
    "https://app.example.com/\"onload='x'",
    "https://app.example.com/<script>",
    "https://app.example.com/`{}|^",
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "intent://callback",
    "ftp://app.example.com/callback",
    "blob:https://app.example.com/1",
    "urn:ietf:wg:oauth:2.0:oob",
    "https://app.example.com/" + "a" * 2000,
)
NOT_PRIVATE = (
    "myapp:/callback",
    "myapp://callback",
    "com.example.app:callback",
    "com.example.app:",
    "com.example.app",
    "com.example.app:///callback",
    "com.example.app://user@callback",
    "com.example.app://callback#x",
    "com.example.app:/a/../b",
    "com.example.app:/a?code=1",
    "com.example.app:/*",
    "com.example.app:/a\\b",
    "Com.example.app:/callback",
    "1com.example:/callback",
    ".com.example:/callback",
    "com..example:/callback",
)
KINDS: tuple[Kind, ...] = ("web", "spa", "native")
# Characters that parsers treat differently, or that look like others.
NASTY = (
    *"\\/@#?:;.%*&=+[]<>\"'`{}|^~ \t\n\r\0\x7f",
    "%2f",
    "%5c",
    "%40",
    "%25",
    "%00",
    "..",
    "\u06d4",
    "\uff0f",
    "\u0430",
    "\u202e",
)


@each("kind, uri", list(itertools.product(KINDS, WEB_URIS)))
def test_plain_web_address_may_be_registered(kind: Kind, uri: str) -> None:
    assert redirect_uri_problem(kind, uri) is None


@pytest.mark.parametrize("uri", PRIVATE_URIS)
def test_only_native_application_registers_a_private_scheme(uri: str) -> None:
    assert redirect_uri_problem("native", uri) is None
    assert redirect_uri_problem("web", uri) is not None
    assert redirect_uri_problem("spa", uri) is not None


@each("uri", AMBIGUOUS + NOT_PRIVATE)
def test_ambiguous_address_is_not_registered(uri: str) -> None:
    for kind in KINDS:
        problem = redirect_uri_problem(kind, uri)
        assert problem is not None
        assert problem.endswith(".")


def test_machine_registers_no_address() -> None:
    assert redirect_uri_problem("machine", CALLBACK) is not None


def test_errors_name_the_position_of_an_address() -> None:
    errors = list(redirect_uri_errors("web", "redirect_uris", [CALLBACK, "http://app.example.com/", CALLBACK, "x"]))

    assert [error.field for error in errors] == ["redirect_uris[1]", "redirect_uris[3]"]
    assert "https://" in errors[0].message


@each("kind, uri", list(itertools.product(KINDS, AMBIGUOUS + NOT_PRIVATE)))
def test_ambiguous_address_matches_no_registered_one(kind: Kind, uri: str) -> None:
    assert not matches(kind, [*WEB_URIS, *PRIVATE_URIS], uri)


@pytest.mark.parametrize("kind", [*KINDS, "machine"])
@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com/callback/",
        "https://app.example.com//callback",
        "https://app.example.com/Callback",
        "https://app.example.com/%63allback",
        "https://app.example.com/callback?x=1",
        "https://app.example.com:443/callback",
        "https://app.example.com:8443/callback",
        "https://app.example.org/callback",
        "https://app.example.com.evil.example/callback",
        "https://evil.example/https://app.example.com/callback",
        "https://evil.example?https://app.example.com/callback",
        "https://xn--pp-7ka.example.com/callback",
        "https://bücher.example/callback",
        "http://app.example.com/callback",
        "https://localhost:3000/callback",
        "com.example.app:/callback/",
        "com.example.app:/callback?x=1",
        "com.example.app2:/callback",
        "COM.EXAMPLE.APP:/callback",
    ],
)
def test_similar_address_matches_no_registered_one(kind: str, uri: str) -> None:
    assert not matches(kind, [*WEB_URIS, *PRIVATE_URIS], uri)


@pytest.mark.parametrize("kind", KINDS)
def test_registered_address_matches_itself(kind: Kind) -> None:
    assert all(matches(kind, [*WEB_URIS, *PRIVATE_URIS], uri) for uri in (*WEB_URIS, *PRIVATE_URIS))
    assert not matches(kind, [], CALLBACK)
    assert not matches(kind, CALLBACK, CALLBACK[:5])


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost"])
@pytest.mark.parametrize("registered_port", ["", ":8080"])
def test_native_application_may_use_any_loopback_port(host: str, registered_port: str) -> None:
    registered = [f"http://{host}{registered_port}/callback?x=1"]

    for port in ("", ":1", ":80", ":8080", ":51004", ":65535"):
        assert matches("native", registered, f"http://{host}{port}/callback?x=1")
        for kind in ("web", "spa", "machine"):
            assert matches(kind, registered, f"http://{host}{port}/callback?x=1") == (port == registered_port)


@pytest.mark.parametrize(
    "uri",
    [
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:080/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:99999999999999999999/callback",
        "http://127.0.0.1:٨٠/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:80 /callback",
        "http://127.0.0.1:80:80/callback",
        "http://127.0.0.1:80@evil.example/callback",
        "http://127.0.0.1:80\\@evil.example/callback",
        "http://127.0.0.1:80#@evil.example/callback",
        "http://127.0.0.1:80?/callback",
        "http://127.0.0.1:80/callback/",
        "http://127.0.0.1:80/callback\n",
        "http://127.0.0.1:80/callback#x",
        "http://127.0.0.1:80/callback?x",
        "http://127.0.0.1:80/../callback",
        "http://127.0.0.1:80//callback",
        "http://127.0.0.1:80",
        "https://127.0.0.1:80/callback",
        "HTTP://127.0.0.1:80/callback",
        "http://127.0.0.2:80/callback",
        "http://127.1:80/callback",
        "http://2130706433:80/callback",
        "http://0177.0.0.1:80/callback",
        "http://localhost:80/callback",
        "http://[::1]:80/callback",
        "http://[::ffff:127.0.0.1]:80/callback",
        "http://127.0.0.1.evil.example:80/callback",
        "http://user@127.0.0.1:80/callback",
        "http://evil.example:80/callback",
        "http://evil.example/http://127.0.0.1:80/callback",
    ],
)
def test_native_application_differs_by_a_valid_port_alone(uri: str) -> None:
    assert not matches("native", ["http://127.0.0.1:8080/callback"], uri)


def mutations(uri: str) -> Iterator[str]:
    """Insert, or replace a character by, each nasty text at each position; change the case of each letter."""
    for position in range(len(uri) + 1):
        before, after = uri[:position], uri[position:]
        for text in NASTY:
            yield before + text + after
            yield before + text + after[1:]
        yield before + after[:1].swapcase() + after[1:]
        yield before + after[1:]


@pytest.mark.parametrize("uri", [*WEB_URIS, *PRIVATE_URIS])
def test_mutated_address_matches_at_most_by_its_port(uri: str) -> None:
    for mutated in mutations(uri):
        assert matches("web", [uri], mutated) == (mutated == uri), mutated
        if matches("native", [uri], mutated):
            expected, found = urlsplit(uri), urlsplit(mutated)
            assert found._replace(netloc="") == expected._replace(netloc=""), mutated
            assert found.netloc.rstrip(string.digits).rstrip(":") == expected.netloc.rstrip(string.digits).rstrip(":")


@pytest.mark.parametrize("uri", WEB_URIS)
def test_parsers_agree_on_the_host_of_a_mutated_address_that_may_be_registered(uri: str) -> None:
    for mutated in mutations(uri):
        if redirect_uri_problem("web", mutated) is None:
            parts, url = urlsplit(mutated), httpx.URL(mutated)
            assert (parts.hostname, parts.port) == (url.raw_host.decode(), url.port if url.port else parts.port), (
                mutated
            )
            assert mutated.startswith(f"{parts.scheme}://{parts.netloc}")
            assert "@" not in parts.netloc
            assert parts.path == mutated[len(f"{parts.scheme}://{parts.netloc}") :].partition("?")[0]
