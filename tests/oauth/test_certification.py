"""The OpenID certification's plans Basic, Config, RP-Initiated Logout and Back-Channel Logout, as tests of our own.

`certification.py` names the tests of each module of the plans. Here are those that no other file contains. As in the
plans, the application has a secret and requests no PKCE, the browser is the user's, and its login is done.
"""

import json
import re
import secrets
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import asyncpg
import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from auth1.core.crypto import s256
from auth1.oauth.metadata import metadata
from tests.conftest import Started
from tests.hosted.browser import Browser
from tests.oauth.certification import PLANS
from tests.oauth.conftest import NewLoginApp
from tests.oauth.login_app import REDIRECT_URI, VERIFIER, LoginApp
from tests.oauth.machine import Machine
from tests.oauth.test_authorize import NO_PROMPT, authorize, parameters, response_of, sign_in
from tests.oauth.test_backchannel import EVENT
from tests.oauth.test_logout import LOGOUT_URI, fields_of, is_live, log_out
from tests.support.api_client import ApiClient
from tests.support.receiver import Receiver

TESTS = Path(__file__).parents[1]
NO_PKCE = {"code_challenge": None, "code_challenge_method": None}
ISSUER = "https://auth.example.com/t/myapp"


@pytest.fixture
async def app(new_login_app: NewLoginApp, browser: httpx.AsyncClient) -> LoginApp:
    """Return an application of the plan, whose user is signed in."""
    app = await new_login_app(first_party=True, require_pkce=False)
    await sign_in(browser, app)
    return app


async def redeem(app: LoginApp, response: dict[str, str], **form: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """Exchange the code of a response; return the tokens, and the claims of the ID token."""
    answer = await app.redeem(response["code"], **({"code_verifier": None} | form))
    assert answer.status_code == 200, answer.text
    tokens: dict[str, Any] = answer.json()
    return tokens, await app.verify(tokens["id_token"], app.client_id)


@pytest.mark.parametrize("plan", PLANS)
def test_each_module_of_a_plan_has_its_tests(plan: str) -> None:
    for module, names in PLANS[plan].items():
        assert names, module
        for name in names:
            file, _, function = name.partition("::")
            assert re.search(rf"^(async )?def {function}\(", (TESTS / file).read_text(), re.MULTILINE), (module, name)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"nonce": None},
        {"scope": "email openid"},
        {"display": "page"},
        {"display": "popup"},
        {"extra": "foobar"},
        {"login_hint": "buffy@example.com"},
        {"ui_locales": "se"},
        {"claims_locales": "se"},
        {"acr_values": " ".join(metadata(ISSUER).acr_values_supported)},
        {"acr_values": "1 2"},
        {"claims": '{"id_token": {"acr": {"essential": true, "values": ["phr", "urn:auth1:aal1"]}}}'},
        {"claims": '{"id_token": {"acr": {"value": "urn:auth1:aal2"}}}'},
        {"prompt": "none"},
    ],
    ids=lambda changes: next(iter(changes), "plain"),
)
async def test_request_succeeds(browser: httpx.AsyncClient, app: LoginApp, changes: dict[str, str | None]) -> None:
    response = response_of(await authorize(browser, app, **(NO_PKCE | changes)))

    assert (response["state"], response["iss"], len(response["code"]) >= 43) == ("a b&c=ü", app.url, True)
    tokens, claims = await redeem(app, response)
    assert (claims["sub"], claims["aud"], claims.get("nonce")) == (
        *(app.user_id, app.client_id),
        changes.get("nonce", "nonce"),
    )
    assert claims["acr"] in metadata(ISSUER).acr_values_supported
    assert (await app.userinfo(tokens["access_token"])).json()["sub"] == app.user_id


async def test_request_by_post_ends_with_a_code(browser: httpx.AsyncClient, app: LoginApp) -> None:
    posted = await browser.post(f"{app.path}/authorize", data=parameters(app, **NO_PKCE))

    assert "code" in response_of(await browser.get(posted.headers["location"]))


async def test_pkce_is_used_where_it_is_optional(browser: httpx.AsyncClient, app: LoginApp) -> None:
    response = response_of(await authorize(browser, app, code_challenge=s256(VERIFIER)))

    assert (await app.redeem(response["code"], code_verifier="w" * 43)).status_code == 400
    await redeem(app, response, code_verifier=VERIFIER)


