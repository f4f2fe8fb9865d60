"""Sign-out at the request of an application: with an ID token, after a confirmation, and each rejection."""

import re
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.oauth.conftest import NewLoginApp
from tests.oauth.login_app import LoginApp
from tests.oauth.test_authorize import sign_in
from tests.support.api_client import ApiClient

LOGOUT_URI = "https://app.example.com/bye"


async def log_out(browser: httpx.AsyncClient, app: LoginApp, **parameters: str) -> httpx.Response:
    return await browser.get(f"{app.path}/logout", params=parameters)


async def is_live(app: LoginApp) -> bool:
    live: bool = await app.database.fetchval("select revoked_at is null from sessions where id = $1", app.session_id)
    return live


def fields_of(answer: httpx.Response) -> dict[str, str]:
    """Return the hidden fields of the form to confirm."""
    return dict(re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)">', answer.text))


async def test_id_token_signs_out_and_leads_back(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    hint = (await login_app.tokens())["id_token"]
    await sign_in(browser, login_app)

    answer = await log_out(browser, login_app, id_token_hint=hint, post_logout_redirect_uri=LOGOUT_URI, state="a&b")

    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"{LOGOUT_URI}?")
    assert parse_qs(urlsplit(answer.headers["location"]).query) == {"state": ["a&b"]}
    assert not await is_live(login_app)
    assert "Max-Age=0" in answer.headers["set-cookie"]
    reason = "select data ->> 'reason' from events where tenant_id = $1 and type = 'session.revoked'"
    assert await login_app.database.fetchval(reason, login_app.tenant_id) == "logout"


async def test_expired_id_token_signs_out(browser: httpx.AsyncClient, login_app: LoginApp, expired: None) -> None:
    hint = (await login_app.tokens())["id_token"]
    await sign_in(browser, login_app)

    answer = await log_out(browser, login_app, id_token_hint=hint, post_logout_redirect_uri=LOGOUT_URI)

    assert (answer.status_code, answer.headers["location"]) == (303, LOGOUT_URI)


