"""The confirmation page shows which request its link belongs to."""

import pytest

from auth1.magic_links.devices import describe_device
from tests.magic_links.user import CALLBACK, LinkUser, pkce

_FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
_BODY = {"mode": "link", "redirect_to": CALLBACK}


async def _request(user: LinkUser, key: str, **headers: str) -> str:
    """Request a link with other headers, and return the text of its page."""
    body = _BODY | {"email": user.email, "code_challenge": pkce()[1]}
    answer = await user.api.post("/api/auth/request", body, user.tenant[key], user_agent=_FIREFOX, **headers)
    assert answer.status_code == 200, answer.text
    return (await user.open()).text


async def test_page_shows_app_device_and_network_of_the_request(user: LinkUser) -> None:
    page = await _request(user, "api_key", x_forwarded_for="198.51.100.23")

    assert "Sign in to MyApp" in page
    assert "Requested from" in page
    assert "Firefox, Windows" in page
    assert "198.51.100.0/24" in page
    assert "198.51.100.23" not in page


async def test_page_of_a_server_request_shows_only_the_network_that_it_names(user: LinkUser) -> None:
    page = await _request(user, "secret_key", auth1_forwarded_for="2001:db8:7:1::5")

    assert "2001:db8:7::/48" in page
    assert "Firefox" not in page


async def test_page_of_a_server_request_without_an_address_shows_no_origin(user: LinkUser) -> None:
    page = await _request(user, "secret_key")

    assert "Requested from" not in page
    assert "127.0.0" not in page


@pytest.mark.parametrize(
    ("user_agent", "expected"),
    [
        (_FIREFOX, "Firefox, Windows"),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
            "Safari/605.1.15",
            "Safari, Mac",
        ),
        (
            "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile "
            "Safari/537.36",
            "Chrome, Android",
        ),
        (
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 "
            "Safari/537.36 Edg/126.0.0.0",
            "Edge, Windows",
        ),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1",
            "Chrome, iPhone",
        ),
        ("Mozilla/5.0 (X11; Linux x86_64)", "Linux"),
        ("python-httpx/0.28.1", None),
        ("<b>Firefox</b>", None),
        (None, None),
    ],
)
def test_device_is_named_by_browser_and_system(user_agent: str | None, expected: str | None) -> None:
    assert describe_device(user_agent) == expected
