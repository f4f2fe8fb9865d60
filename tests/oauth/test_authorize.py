"""Authorization requests: how a login begins, single sign-on, and each rejection."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from auth1.core.crypto import s256
from auth1.core.http.cookies import cookie_name
from auth1.core.http.request import Request
from auth1.oauth.authorization.requests import decode_request
from auth1.sessions import browser as browser_sessions
from tests.oauth.conftest import NewLoginApp
from tests.oauth.login_app import REDIRECT_URI, VERIFIER, LoginApp

NO_PROMPT = {"prompt": "none"}


def parameters(app: LoginApp, **changes: str | None) -> dict[str, str]:
    """Return a valid request with changes; None leaves a parameter out."""
    sent: dict[str, str | None] = {
        "response_type": "code",
        "client_id": app.client_id,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid email",
        "state": "a b&c=ü",
        "nonce": "nonce",
        "code_challenge": s256(VERIFIER),
        "code_challenge_method": "S256",
    }
    return {name: value for name, value in (sent | changes).items() if value is not None}


async def authorize(browser: httpx.AsyncClient, app: LoginApp, **changes: str | None) -> httpx.Response:
    return await browser.get(f"{app.path}/authorize", params=parameters(app, **changes))


def response_of(answer: httpx.Response) -> dict[str, str]:
    """Return the parameters of a response to the application."""
    assert answer.status_code == 303, answer.text
    location = answer.headers["location"]
    assert location.startswith(REDIRECT_URI + "&")
    return {name: values[0] for name, values in parse_qs(urlsplit(location).query).items() if name != "from"}


async def login_of(app: LoginApp, answer: httpx.Response) -> Mapping[str, Any]:
    """Return the row of the login that a request has begun."""
    assert answer.status_code == 303, answer.text
    start, _, login_id = answer.headers["location"].rpartition("/")
    assert start == f"{app.url}/login"
    row = await app.database.fetchrow("select * from logins where tenant_id = $1 and id = $2", app.tenant_id, login_id)
    assert row is not None
    return dict(row)


async def sign_in(browser: httpx.AsyncClient, app: LoginApp) -> None:
    """Give the browser the cookie of the user's session."""
    request: Request[Any] = Request({"method": "GET", "query_string": b"", "headers": []})
    issuer = await app.issuer()
    browser_sessions.set_session(app.api.services, request, issuer.tenant, app.session_id, secure=False)
    [(_, cookie)] = request.headers
    name, _, value = cookie.decode().partition(";")[0].partition("=")
    browser.cookies.set(name, value)


async def consent(app: LoginApp, scopes: list[str]) -> None:
    insert = "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, $3, $4)"
    await app.database.execute(insert, app.tenant_id, app.user_id, app.client_id, scopes)


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_request_begins_a_login_of_this_browser(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, method: str, sandbox: bool
) -> None:
    app = await new_login_app(sandbox=sandbox)
    sent = parameters(app, login_hint="ada@example.com", ui_locales="de en", unknown="ignored")
    if method == "GET":
        answer = await browser.get(f"{app.path}/authorize", params=sent)
    else:
        posted = await browser.post(f"{app.path}/authorize", data=sent)
        assert posted.status_code == 303
        answer = await browser.get(posted.headers["location"])

    login = await login_of(app, answer)
    stored = decode_request(login["request"])
    assert (login["step"], login["client_id"], login["user_id"]) == ("start", app.client_id, None)
    assert (stored.state, stored.nonce, stored.scopes) == ("a b&c=ü", "nonce", ["openid", "email"])
    assert (stored.login_hint, stored.ui_locales) == ("ada@example.com", ["de", "en"])
    assert answer.headers["cache-control"] == "no-store"
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith(cookie_name(f"browser_{app.tenant_id}", secure=False) + "=")
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_tabs_of_a_browser_share_its_cookie(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    logins = [await login_of(login_app, await authorize(browser, login_app)) for _ in range(2)]

    assert logins[0]["id"] != logins[1]["id"]
    assert logins[0]["browser_digest"] == logins[1]["browser_digest"]


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": None},
        {"client_id": "app_01kf0fv2qd8x7r3n5w1mzt9c4h"},
        {"client_id": "\0"},
        {"redirect_uri": None},
        {"redirect_uri": "https://app.example.com/callback"},
        {"redirect_uri": "https://app.example.com/callback?from=auth1#"},
        {"redirect_uri": "https://evil.example.com/callback?from=auth1"},
        {"redirect_uri": "https://app.example.com@evil.example.com/callback?from=auth1"},
        {"redirect_uri": "javascript:alert(1)"},
    ],
)
async def test_unregistered_client_or_redirect_uri_is_a_page(
    browser: httpx.AsyncClient, login_app: LoginApp, changes: dict[str, str | None]
) -> None:
    answer = await authorize(browser, login_app, **changes)

    assert (answer.status_code, answer.headers["content-type"]) == (400, "text/html; charset=utf-8")
    assert "location" not in answer.headers
    assert "evil" not in answer.text
    assert "The app sent an invalid request." in answer.text
    assert "is not registered" in answer.text, "the developer of the application reads why"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_repeated_client_or_redirect_uri_is_a_page(
    browser: httpx.AsyncClient, login_app: LoginApp, name: str
) -> None:
    pairs = [*parameters(login_app).items(), (name, parameters(login_app)[name])]
    answer = await browser.get(f"{login_app.path}/authorize?{urlencode(pairs)}")

    assert (answer.status_code, "location" in answer.headers) == (400, False)
    assert "The application sent a parameter twice." in answer.text


