"""A whole login: from the authorization request over the pages to tokens."""

import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import asyncpg
import pytest

from auth1.core.crypto import s256
from tests.hosted.browser import Browser
from tests.hosted.conftest import CODE
from tests.oauth.login_app import REDIRECT_URI, VERIFIER, LoginApp
from tests.support.api_client import ApiClient


@pytest.fixture
async def app(api: ApiClient, database: asyncpg.Connection) -> LoginApp:
    """Return an application of a third party, in the sandbox of its tenant."""
    app = LoginApp(api, database, await api.tenant(), sandbox=True)
    await app.create()
    return app


def authorization(app: LoginApp, **changes: str) -> str:
    """Return the path of an authorization request."""
    parameters = {
        "client_id": app.client_id,
        "redirect_uri": REDIRECT_URI,
        "response_type": "code",
        "scope": "openid email",
        "state": "the state",
        "nonce": "the nonce",
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
    }
    return f"{app.path}/authorize?{urlencode(parameters | changes)}"


def parameters_of(location: str | None) -> dict[str, str]:
    """Return the parameters of a response to the application."""
    assert location is not None
    assert location.startswith(REDIRECT_URI)
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}


async def sign_in(app: LoginApp, browser: Browser, email: str) -> dict[str, str]:
    """Sign in over the pages; return the parameters of the response."""
    page = await browser.open(authorization(app))
    assert page.title == "Sign in to My App"
    await browser.submit("proceed", identifier=email)
    page = await browser.submit("verify", code=CODE)
    assert page.title == "Allow Shop to use your My App account?"
    return parameters_of((await browser.submit("allow")).leads_to)


async def test_login_over_the_pages_ends_with_tokens(app: LoginApp) -> None:
    email = f"{secrets.token_hex(6)}@example.com"
    response = await sign_in(app, Browser(app.api), email)
    assert (response["state"], response["iss"], response["from"]) == ("the state", app.url, "auth1")

    tokens: dict[str, Any] = (await app.redeem(response["code"])).json()
    claims = await app.verify(tokens["id_token"], app.client_id)
    assert (claims["nonce"], claims["email"], claims["amr"]) == ("the nonce", email, ["otp"])
    userinfo = (await app.userinfo(tokens["access_token"])).json()
    assert (userinfo["sub"], userinfo["email"]) == (claims["sub"], email)


async def test_second_login_of_the_browser_needs_no_page(app: LoginApp) -> None:
    browser = Browser(app.api)
    await sign_in(app, browser, f"{secrets.token_hex(6)}@example.com")
    page = await browser.open(authorization(app))

    assert page.status == 303
    assert "code" in parameters_of(page.response.headers["location"])


async def test_new_sign_in_is_wanted_by_the_application(app: LoginApp) -> None:
    browser = Browser(app.api)
    await sign_in(app, browser, f"{secrets.token_hex(6)}@example.com")

    assert (await browser.open(authorization(app, prompt="login"))).title == "Sign in to My App"


async def test_account_can_be_chosen(app: LoginApp) -> None:
    browser = Browser(app.api)
    await sign_in(app, browser, f"{secrets.token_hex(6)}@example.com")
    page = await browser.open(authorization(app, prompt="select_account"))

    assert page.title == "Choose an account"
    assert "code" in parameters_of((await browser.submit("adopt")).leads_to)


async def test_cancelled_login_is_an_error_of_the_application(app: LoginApp) -> None:
    browser = Browser(app.api)
    await browser.open(authorization(app, login_hint="ada@example.com"))
    assert browser.page.fields["identifier"]["value"] == "ada@example.com"
    response = parameters_of((await browser.submit("cancel")).leads_to)

    assert (response["error"], response["state"], response["iss"]) == ("access_denied", "the state", app.url)