async def test_secret_may_be_in_the_form(browser: httpx.AsyncClient, app: LoginApp) -> None:
    code = response_of(await authorize(browser, app, **NO_PKCE))["code"]
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT_URI}
    form |= {"client_id": app.client_id, "client_secret": app.secret or ""}

    assert (await app.api.client.post(f"{app.path}/token", data=form)).status_code == 200


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("profile", {"name", "preferred_username"}),
        ("email", {"email", "email_verified"}),
        ("address", set()),
        ("phone", {"phone_number", "phone_number_verified"}),
        (
            "profile email address phone",
            {"name", "preferred_username", "email", "email_verified", "phone_number", "phone_number_verified"},
        ),
    ],
)
async def test_userinfo_has_exactly_the_claims_of_a_scope(
    browser: httpx.AsyncClient, app: LoginApp, scope: str, expected: set[str]
) -> None:
    response = response_of(await authorize(browser, app, scope=f"openid {scope}", **NO_PKCE))
    tokens, _ = await redeem(app, response)

    assert set((await app.userinfo(tokens["access_token"])).json()) == {"sub"} | expected


async def test_essential_claim_is_returned(browser: httpx.AsyncClient, app: LoginApp) -> None:
    claims = '{"userinfo": {"name": {"essential": true}}}'
    tokens, _ = await redeem(app, response_of(await authorize(browser, app, scope="openid", claims=claims, **NO_PKCE)))

    assert (await app.userinfo(tokens["access_token"])).json()["name"] == "Ada"


@pytest.mark.parametrize("change", ["prompt", "max_age", "id_token_hint"])
async def test_next_login_without_a_page_is_the_same_login(
    browser: httpx.AsyncClient, app: LoginApp, change: str
) -> None:
    tokens, first = await redeem(app, response_of(await authorize(browser, app, max_age="15000", **NO_PKCE)))
    changes = {
        "prompt": {"prompt": "none"},
        "max_age": {"max_age": "10000"},
        "id_token_hint": {"prompt": "none", "id_token_hint": tokens["id_token"]},
    }[change]
    _, second = await redeem(app, response_of(await authorize(browser, app, **(NO_PKCE | changes))))

    assert [second[name] for name in ("sub", "auth_time", "sid")] == [
        first[name] for name in ("sub", "auth_time", "sid")
    ]
    assert second["iat"] >= first["iat"] >= first["auth_time"]


@pytest.mark.parametrize("changes", [{"prompt": "login"}, {"max_age": "1"}], ids=lambda changes: next(iter(changes)))
async def test_new_login_has_a_later_time(
    api: ApiClient, database: asyncpg.Connection, changes: dict[str, str]
) -> None:
    app = LoginApp(api, database, await api.tenant(), sandbox=True)
    await app.create(first_party=True, require_pkce=False)
    browser, email = Browser(api), f"{secrets.token_hex(6)}@example.com"

    async def log_in(**changes: str | None) -> dict[str, Any]:
        url = httpx.URL(f"{app.path}/authorize", params=parameters(app, **(NO_PKCE | changes)))
        page = await browser.open(str(url))
        assert page.title == "Sign in to My App"
        await browser.submit("proceed", identifier=email)
        page = await browser.submit("verify", code="000000")
        query = parse_qs(urlsplit(page.leads_to or page.response.headers["location"]).query)
        return (await redeem(app, {"code": query["code"][0]}))[1]

    first = await log_in()
    earlier = "update sessions set created_at = created_at - interval '60 s' where id = $1"
    await database.execute(earlier, first["sid"])
    second = await log_in(**changes)

    assert second["sub"] == first["sub"]
    assert second["auth_time"] > first["auth_time"] - 60
    assert second["sid"] != first["sid"]


async def test_request_object_does_not_replace_the_redirect_uri(browser: httpx.AsyncClient, app: LoginApp) -> None:
    request = jwt.encode({"redirect_uri": REDIRECT_URI, "client_id": app.client_id}, "", "none")

    foreign = await authorize(browser, app, request=request, redirect_uri="https://evil.example.com/", **NO_PKCE)
    own = response_of(await authorize(browser, app, request=request, **NO_PKCE))

    assert (foreign.status_code, "location" in foreign.headers) == (400, False)
    assert own["error"] == "request_not_supported"


async def test_application_signs_with_rs256_by_default(api: ApiClient) -> None:
    owner = Machine(api, await api.tenant(), {})
    body = {"name": "Wiki", "kind": "web", "redirect_uris": ["https://app.example.com/"]}
    created = (await owner.manage("POST", body=body)).json()
    keys = (await owner.jwks())["keys"]

    assert created["id_token_alg"] == "RS256"
    assert [(key["kty"], key["use"], key["alg"]) for key in keys if key["alg"] == "RS256"][:1] == [
        ("RSA", "sig", "RS256")
    ]
    assert len({key["kid"] for key in keys}) == len(keys)
    assert all({"d", "p", "q", "k"}.isdisjoint(key) for key in keys)


async def test_discovery_document_is_json_of_its_issuer(app: LoginApp) -> None:
    answer = await app.api.client.get(f"{app.path}/.well-known/openid-configuration")

    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "application/json")
    assert answer.json()["issuer"] == app.url
    assert (await app.api.client.get(urlsplit(answer.json()["jwks_uri"]).path)).status_code == 200


