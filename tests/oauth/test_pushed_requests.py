"""Pushed authorization requests (RFC 9126): each begins one login of one browser, of the client that pushed it."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from auth1.authn import limits
from auth1.core.ids import new_id
from auth1.oauth.authorization.pushed_requests import LIFE_S
from auth1.oauth.authorization.requests import decode_request
from auth1.oauth.tokens.derived_tokens import CODE, PUSHED_REQUEST
from tests.conftest import Started
from tests.oauth.conftest import NewLoginApp, error
from tests.oauth.credentials import basic
from tests.oauth.login_app import REDIRECT_URI, LoginApp
from tests.oauth.test_authorize import authorize, consent, login_of, logins_of, parameters, response_of, sign_in
from tests.support.api_client import ApiClient

START = "urn:ietf:params:oauth:request_uri:"
NO_REQUEST = "The request URI is unknown, has expired or was used."
NO_REDIS = "redis://127.0.0.1:1/0"
NewBrowser = Callable[[], httpx.AsyncClient]


def basic_of(app: LoginApp) -> str:
    """Return the credentials of an application."""
    assert app.secret is not None
    return basic(app.client_id, app.secret)


async def push(app: LoginApp, **changes: str | None) -> str:
    """Push a request; return its URI."""
    answer = await app.post("par", **parameters(app, **changes))
    assert answer.status_code == 201, answer.text
    return str(answer.json()["request_uri"])


async def visit(browser: httpx.AsyncClient, app: LoginApp, request_uri: str, **more: str) -> httpx.Response:
    """Open the authorization endpoint with a pushed request."""
    query = {"client_id": app.client_id, "request_uri": request_uri} | more
    return await browser.get(f"{app.path}/authorize", params=query)


async def page(browser: httpx.AsyncClient, answer: httpx.Response) -> int:
    """Follow a redirect to the page of a login; return its status."""
    assert answer.status_code == 303, answer.text
    return (await browser.get(answer.headers["location"])).status_code


def is_error_page(answer: httpx.Response) -> bool:
    """Return whether a browser stays here, with an explanation."""
    return (answer.status_code, "location" in answer.headers, NO_REQUEST in answer.text) == (400, False, True)


async def row_of(app: LoginApp, request_uri: str) -> dict[str, Any]:
    row = await app.database.fetchrow("select * from logins where tenant_id = $1", app.tenant_id)
    assert row is not None
    derived = PUSHED_REQUEST.read(app.api.services.keyring, app.tenant_id, request_uri)
    assert derived is not None
    assert row["id"] == derived.row_id
    return dict(row)


async def another_user(app: LoginApp) -> LoginApp:
    """Return another user of an application, with a session."""
    other = LoginApp(app.api, app.database, app.tenant)
    other.client_id, other.secret = app.client_id, app.secret
    await other.create_user()
    return other


@pytest.fixture
async def new_browser(api: ApiClient) -> AsyncIterator[NewBrowser]:
    """Return a function that opens another browser."""
    async with AsyncExitStack() as stack:

        def make() -> httpx.AsyncClient:
            browser = api.new_client()
            stack.push_async_callback(browser.aclose)
            return browser

        yield make


@pytest.mark.parametrize("sandbox", [False, True])
@pytest.mark.parametrize("kind", ["web", "spa", "native"])
async def test_pushed_request_begins_the_same_login_as_its_parameters(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, kind: str, sandbox: bool
) -> None:
    app = await new_login_app(kind=kind, sandbox=sandbox)
    changes = {"login_hint": "ada@example.com", "ui_locales": "de en", "max_age": "60", "prompt": "consent"}

    pushed = await app.post("par", **parameters(app, **changes))
    row = await row_of(app, pushed.json()["request_uri"])
    login = await login_of(app, await visit(browser, app, pushed.json()["request_uri"]))
    direct = await login_of(app, await authorize(browser, app, **changes))

    assert (pushed.status_code, pushed.headers["cache-control"]) == (201, "no-store")
    assert set(pushed.json()) == {"request_uri", "expires_in"}
    assert (pushed.json()["request_uri"].startswith(START), pushed.json()["expires_in"]) == (True, 60)
    assert (row["browser_digest"], row["step"], row["user_id"]) == (b"", "start", None)
    assert decode_request(login["request"]) == decode_request(direct["request"])
    same = ("step", "client_id", "browser_digest", "user_id", "session_id", "code_number")
    assert {name: login[name] for name in same} == {name: direct[name] for name in same}
    assert login["expires_at"] - row["expires_at"] > (direct["expires_at"] - direct["created_at"]) / 2


async def test_only_the_pushed_parameters_count(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    request_uri = await push(login_app)
    others = {"redirect_uri": "https://evil.example.com/", "state": "other", "scope": "openid phone", "prompt": "none"}

    answer = await visit(browser, login_app, request_uri, **others, response_type="token")

    stored = decode_request((await login_of(login_app, answer))["request"])
    assert (stored.redirect_uri, stored.state, stored.scopes) == (REDIRECT_URI, "a b&c=ü", ["openid", "email"])


async def test_request_uri_may_be_posted(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    form = {"client_id": login_app.client_id, "request_uri": await push(login_app)}

    posted = await browser.post(f"{login_app.path}/authorize", data=form)

    assert posted.status_code == 303
    assert (await login_of(login_app, await browser.get(posted.headers["location"])))["step"] == "start"


async def test_secret_may_be_in_the_form(login_app: LoginApp) -> None:
    assert login_app.secret is not None
    form = parameters(login_app) | {"client_secret": login_app.secret}

    answer = await login_app.api.client.post(f"{login_app.path}/par", data=form)

    assert answer.status_code == 201
    assert login_app.secret not in (await row_of(login_app, answer.json()["request_uri"]))["request"]


async def test_client_id_is_known_by_the_authorization_header(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    assert await page(browser, await visit(browser, login_app, await push(login_app, client_id=None))) == 200


@pytest.mark.parametrize(
    ("headers", "form"),
    [
        ({}, {"client_id": None}),
        ({}, {}),
        ({}, {"client_secret": "auth1_cs_wrong"}),
        ({"authorization": "Bearer x"}, {}),
        ({}, {"client_id": "app_01kf0fv2qd8x7r3n5w1mzt9c4h", "client_secret": "auth1_cs_x"}),
    ],
)
async def test_client_must_authenticate(
    login_app: LoginApp, headers: dict[str, str], form: dict[str, str | None]
) -> None:
    sent = parameters(login_app, **form)

    answer = await login_app.api.client.post(f"{login_app.path}/par", data=sent, headers=headers)

    assert error(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"].startswith("Basic ")
    assert await logins_of(login_app) == 0


async def test_client_of_another_tenant_does_not_push(login_app: LoginApp, new_login_app: NewLoginApp) -> None:
    other = await new_login_app()
    headers = {"authorization": basic_of(other)}

    answer = await login_app.api.client.post(f"{login_app.path}/par", data=parameters(other), headers=headers)

    assert error(answer) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"redirect_uri": None}, "invalid_request"),
        ({"redirect_uri": "https://app.example.com/callback"}, "invalid_request"),
        ({"redirect_uri": "https://evil.example.com/"}, "invalid_request"),
        ({"request_uri": "https://app.example.com/r"}, "invalid_request"),
        ({"request_uri": START + "x"}, "invalid_request"),
        ({"client_id": "app_01kf0fv2qd8x7r3n5w1mzt9c4h"}, "invalid_request"),
        ({"request": "eyJ"}, "request_not_supported"),
        ({"registration": "{}"}, "invalid_request"),
        ({"response_type": None}, "invalid_request"),
        ({"response_type": "code id_token"}, "unsupported_response_type"),
        ({"response_mode": "fragment"}, "invalid_request"),
        ({"scope": None}, "invalid_scope"),
        ({"prompt": "none login"}, "invalid_request"),
        ({"max_age": "-1"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "short"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"claims": "{"}, "invalid_request"),
        ({"nonce": "\0"}, "invalid_request"),
        (
            {"claims": '{"id_token": {"acr": {"essential": true, "value": "urn:auth1:aal2"}}}'},
            "unmet_authentication_requirements",
        ),
    ],
)
async def test_invalid_request_is_not_stored(
    login_app: LoginApp, changes: dict[str, str | None], expected: str
) -> None:
    assert error(await login_app.post("par", **parameters(login_app, **changes))) == (400, expected)
    assert await logins_of(login_app) == 0


async def test_parameter_that_was_sent_twice_is_rejected(login_app: LoginApp) -> None:
    pairs = "&".join(f"{name}={quote(value)}" for name, value in [*parameters(login_app).items(), ("scope", "openid")])
    headers = {"authorization": basic_of(login_app), "content-type": "application/x-www-form-urlencoded"}

    answer = await login_app.api.client.post(f"{login_app.path}/par", content=pairs, headers=headers)

    assert error(answer) == (400, "invalid_request")


async def test_application_without_users_does_not_push(machine_like: LoginApp) -> None:
    answer = await machine_like.post("par", **parameters(machine_like))

    assert error(answer) == (400, "unauthorized_client")


async def test_form_of_the_request_is_checked(login_app: LoginApp) -> None:
    path, headers = f"{login_app.path}/par", {"authorization": basic_of(login_app)}
    post, get = login_app.api.client.post, login_app.api.client.get

    assert error(await get(path, headers=headers)) == (405, "invalid_request")
    assert error(await post(path, json=parameters(login_app), headers=headers)) == (400, "invalid_request")
    assert error(await post(path, data={"state": "s" * 8192}, headers=headers)) == (413, "invalid_request")


async def test_request_may_have_nearly_8_kib(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app, state = await new_login_app(first_party=True), "s" * 7000
    await sign_in(browser, app)

    assert response_of(await visit(browser, app, await push(app, state=state)))["state"] == state


async def test_public_clients_of_an_address_share_a_limit(start_app: Started, new_login_app: NewLoginApp) -> None:
    """The pushes of a server are those of all its users, so they have another limit."""
    api = await start_app(RATE_LIMIT_MAX="1")
    spa, web = await new_login_app(kind="spa"), await new_login_app()
    other = await new_login_app(spa.tenant, kind="spa")
    client = {"x-forwarded-for": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"}  # of no other test
    server = client | {"authorization": basic_of(web)}

    async def status(app: LoginApp, headers: dict[str, str]) -> int:
        return (await api.client.post(f"{app.path}/par", data=parameters(app), headers=headers)).status_code

    assert [await status(app, client) for app in (spa, other, spa, other, spa, other)] == [201] * 5 + [429]
    limited = await api.client.post(f"{spa.path}/par", data=parameters(spa), headers=client)
    assert error(limited) == (429, "temporarily_unavailable")
    assert int(limited.headers["retry-after"]) > 0
    assert [await status(web, server) for _ in range(10)] == [201] * 10


async def test_pushes_of_a_server_are_limited_for_each_client(
    start_app: Started, new_login_app: NewLoginApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "SERVER_PUSHES_A_MINUTE", 2)
    app = await new_login_app()
    other = await new_login_app(app.tenant)
    answers = [await app.post("par", **parameters(app)) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201, 201, 429]
    assert await push(other)


async def test_request_expires(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    request_uri = await push(login_app)
    age = (
        "update logins set created_at = created_at - $1 * interval '1 s', expires_at = expires_at - $1 * interval '1 s'"
    )
    await login_app.database.execute(f"{age} where tenant_id = $2", LIFE_S, login_app.tenant_id)

    assert is_error_page(await visit(browser, login_app, request_uri))


async def test_login_outlives_its_request(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    request_uri = await push(login_app)
    begun = await visit(browser, login_app, request_uri)
    age = (
        "update logins set created_at = created_at - $1 * interval '1 s', expires_at = expires_at - $1 * interval '1 s'"
    )
    await login_app.database.execute(f"{age} where tenant_id = $2", LIFE_S, login_app.tenant_id)

    assert is_error_page(await visit(browser, login_app, request_uri))
    assert await page(browser, begun) == 200


async def test_unknown_request_is_a_page(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    request_uri, keyring = await push(login_app), login_app.api.services.keyring
    login_id = await login_app.login()
    numbered = PUSHED_REQUEST.make(keyring, login_app.tenant_id, new_id("li"), 0)
    code = CODE.make(keyring, login_app.tenant_id, login_id, 0).removeprefix(CODE.start)

    for wrong in (START, START + "x", request_uri[:-1], request_uri + "x", request_uri + "\0", numbered, START + code):
        assert is_error_page(await visit(browser, login_app, wrong))
    assert await page(browser, await visit(browser, login_app, request_uri)) == 200


async def test_request_belongs_to_its_client_and_issuer(
    browser: httpx.AsyncClient, login_app: LoginApp, new_login_app: NewLoginApp
) -> None:
    request_uri = await push(login_app)
    others = [await new_login_app(login_app.tenant), await new_login_app(), await new_login_app(login_app.tenant)]
    others[2].client_id, others[2].sandbox = login_app.client_id, True

    for other in others:
        assert is_error_page(await visit(browser, other, request_uri))
    for client_id in ("", "\0", "app_01kf0fv2qd8x7r3n5w1mzt9c4h"):
        query = {"client_id": client_id, "request_uri": request_uri}
        assert is_error_page(await browser.get(f"{login_app.path}/authorize", params=query))
    assert await page(browser, await visit(browser, login_app, request_uri)) == 200


@pytest.mark.parametrize("name", ["client_id", "request_uri"])
async def test_repeated_parameter_is_a_page(browser: httpx.AsyncClient, login_app: LoginApp, name: str) -> None:
    values = {"client_id": login_app.client_id, "request_uri": await push(login_app)}

    answer = await browser.get(f"{login_app.path}/authorize", params=[*values.items(), (name, values[name])])

    assert (answer.status_code, "The application sent a parameter twice." in answer.text) == (400, True)


@pytest.mark.parametrize("change", ["disabled_at = now()", "redirect_uris = '{}'", "kind = 'machine'"])
async def test_response_goes_only_to_what_is_registered_still(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, change: str
) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)
    request_uri = await push(app)
    await app.database.execute(f"update applications set {change} where id = $1", app.client_id)

    answer = await visit(browser, app, request_uri)

    assert (answer.status_code, "location" in answer.headers) == (400, False)


async def test_reload_shows_the_login_that_the_request_began(browser: httpx.AsyncClient, login_app: LoginApp) -> None:
    request_uri = await push(login_app)
    first = await visit(browser, login_app, request_uri)
    for step in ("start", "code", "waiting", "profile", "account", "consent", "refused"):
        change = "update logins set step = $1, identifier = '+15550001', channel = 'sms' where tenant_id = $2"
        await login_app.database.execute(change, step, login_app.tenant_id)

        again = await visit(browser, login_app, request_uri)

        assert (again.status_code, again.headers["location"]) == (303, first.headers["location"])
        assert (await row_of(login_app, request_uri))["step"] == step
    assert await logins_of(login_app) == 1


async def test_lost_first_response_is_repeated(
    browser: httpx.AsyncClient, login_app: LoginApp, new_browser: NewBrowser
) -> None:
    """The browser has not got the cookie of its login. Until the user acts, the newest browser has the login."""
    request_uri, other = await push(login_app), new_browser()
    lost = await visit(other, login_app, request_uri)

    again = await visit(browser, login_app, request_uri)

    assert lost.headers["location"] == again.headers["location"]
    assert [await page(other, lost), await page(browser, again)] == [400, 200]


@pytest.mark.parametrize("step", ["code", "waiting", "profile", "consent", "refused", "expired", "done"])
async def test_request_that_a_user_acted_on_belongs_to_that_browser(
    browser: httpx.AsyncClient, login_app: LoginApp, new_browser: NewBrowser, step: str
) -> None:
    request_uri = await push(login_app)
    await visit(browser, login_app, request_uri)
    await login_app.database.execute("update logins set step = $1 where tenant_id = $2", step, login_app.tenant_id)
    before, stranger = await row_of(login_app, request_uri), new_browser()

    assert is_error_page(await visit(stranger, login_app, request_uri))
    await sign_in(stranger, login_app)
    assert is_error_page(await visit(stranger, login_app, request_uri, prompt="none"))
    assert await row_of(login_app, request_uri) == before


async def test_session_gets_a_code_which_a_reload_repeats(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, new_browser: NewBrowser
) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)
    same_session = new_browser()
    await sign_in(same_session, app)
    request_uri = await push(app)

    code = response_of(await visit(browser, app, request_uri))["code"]
    repeated = response_of(await visit(same_session, app, request_uri))["code"]  # the first response was lost
    tokens = await app.redeem(code)

    assert (code == repeated, tokens.status_code) == (True, 200)
    assert is_error_page(await visit(browser, app, request_uri))
    assert is_error_page(await visit(same_session, app, request_uri))
    assert await app.is_active(tokens.json()["access_token"])


async def test_consent_page_is_shown_again_in_the_same_session(
    browser: httpx.AsyncClient, login_app: LoginApp, new_browser: NewBrowser
) -> None:
    same_session = new_browser()
    for one in (browser, same_session):
        await sign_in(one, login_app)
    request_uri = await push(login_app)
    lost = await visit(browser, login_app, request_uri)
    again = await visit(same_session, login_app, request_uri)

    assert [await page(browser, lost), await page(same_session, again)] == [400, 200]
    await consent(login_app, ["email", "openid"])
    assert (await login_of(login_app, again))["step"] == "consent"


async def test_request_without_a_page_is_answered_at_once(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp
) -> None:
    app = await new_login_app(first_party=True)
    request_uri = await push(app, prompt="none")

    rejected = [response_of(await visit(browser, app, request_uri)) for _ in range(2)]
    await sign_in(browser, app)
    codes = [response_of(await visit(browser, app, request_uri))["code"] for _ in range(2)]

    for response in rejected:
        assert (response["error"], response["state"], response["iss"]) == ("login_required", "a b&c=ü", app.url)
    assert codes[0] == codes[1]
    assert (await app.redeem(codes[0])).status_code == 200
    assert is_error_page(await visit(browser, app, request_uri))


async def test_session_of_another_user_does_not_take_over_a_code(
    browser: httpx.AsyncClient, new_login_app: NewLoginApp, new_browser: NewBrowser
) -> None:
    app = await new_login_app(first_party=True)
    stranger = new_browser()
    await sign_in(browser, app)
    await sign_in(stranger, await another_user(app))
    request_uri = await push(app)
    code = response_of(await visit(browser, app, request_uri))["code"]

    assert is_error_page(await visit(stranger, app, request_uri))
    tokens = (await app.redeem(code)).json()
    assert (await app.verify(tokens["id_token"], app.client_id))["sub"] == app.user_id


async def test_one_of_many_users_gets_the_code(new_login_app: NewLoginApp, new_browser: NewBrowser) -> None:
    app = await new_login_app(first_party=True)
    browsers = []
    for _ in range(8):
        browsers.append(new_browser())
        await sign_in(browsers[-1], await another_user(app))
    for _ in range(5):
        request_uri = await push(app)

        answers = await asyncio.gather(*(visit(one, app, request_uri) for one in browsers))

        codes = [response_of(answer)["code"] for answer in answers if answer.status_code == 303]
        assert len(codes) == 1
        assert sum(map(is_error_page, answers)) == len(browsers) - 1
        assert (await app.redeem(codes[0])).status_code == 200


async def test_one_of_many_browsers_without_a_session_has_the_login(
    login_app: LoginApp, new_browser: NewBrowser
) -> None:
    browsers = [new_browser() for _ in range(10)]
    request_uri = await push(login_app)

    answers = await asyncio.gather(*(visit(one, login_app, request_uri) for one in browsers))

    pages = [await page(one, answer) for one, answer in zip(browsers, answers, strict=True)]
    assert sorted(pages) == [200] + [400] * 9
    assert await logins_of(login_app) == 1


async def test_many_reloads_of_a_browser_get_one_code(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)
    await visit(browser, app, await push(app))  # the browser has a cookie
    request_uri = await push(app)

    answers = await asyncio.gather(*(visit(browser, app, request_uri) for _ in range(20)))

    locations = {answer.headers["location"] for answer in answers}
    codes = [response_of(answer)["code"] for answer in answers if "code=" in answer.headers["location"]]
    assert len(set(codes)) == 1
    assert len(locations) <= 2  # the others lead to the page of the login
    assert (await app.redeem(codes[0])).status_code == 200


async def test_erased_user_gets_no_code(browser: httpx.AsyncClient, new_login_app: NewLoginApp) -> None:
    app = await new_login_app(first_party=True)
    await sign_in(browser, app)
    request_uri = await push(app)
    code = response_of(await visit(browser, app, request_uri))["code"]
    erased = await app.api.client.delete(
        f"/api/tenant/users/{app.user_id}", headers={"x-api-key": app.tenant["secret_key"]}
    )

    assert erased.status_code == 204
    assert is_error_page(await visit(browser, app, request_uri))
    assert error(await app.redeem(code)) == (400, "invalid_grant")


@pytest.mark.parametrize("variables", [{}, {"REDIS_URL": NO_REDIS}])
async def test_another_instance_serves_the_request(
    start_app: Started, login_app: LoginApp, variables: dict[str, str]
) -> None:
    request_uri = await push(login_app)
    other = await start_app(**variables)

    async with other.new_client() as there:
        assert await page(there, await visit(there, login_app, request_uri)) == 200


async def test_request_is_pushed_without_redis(start_app: Started, login_app: LoginApp) -> None:
    login_app.api = await start_app(REDIS_URL=NO_REDIS)

    assert await push(login_app)


async def test_web_pages_of_any_origin_may_push(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(kind="spa")
    origin = {"origin": "https://app.example.com"}

    answer = await app.api.client.post(f"{app.path}/par", data=parameters(app), headers=origin)

    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (201, "*")


def test_request_uri_is_bound_to_its_issuer_and_is_no_code(login_app: LoginApp) -> None:
    keyring, login_id = login_app.api.services.keyring, "li_01kf0fv2qd8x7r3n5w1mzt9c4h"
    request_uri = PUSHED_REQUEST.make(keyring, "tn_1", login_id, 0)

    assert PUSHED_REQUEST.read(keyring, "tn_1", request_uri) == (login_id, 0)
    assert PUSHED_REQUEST.read(keyring, "tn_1:test", request_uri) is None
    assert CODE.read(keyring, "tn_1", request_uri.replace(START, CODE.start)) is None
