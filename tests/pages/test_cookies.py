"""Cookies: their names and flags, and how they are read."""

from typing import Any

import pytest

from auth1.core.http.cookies import clear_cookie, cookie_name, read_cookie, set_cookie
from auth1.core.http.request import Request
from auth1.errors import BadRequest
from auth1.pages import browser_cookie


def request(*cookies: str) -> Request[Any]:
    headers = [(b"cookie", cookie.encode("latin-1")) for cookie in cookies]
    return Request({"method": "GET", "query_string": b"", "headers": headers})


def test_cookie_over_https_belongs_to_one_host() -> None:
    name = cookie_name("browser_tn_1:test", secure=True)
    answer = request()

    set_cookie(answer, name, "x", secure=True, max_age=60)

    assert name == "__Host-auth1_browser_tn_1-test"
    assert answer.headers == [
        (b"set-cookie", b"__Host-auth1_browser_tn_1-test=x; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=60")
    ]


def test_cookie_of_a_server_on_the_loopback_has_no_prefix() -> None:
    name = cookie_name("session", secure=False)
    answer = request()

    clear_cookie(answer, name, secure=False)

    assert answer.headers == [(b"set-cookie", b"auth1_session=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0")]


@pytest.mark.parametrize("headers", [("a=1; b=2",), ("a=1", "b=2"), ("b=2;a=3",), ("ab=1; b=2; c",)])
def test_cookie_is_read_from_all_headers(headers: tuple[str, ...]) -> None:
    assert read_cookie(request(*headers), "b") == "2"
    assert read_cookie(request(*headers), "d") is None


@pytest.mark.parametrize("headers", [("a=1; a=1",), ("a=1", "a=2")])
def test_cookie_that_was_sent_twice_is_rejected(headers: tuple[str, ...]) -> None:
    with pytest.raises(BadRequest):
        read_cookie(request(*headers), "a")


def test_secret_of_a_browser_is_read_back() -> None:
    secret, answer = browser_cookie.new_secret(), request()
    browser_cookie.set_secret(answer, "tn_1", secret, secure=True)
    pair = answer.headers[0][1].decode().partition(";")[0]

    assert browser_cookie.read_secret(request(pair), "tn_1", secure=True) == secret
    assert browser_cookie.read_secret(request(pair), "tn_2", secure=True) is None
    assert browser_cookie.read_secret(request(pair), "tn_1", secure=False) is None


@pytest.mark.parametrize("value", ["", "short", "a" * 44, "ü" * 43])
def test_malformed_secret_of_a_browser_is_ignored(value: str) -> None:
    assert browser_cookie.read_secret(request(f"auth1_browser_tn_1={value}"), "tn_1", secure=False) is None