@pytest.mark.parametrize("path", ["authorize", "logout"])
async def test_query_in_another_encoding_is_named_on_the_page(
    browser: httpx.AsyncClient, login_app: LoginApp, path: str
) -> None:
    answer = await browser.get(f"{login_app.path}/{path}?state=%FF")

    assert (answer.status_code, "The query is not valid UTF-8." in answer.text) == (400, True)


async def test_machine_that_begins_a_login_is_a_page(browser: httpx.AsyncClient, machine_like: LoginApp) -> None:
    answer = await authorize(browser, machine_like)

    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize("change", [{"enabled": False}, {"redirect_uris": ["https://app.example.com/other"]}], ids=str)
async def test_application_that_may_not_begin_logins_is_a_page(
    browser: httpx.AsyncClient, login_app: LoginApp, change: dict[str, object]
) -> None:
    await login_app.change(**change)

    answer = await authorize(browser, login_app)

    assert (answer.status_code, "location" in answer.headers) == (400, False)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"request_uri": "https://app.example.com/r"}, "request_uri_not_supported"),
        ({"registration": "{}"}, "registration_not_supported"),
        ({"scope": None}, "invalid_scope"),
        ({"scope": "unknown"}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"max_age": "soon"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"claims": "{"}, "invalid_request"),
        ({"claims": '{"id_token": "sub"}'}, "invalid_request"),
        ({"nonce": "\0"}, "invalid_request"),
        (
            {"claims": '{"id_token": {"acr": {"essential": true, "value": "urn:auth1:aal2"}}}'},
            "unmet_authentication_requirements",
        ),
        ({"prompt": "none"}, "login_required"),
        ({"prompt": "none", "id_token_hint": "invalid"}, "login_required"),
    ],
)
async def test_invalid_request_is_reported_to_the_application(
    browser: httpx.AsyncClient, login_app: LoginApp, changes: dict[str, str | None], expected: str
) -> None:
    response = response_of(await authorize(browser, login_app, **changes))

    assert (response["error"], response["state"], response["iss"]) == (expected, "a b&c=ü", login_app.url)
    assert "code" not in response
    assert await logins_of(login_app) == 0


