"""Forms of other sites are rejected: by the headers of the browser, and by the token of the form."""

from typing import Any

import pytest

from auth1.core.crypto import Keyring
from auth1.core.http.request import Request
from auth1.errors import Forbidden
from auth1.pages.forms import check_origin, form_token, token_is_valid

OWN = "https://auth.example.com"
KEYRING = Keyring("the secret", "the previous secret")


def request(**headers: str) -> Request[Any]:
    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"method": "POST", "query_string": b"", "headers": named})


@pytest.mark.parametrize("headers", [{}, {"origin": OWN}, {"sec_fetch_site": "same-origin"}])
def test_form_of_the_own_origin_is_accepted(headers: dict[str, str]) -> None:
    check_origin(request(**headers), OWN)


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example.com"},
        {"origin": "null"},
        {"origin": "http://auth.example.com"},
        {"origin": "https://auth.example.com.evil.example"},
        {"origin": "https://auth.example.com:8443"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
        {"sec_fetch_site": "none"},
        {"origin": OWN, "sec_fetch_site": "cross-site"},
    ],
)
def test_form_of_another_origin_is_rejected(headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        check_origin(request(**headers), OWN)


def test_token_is_valid_only_for_its_browser_and_purpose() -> None:
    token = form_token(KEYRING, "cookie", "li_1", "code")

    assert token_is_valid(KEYRING, token, "cookie", "li_1", "code")
    assert token_is_valid(Keyring("new", "the secret"), token, "cookie", "li_1", "code")
    for context in [("other", "li_1", "code"), ("cookie", "li_2", "code"), ("cookie", "li_1", "start")]:
        assert not token_is_valid(KEYRING, token, *context)
    assert not token_is_valid(Keyring("another"), token, "cookie", "li_1", "code")
    assert not token_is_valid(KEYRING, None, "cookie", "li_1", "code")
    assert not token_is_valid(KEYRING, "ü", "cookie", "li_1", "code")
