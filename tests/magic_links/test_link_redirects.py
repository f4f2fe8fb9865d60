"""Links that redirect to an app: registered URIs only, once, with PKCE."""

import secrets

import asyncpg
import pytest

from tests.magic_links.user import CALLBACK, LinkUser, code_in, is_expired_page, is_rejected, pkce
from tests.support.api_client import ApiClient


async def test_redirect_logs_in_the_app(user: LinkUser) -> None:
    verifier, challenge = pkce()
    await user.ask(redirect_to=CALLBACK, code_challenge=challenge)

    confirmed = await user.confirm()

    code = code_in(confirmed)
    assert confirmed.headers["location"] == f"{CALLBACK}?code={code}"
    assert confirmed.headers["referrer-policy"] == "no-referrer"
    answer = (await user.exchange(code, verifier)).json()
    assert answer["verified"] is True
    assert is_rejected(await user.exchange(code, verifier), 400, "no_active_challenge")


async def test_redirect_keeps_the_query_of_its_uri(user: LinkUser) -> None:
    await user.ask(redirect_to="http://localhost:5173/?a=b", code_challenge=pkce()[1])

    code = code_in(answer := await user.confirm())

    assert answer.headers["location"] == f"http://localhost:5173/?a=b&code={code}"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"redirect_to": "https://evil.example.net/cb"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "/"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "?x=1"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "#x"}, "redirect_to"),
        ({"redirect_to": CALLBACK.upper()}, "redirect_to"),
        ({"redirect_to": CALLBACK.replace("https", "http")}, "redirect_to"),
        ({"redirect_to": CALLBACK.replace("app.", "app.example.com@evil.")}, "redirect_to"),
        ({"redirect_to": "https://app.example.com:443/cb"}, "redirect_to"),
        ({"redirect_to": "https://app.example.com/x/../cb"}, "redirect_to"),
        ({"redirect_to": "https://app.example.com\\@evil.example.net/cb"}, "redirect_to"),
        ({"redirect_to": CALLBACK + "\r\nset-cookie: a=b"}, "redirect_to"),
        ({"redirect_to": "//app.example.com/cb"}, "redirect_to"),
        ({"redirect_to": "javascript:alert(1)"}, "redirect_to"),
        ({"redirect_to": ""}, "redirect_to"),
        ({"redirect_to": CALLBACK, "code_challenge": None}, "code_challenge"),
        ({"redirect_to": CALLBACK, "code_challenge": "short"}, "code_challenge"),
        ({"redirect_to": CALLBACK, "mode": "code"}, "redirect_to"),
        ({"redirect_to": None}, "code_challenge"),
        ({"mode": "sms", "redirect_to": CALLBACK}, "mode"),
    ],
)
async def test_redirect_to_an_unregistered_uri_is_rejected(
    user: LinkUser, fields: dict[str, object], field: str
) -> None:
    answer = await user.request(**({"code_challenge": pkce()[1]} | fields))

    assert is_rejected(answer, 422, "validation_failed")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert user.server.sent_to(user.email) == []


async def test_removed_redirect_uri_expires_the_link(user: LinkUser) -> None:
    await user.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    await user.api.admin("PATCH", path, {"settings": {"redirect_uris": []}})

    assert is_expired_page(await user.open())
    assert is_expired_page(await user.confirm())


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.com/cb",
        "https://app.example.com/cb#x",
        "https://user@app.example.com/",
        "https://app.example.com\\@evil.example.net",
        "https://app.example.com/a b",
        "https://APP.example.com/",
        "http://localhost.evil.example.net/",
        "http://127.0.0.1.evil.example.net/",
        "https://",
        "https://*.example.com/",
        "https://app.example.com/\n",
        "javascript:alert(1)",
        "/cb",
        "intent://cb#Intent;end",
        "file:///etc/passwd",
        "data:text/html,a",
        "JAVASCRIPT://app.example.com/%0aalert(1)",
        "myapp:cb",
        "myapp://user@cb",
        "myapp://cb#x",
    ],
)
async def test_unsafe_redirect_uri_is_rejected(mail_api: ApiClient, uri: str) -> None:
    body = {"name": "My App", "slug": f"t{secrets.token_hex(6)}", "settings": {"redirect_uris": [uri]}}

    answer = await mail_api.admin("POST", "/api/admin/tenants", body)

    assert is_rejected(answer, 422, "validation_failed")
    assert answer.json()["errors"][0]["field"].startswith("settings.redirect_uris")


@pytest.mark.parametrize(
    "uri",
    [
        "https://app.example.com",
        "https://a-b.example.com:8443/x?y=z&a=%20",
        "http://127.0.0.1:8000/",
        "http://localhost",
    ],
)
async def test_redirect_uri_may_have_a_port_a_path_and_a_query(mail_api: ApiClient, uri: str) -> None:
    assert (await mail_api.tenant(redirect_uris=[uri]))["settings"]["redirect_uris"] == [uri]


async def test_wrong_pkce_verifier_is_rejected_without_spending_the_code(user: LinkUser) -> None:
    verifier, challenge = pkce()
    await user.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await user.confirm())

    for wrong in (pkce()[0], challenge, verifier + "x"):
        assert is_rejected(await user.exchange(code, wrong), 400, "no_active_challenge")

    assert (await user.exchange(code, verifier)).status_code == 200


async def test_authorization_code_expires_after_a_minute(user: LinkUser, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    await user.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await user.confirm())
    await database.execute(
        "update links set confirmed_at = now() - interval '61 s' where tenant_id = $1", user.tenant["tenant_id"]
    )

    assert is_rejected(await user.exchange(code, verifier), 400, "no_active_challenge")


@pytest.mark.parametrize("uri", ["myapp://callback", "myapp://callback/signed-in?a=b", "com.example.app:/callback"])
async def test_link_redirects_to_the_private_scheme_of_an_app(mail_api: ApiClient, uri: str) -> None:
    tenant = await mail_api.tenant(redirect_uris=[uri])
    body = {"email": "ada@example.com", "mode": "link", "redirect_to": uri, "code_challenge": pkce()[1]}
    link = (await mail_api.post("/api/auth/request", body, tenant["test_key"])).json()["link"]

    page = await mail_api.client.get(link)
    confirmed = await mail_api.client.post(link)

    assert f"form-action 'self' {uri.partition(':')[0]}:;" in page.headers["content-security-policy"]
    assert confirmed.status_code == 303
    assert confirmed.headers["location"].startswith(uri)