async def test_repeated_parameter_is_an_invalid_request(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    pairs = [*parameters(login_app).items(), ("scope", "openid")]
    response = response_of(await browser.get(f"{login_app.path}/authorize?{urlencode(pairs)}"))

    assert response["error"] == "invalid_request"


async def test_error_may_be_posted_to_the_application(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    answer = await authorize(browser, login_app, response_mode="form_post", prompt="none")

    assert answer.status_code == 200
    assert f'action="{REDIRECT_URI}"' in answer.text.replace("&amp;", "&")
    assert 'name="error" value="login_required"' in answer.text
    assert 'name="state" value="a b&amp;c=ü"' in answer.text
    assert f'name="iss" value="{login_app.url}"' in answer.text
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"


async def test_pkce_is_optional_only_where_the_application_says_so(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp
) -> None:
    web = await new_login_app(require_pkce=False)
    spa = await new_login_app(kind="spa")
    optional = "update applications set require_pkce = false where id = $1"  # no route allows it
    await spa.database.execute(optional, spa.client_id)
    without = {"code_challenge": None, "code_challenge_method": None}

    assert (await login_of(web, await authorize(browser, web, **without)))["step"] == "start"
    assert response_of(await authorize(browser, spa, **without))["error"] == "invalid_request"


async def test_unknown_scopes_are_dropped_and_claims_add_theirs(
    browser: httpx.AsyncClient, login_app: LoginApp
) -> None:
    claims = '{"userinfo": {"phone_number": null}, "id_token": {"auth_time": {"essential": true}}}'
    login = await login_of(login_app, await authorize(browser, login_app, scope="openid other", claims=claims))

    assert decode_request(login["request"]).scopes == ["openid", "phone"]


async def test_target_may_have_8_kib(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    long = await authorize(browser, login_app, state="s" * 6000)
    longer = await authorize(browser, login_app, state="s" * 9000)
    elsewhere = await browser.get("/health?x=" + "s" * 3000)

    assert decode_request((await login_of(login_app, long))["request"]).state == "s" * 6000
    assert (longer.status_code, elsewhere.status_code) == (414, 414)


async def test_session_signs_on_at_once_after_a_consent(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    await sign_in(browser, login_app)
    first = await login_of(login_app, await authorize(browser, login_app))
    await consent(login_app, ["email", "openid", "phone"])
    response = response_of(await authorize(browser, login_app))

    assert (first["step"], first["user_id"], first["session_id"]) == (
        *("consent", login_app.user_id),
        login_app.session_id,
    )
    assert set(response) == {"code", "state", "iss"}
    tokens = (await login_app.redeem(response["code"])).json()
    assert (await login_app.verify(tokens["id_token"], login_app.client_id))["sub"] == login_app.user_id


async def test_first_party_application_needs_no_consent(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)

    assert "code" in response_of(await authorize(browser, app, prompt="none"))


async def test_code_may_be_posted_to_the_application(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)

    answer = await authorize(browser, app, response_mode="form_post")

    found = re.search(r'name="code" value="([^"]+)"', answer.text)
    assert (answer.status_code, found is not None) == (200, True)
    assert found is not None
    assert (await app.redeem(found[1])).status_code == 200


async def test_more_scopes_need_a_new_consent(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    await sign_in(browser, login_app)
    await consent(login_app, ["openid"])

    assert response_of(await authorize(browser, login_app, **NO_PROMPT))["error"] == "consent_required"
    assert "code" in response_of(await authorize(browser, login_app, scope="openid", **NO_PROMPT))


@pytest.mark.parametrize(
    ("changes", "step"),
    [
        ({"prompt": "login"}, "start"),
        ({"prompt": "consent"}, "consent"),
        ({"prompt": "select_account"}, "account"),
        ({"max_age": "30"}, "start"),
        ({"max_age": "0"}, "start"),
        ({"claims": '{"id_token": {"sub": {"value": "usr_other"}}}'}, "start"),
        ({"id_token_hint": "invalid"}, "start"),
    ],
)
async def test_request_decides_what_a_session_is_enough_for(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, changes: dict[str, str], step: str
) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)

    login = await login_of(app, await authorize(browser, app, **changes))

    assert (login["step"], login["user_id"]) == (step, app.user_id if step in ("consent", "done") else None)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"max_age": "30"}, "login_required"),
        ({"claims": '{"id_token": {"sub": {"value": "usr_other"}}}'}, "login_required"),
        ({"max_age": "120"}, None),
    ],
)
async def test_no_page_is_shown_where_the_session_is_not_enough(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, changes: dict[str, str], expected: str | None
) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)

    assert response_of(await authorize(browser, app, **NO_PROMPT, **changes)).get("error") == expected


async def test_id_token_names_the_user_of_the_session(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(first_party=True)
    hint = (await app.tokens())["id_token"]
    await sign_in(browser, app)
    own = response_of(await authorize(browser, app, id_token_hint=hint, **NO_PROMPT))
    await app.database.execute("update sessions set user_id = $1 where id = $2", await other_user(app), app.session_id)
    foreign = response_of(await authorize(browser, app, id_token_hint=hint, **NO_PROMPT))

    assert ("code" in own, foreign["error"]) == (True, "login_required")


async def test_native_application_shows_the_account_before_it_signs_on(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp
) -> None:
    app = await new_login_app(kind="native", first_party=True)
    await app.change(redirect_uris=["http://127.0.0.1/callback"])
    await sign_in(browser, app)

    login = await login_of(app, await authorize(browser, app, redirect_uri="http://127.0.0.1:4711/callback"))

    assert login["step"] == "account"


@pytest.mark.parametrize(("method", "path", "body"), [("DELETE", "sessions", None), ("POST", "ban", {})])
async def test_ended_session_does_not_sign_on(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, method: str, path: str, body: object
) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)
    await app.api.manage(app.tenant, method, f"/users/{app.user_id}/{path}", body)

    assert response_of(await authorize(browser, app, **NO_PROMPT))["error"] == "login_required"


async def test_suspended_tenant_is_a_page(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    await login_app.api.admin("POST", f"/api/admin/tenants/{login_app.tenant['tenant_id']}/suspend")

    answer = await authorize(browser, login_app)

    assert (answer.status_code, answer.headers["content-type"]) == (403, "text/html; charset=utf-8")


async def other_user(app: LoginApp) -> str:
    insert = "insert into users (tenant_id, id) values ($1, 'usr_other')"
    await app.database.execute(insert, app.tenant_id)
    return "usr_other"


async def logins_of(app: LoginApp) -> int:
    count: int = await app.database.fetchval("select count(*) from logins where client_id = $1", app.client_id)
    return count