async def test_id_token_without_a_uri_signs_out_and_says_so(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    hint = (await login_app.tokens())["id_token"]
    await sign_in(browser, login_app)

    answer = await log_out(browser, login_app, id_token_hint=hint)

    assert (answer.status_code, await is_live(login_app)) == (200, False)
    assert "signed out" in answer.text


@pytest.mark.parametrize("change", ["none", "invalid", "changed", "of another user", "of another client"])
async def test_user_must_confirm_without_a_valid_id_token(
    browser: httpx.AsyncClient, login_app: LoginApp, new_login_app: NewLoginApp, change: str
) -> None:
    parameters = {"post_logout_redirect_uri": LOGOUT_URI}
    if change == "invalid":
        parameters["id_token_hint"] = "invalid"
    elif change == "changed":
        token = (await login_app.tokens())["id_token"]
        parameters["id_token_hint"] = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    elif change == "of another user":
        other = await new_login_app(tenant=login_app.tenant)
        parameters["id_token_hint"] = (await other.tokens())["id_token"]
    elif change == "of another client":
        parameters |= {"id_token_hint": (await login_app.tokens())["id_token"], "client_id": "app_other"}
    await sign_in(browser, login_app)

    answer = await log_out(browser, login_app, **parameters)

    assert (answer.status_code, await is_live(login_app)) == (200, True)
    assert "location" not in answer.headers
    assert "csrf" in fields_of(answer)


async def test_confirmation_signs_out(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    await sign_in(browser, login_app)
    parameters = {"client_id": login_app.client_id, "post_logout_redirect_uri": LOGOUT_URI, "state": "s"}
    page = await log_out(browser, login_app, **parameters)

    answer = await browser.post(f"{login_app.path}/logout", data=fields_of(page))

    assert (answer.status_code, answer.headers["location"]) == (303, f"{LOGOUT_URI}?state=s")
    assert not await is_live(login_app)


async def test_invalid_id_token_leads_nowhere_after_the_confirmation(
    browser: httpx.AsyncClient, login_app: LoginApp
) -> None:
    await sign_in(browser, login_app)
    page = await log_out(browser, login_app, id_token_hint="x", post_logout_redirect_uri=LOGOUT_URI)

    answer = await browser.post(f"{login_app.path}/logout", data=fields_of(page))

    assert (answer.status_code, await is_live(login_app)) == (200, False)


@pytest.mark.parametrize(
    ("token", "headers", "status"),
    [
        ("wrong", {}, 200),
        (None, {"origin": "https://evil.example.com"}, 403),
        (None, {"sec-fetch-site": "cross-site"}, 403),
    ],
)
async def test_form_of_another_site_signs_no_user_out(
    browser: httpx.AsyncClient, login_app: LoginApp, token: str | None, headers: dict[str, str], status: int
) -> None:
    await sign_in(browser, login_app)
    fields = fields_of(await log_out(browser, login_app))
    fields["csrf"] = token or fields["csrf"]

    answer = await browser.post(f"{login_app.path}/logout", data=fields, headers=headers)

    assert (answer.status_code, await is_live(login_app)) == (status, True)


async def test_request_by_post_continues_by_get(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    answer = await browser.post(f"{login_app.path}/logout", data={"state": "s", "other": "x"})

    assert (answer.status_code, answer.headers["location"]) == (303, f"{login_app.url}/logout?state=s")


@pytest.mark.parametrize(
    "uri",
    [
        "https://evil.example.com/",
        "https://app.example.com/bye/",
        "https://app.example.com/bye?x",
        "https://app.example.com/callback?from=auth1",
        "//app.example.com/bye",
    ],
)
async def test_unregistered_uri_is_not_followed(browser: httpx.AsyncClient, login_app: LoginApp, uri: str) -> None:
    hint = (await login_app.tokens())["id_token"]
    await sign_in(browser, login_app)

    answer = await log_out(browser, login_app, id_token_hint=hint, post_logout_redirect_uri=uri)

    assert (answer.status_code, "location" in answer.headers) == (200, False)


async def test_browser_without_a_session_is_led_back(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    hint = (await login_app.tokens())["id_token"]

    with_hint = await log_out(browser, login_app, id_token_hint=hint, post_logout_redirect_uri=LOGOUT_URI)
    without = await log_out(browser, login_app, post_logout_redirect_uri=LOGOUT_URI)

    assert (with_hint.status_code, with_hint.headers["location"]) == (303, LOGOUT_URI)
    assert (without.status_code, "signed out" in without.text) == (200, True)


async def test_logout_ends_the_tokens_of_the_session(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(kind="spa")
    tokens = await app.tokens(scopes=["openid"])
    await sign_in(browser, app)

    await log_out(browser, app, id_token_hint=tokens["id_token"])

    assert (await app.userinfo(tokens["access_token"])).status_code == 401
    assert (await app.refresh(tokens["refresh_token"])).status_code == 400


@pytest.fixture
def expired(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ID tokens expire before they are issued."""
    monkeypatch.setattr("auth1.oauth.tokens.id_tokens.LIFE_S", -60)


async def test_pages_have_the_look_of_the_tenant_and_the_wanted_language(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, api: ApiClient
) -> None:
    app = await new_login_app(await api.tenant(login_page={"background_color": "#e0f2fe"}))
    await sign_in(browser, app)
    confirmation = await log_out(browser, app, ui_locales="fr-CA de")
    origin = {"origin": "http://localhost:3000", "sec-fetch-site": "same-origin"}
    ended = await browser.post(f"{app.path}/logout", data=fields_of(confirmation), headers=origin)

    for answer in (confirmation, ended):
        assert '<html lang="fr"' in answer.text
        assert "--ground:#e0f2fe" in answer.text
    assert not await is_live(app)
