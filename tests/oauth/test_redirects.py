"""Redirects of the endpoints: none to an address that is not registered, and none past a confirmation."""

import secrets
from itertools import cycle
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from auth1.oauth.authorization import authorize as endpoint
from tests.applications.test_redirect_uris import AMBIGUOUS, NOT_PRIVATE
from tests.oauth.conftest import NewLoginApp
from tests.oauth.login_app import REDIRECT_URI, LoginApp
from tests.oauth.test_authorize import authorize, consent, login_of, logins_of, response_of, sign_in

LOGOUT_URI = "https://app.example.com/bye"
SIMILAR = (
    *("{uri}/", "{uri}#", "{uri}&x=1", "{uri}%00", "{uri}%0d%0aset-cookie:a=b", "{uri}/..;/", "{uri} ", " {uri}"),
    *(
        "{uri}\t",
        "\x00{uri}",
        "{uri}\\",
        "{uri}@evil.example",
        "https://evil.example/{uri}",
        "https://evil.example?{uri}",
    ),
)
CHANGED = (
    *("http://app.example.com", "https://app.example.com:443", "https://app.example.com:8443", "//app.example.com"),
    *("https://user@app.example.com", "https://user:x@app.example.com", "https://app.example.com.", "HTTPS://app.example.com"),
    *("https://app.example.com.evil.example", "https://app.example.com@evil.example", "https://app.example.com%25@evil.example"),
    *("https://app.example.com%40evil.example", "https://app.example.com\\@evil.example", "https:\\\\app.example.com"),
    *("https://app.example.com/x/..", "https://app.example.com/..;", "https://app.example.com/%2e%2e", "https://app.example.com/%252e"),
    *("https://app.example.com//", "https://\u0430pp.example.com", "https://app\u3002example.com", "https://xn--pp-7ka.example.com"),
    *("https://app.example.com\uff0f", "https://app.example.co\u043c", "https://App.example.com", "https://app-example.com"),
)  # fmt: skip


def hostile(uri: str) -> list[str]:
    """Return addresses that differ from a registered one, and those that no application may register."""
    path = uri.removeprefix("https://app.example.com")
    similar = [text.format(uri=uri) for text in SIMILAR] + [start + path for start in CHANGED]
    return [*similar, *(one for one in (*AMBIGUOUS, *NOT_PRIVATE) if len(one) < 1000)]


@pytest.fixture(autouse=True)
def address(browser: httpx.AsyncClient) -> None:
    """Give the browser an address of its own: pages are limited by address."""
    browser.headers["x-forwarded-for"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"


async def test_request_never_redirects_to_a_hostile_address(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp
) -> None:
    app = await new_login_app(kind="native", first_party=True)
    await sign_in(browser, app)
    changes = cycle([{}, {"prompt": "none"}, {"response_type": "token"}, {"response_mode": "form_post"}])
    for uri in hostile(REDIRECT_URI):
        answer = await authorize(browser, app, redirect_uri=uri, **next(changes))
        assert (answer.status_code, "location" in answer.headers) == (400, False), uri
        assert "evil" not in answer.text
        assert 'http-equiv="refresh"' not in answer.text
    assert await logins_of(app) == 0


async def test_logout_never_redirects_to_a_hostile_address(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    hint = (await login_app.tokens())["id_token"]
    for uri in hostile(LOGOUT_URI):
        query = urlencode({"id_token_hint": hint, "post_logout_redirect_uri": uri, "state": "s"})
        answer = await browser.get(f"{login_app.path}/logout?{query}")
        assert (answer.status_code, "location" in answer.headers) == (200, False), uri
        assert "evil" not in answer.text


@pytest.mark.parametrize(
    ("registered", "requested"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:4711/callback"),
        ("http://localhost:8080/callback", "http://localhost:8080/callback"),
        ("http://[::1]/callback", "http://[::1]:4711/callback"),
        ("com.example.app:/callback", "com.example.app:/callback"),
        ("com.example.app://callback/done", "com.example.app://callback/done"),
    ],
)
async def test_native_application_never_skips_the_confirmation(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, registered: str, requested: str
) -> None:
    app = await new_login_app(kind="native", first_party=True)
    await app.change(redirect_uris=[registered, REDIRECT_URI])
    await sign_in(browser, app)
    await consent(app, ["email", "openid"])

    changes: list[dict[str, str]] = [{}, {"prompt": "consent"}, {"max_age": "3600"}, {"prompt": "select_account"}]
    for change in changes:
        login = await login_of(app, await authorize(browser, app, redirect_uri=requested, **change))
        assert (login["step"], login["session_id"]) == ("account", None)
    silent = await authorize(browser, app, redirect_uri=requested, prompt="none")
    assert silent.headers["location"].startswith(f"{requested}?error=interaction_required&")
    assert "code" in response_of(await authorize(browser, app)), "another program cannot receive an https address"


async def test_login_of_a_user_that_is_erased_meanwhile_leaves_no_row(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await new_login_app()
    await sign_in(browser, app)

    async def erase(*_: Any) -> bool:
        """Erase the user after the session was read, and before the login is stored."""
        headers = {"x-api-key": app.tenant["secret_key"]}
        erased = await app.api.client.delete(f"/api/tenant/users/{app.user_id}", headers=headers)
        assert erased.status_code == 204
        return False

    monkeypatch.setattr(endpoint, "needs_consent", erase)
    assert response_of(await authorize(browser, app))["error"] == "login_required"
    assert await logins_of(app) == 0