def test_discovery_document_has_what_the_plans_check() -> None:
    found = json.loads(
        json.dumps({name: getattr(metadata(ISSUER), name) for name in metadata(ISSUER).__struct_fields__})
    )

    urls = [value for name, value in found.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(urls) >= 7
    assert all(url.startswith(f"{ISSUER}/") for url in urls)
    assert found["response_types_supported"] == ["code"]
    assert found["subject_types_supported"] == ["public"]
    assert {"authorization_code", "refresh_token"} <= set(found["grant_types_supported"])
    assert {"openid", "offline_access"} <= set(found["scopes_supported"])
    assert {"sub", "name", "email", "phone_number", "auth_time"} <= set(found["claims_supported"])
    assert {"client_secret_basic", "client_secret_post"} <= set(found["token_endpoint_auth_methods_supported"])
    assert "RS256" in found["id_token_signing_alg_values_supported"]
    assert "none" not in found["id_token_signing_alg_values_supported"]
    assert found["acr_values_supported"] == ["urn:auth1:aal1"]
    assert (found["request_parameter_supported"], found["request_uri_parameter_supported"]) == (False, False)
    assert found["pushed_authorization_request_endpoint"] == f"{ISSUER}/par"
    assert found["require_pushed_authorization_requests"] is False
    assert found["claims_parameter_supported"] is True
    assert found["code_challenge_methods_supported"] == ["S256"]
    assert (found["backchannel_logout_supported"], found["backchannel_logout_session_supported"]) == (True, True)
    assert found["end_session_endpoint"] == f"{ISSUER}/logout"


@pytest.mark.parametrize("kind", ["of another key", "without signature"])
async def test_forged_hint_signs_no_user_out_and_leads_nowhere(
    browser: httpx.AsyncClient, app: LoginApp, kind: str
) -> None:
    token = (await app.tokens())["id_token"]
    claims, header = jwt.decode(token, options={"verify_signature": False}), jwt.get_unverified_header(token)
    forged = {
        "of another key": lambda: jwt.encode(claims, ec.generate_private_key(ec.SECP256R1()), "ES256", header),
        "without signature": lambda: jwt.encode(claims, "", "none", header | {"alg": "none"}),
    }[kind]()

    page = await log_out(browser, app, id_token_hint=forged, post_logout_redirect_uri=LOGOUT_URI)

    assert (page.status_code, "location" in page.headers, await is_live(app)) == (200, False, True)
    confirmed = await browser.post(f"{app.path}/logout", data=fields_of(page))
    assert (confirmed.status_code, "location" in confirmed.headers) == (200, False)


@pytest.mark.parametrize("sent", [{}, {"state": "s"}], ids=["no-params", "only-state"])
async def test_logout_without_a_hint_signs_out_after_a_confirmation(
    browser: httpx.AsyncClient, app: LoginApp, sent: dict[str, str]
) -> None:
    page = await log_out(browser, app, **sent)

    answer = await browser.post(f"{app.path}/logout", data=fields_of(page))

    assert (answer.status_code, "signed out" in answer.text, await is_live(app)) == (200, True, False)


@pytest.mark.parametrize("sent", [{}, {"state": "s"}], ids=["no-state", "state"])
async def test_no_login_without_a_page_succeeds_after_the_logout(
    browser: httpx.AsyncClient, app: LoginApp, sent: dict[str, str]
) -> None:
    tokens, _ = await redeem(app, response_of(await authorize(browser, app, **NO_PKCE)))
    sent = sent | {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": LOGOUT_URI}
    answer = await log_out(browser, app, **sent)

    assert answer.headers["location"] == (f"{LOGOUT_URI}?state=s" if "state" in sent else LOGOUT_URI)
    assert response_of(await authorize(browser, app, **NO_PROMPT))["error"] == "login_required"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as server:
        yield server


async def test_logout_by_the_application_reaches_its_back_channel(
    start_app: Started, database: asyncpg.Connection, receiver: Receiver
) -> None:
    api = await start_app(WEBHOOK_ALLOWED_NETWORKS="127.0.0.0/8")
    app = LoginApp(api, database, await api.tenant())
    await app.create(first_party=True, require_pkce=False)
    await app.change(backchannel_logout_uri=receiver.url)
    browser = Browser(api).client
    await sign_in(browser, app)
    tokens, login = await redeem(app, response_of(await authorize(browser, app, **NO_PKCE)))

    answer = await log_out(browser, app, id_token_hint=tokens["id_token"], post_logout_redirect_uri=LOGOUT_URI)
    await api.services.logouts.run_once(api.services)

    assert answer.headers["location"] == LOGOUT_URI
    [call] = receiver.calls
    claims = await app.verify(parse_qs(call.body.decode())["logout_token"][0], app.client_id)
    assert (claims["sub"], claims["sid"], claims["events"]) == (login["sub"], login["sid"], {EVENT: {}})
    assert response_of(await authorize(browser, app, **NO_PROMPT))["error"] == "login_required"
