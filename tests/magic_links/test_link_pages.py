"""The pages behind a link: open, confirmed and expired."""

import re
import secrets

import asyncpg
import pytest

from tests.conftest import Started
from tests.magic_links.user import (
    APP_URL,
    CALLBACK,
    LinkUser,
    is_expired_page,
    is_rejected,
    new_address,
    opening,
    pkce,
)
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_opening_a_link_consumes_nothing(user: LinkUser, database: asyncpg.Connection, method: str) -> None:
    requested = await user.ask()
    rows = "select i::text, c::text, l::text from identifiers i, challenges c, links l where i.tenant_id = $1" + (
        " and c.tenant_id = $1 and l.tenant_id = $1"
    )
    before = await database.fetch(rows, user.tenant["tenant_id"])

    answers = [await user.open(method) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}
    assert await database.fetch(rows, user.tenant["tenant_id"]) == before
    assert is_rejected(await user.redeem(requested), 400, "authorization_pending")
    assert (await user.confirm()).status_code == 200


async def test_page_names_only_the_tenant(user: LinkUser) -> None:
    await user.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])

    page = await user.open()

    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == {
        "default-src": "'none'",
        "form-action": "'self' https://app.example.com",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    assert "Sign in to MyApp" in page.text
    assert page.text.count("<form") == page.text.count("<button") == 1
    assert "<script" not in page.text
    for secret in (user.email, user.path.rpartition("/")[2], user.tenant["tenant_id"], "http"):
        assert secret not in page.text


async def test_tenant_name_is_escaped_on_the_page(mail_api: ApiClient, mail_server: SmtpServer) -> None:
    name = "Tom & Jerry's"
    body = {"name": name, "slug": f"t{secrets.token_hex(6)}"}
    tenant = (await mail_api.admin("POST", "/api/admin/tenants", body)).json()
    user = LinkUser([mail_api], tenant, mail_server, new_address())
    await user.ask()

    page = await user.open()

    assert "Tom & Jerry" not in page.text
    assert "Tom &amp; Jerry&#39;s" in page.text


async def test_used_and_expired_links_return_the_same_page(user: LinkUser, database: asyncpg.Connection) -> None:
    await user.ask()
    used = user.path
    await user.confirm()
    await user.ask()
    expired = user.path
    await database.execute("update links set expires_at = now() where tenant_id = $1", user.tenant["tenant_id"])

    pages = [await act(path) for path in (used, expired) for act in (user.confirm, opening(user))]

    assert all(is_expired_page(page) for page in pages)
    assert len({page.text for page in pages}) == 1
    assert len({tuple(sorted(set(page.headers) - {"ratelimit", "ratelimit-policy"})) for page in pages}) == 1
    assert (await user.open("HEAD", used)).status_code == 400


async def test_unknown_link_returns_a_page_without_a_tenant(user: LinkUser) -> None:
    await user.ask()
    used = user.path
    await user.confirm()

    for path in ("/api/auth/link/" + secrets.token_urlsafe(32), used[:-1]):
        for page in (await user.confirm(path), await user.open("GET", path)):
            assert is_expired_page(page)
            assert "MyApp" not in page.text
            assert "<a " not in page.text


@pytest.mark.parametrize(
    ("uris", "redirect_to", "home"),
    [
        ([CALLBACK], None, "https://app.example.com/"),
        ([CALLBACK, "https://app.example.com/other"], None, "https://app.example.com/"),
        ([CALLBACK, "http://localhost:5173/?a=b"], None, None),
        ([CALLBACK, "http://localhost:5173/?a=b"], "http://localhost:5173/?a=b", "http://localhost:5173/"),
        ([], None, None),
    ],
)
async def test_used_link_page_links_to_the_application(
    mail_api: ApiClient, mail_server: SmtpServer, uris: list[str], redirect_to: str | None, home: str | None
) -> None:
    tenant = await mail_api.tenant(sms_branding="MyApp", redirect_uris=uris, default_locale="de")
    user = LinkUser([mail_api], tenant, mail_server, new_address())
    await user.ask(**({"redirect_to": redirect_to, "code_challenge": pkce()[1]} if redirect_to else {}))
    pages = [await user.confirm(), await user.open(accept_language="fr")]

    for page in pages if redirect_to is None else pages[1:]:
        found = re.findall(r'<a class="button" href="([^"]+)">MyApp öffnen</a>', page.text)
        assert found == ([home] if home else [])
    assert pages[1].status_code == 400
    assert '<html lang="de" dir="ltr">' in pages[1].text


@pytest.mark.parametrize(
    ("locale", "default", "lang"),
    [("de-AT", "en", "de"), ("pt_BR", "fr", "pt"), (None, "it", "it"), ("tlh", "es-MX", "es"), (None, "en", "en")],
)
async def test_page_is_in_the_language_of_its_message(
    mail_api: ApiClient, mail_server: SmtpServer, locale: str | None, default: str, lang: str
) -> None:
    user = LinkUser([mail_api], await mail_api.tenant(default_locale=default), mail_server, new_address())
    await user.ask(locale=locale)

    pages = [await user.open(accept_language="fr"), await user.confirm(accept_language="fr")]

    assert all(f'<html lang="{lang}" dir="ltr">' in page.text for page in pages)


@pytest.mark.parametrize(
    ("wanted", "lang"),
    [("de-CH,fr;q=0.5", "de"), ("tlh, it;q=0.2, es;q=0.7", "es"), ("", "en"), ("*", "en"), ("\xff;q=,,;", "en")],
)
async def test_unknown_link_page_is_in_the_browser_language(api: ApiClient, wanted: str, lang: str) -> None:
    headers = [(b"accept-language", wanted.encode("latin-1"))]
    pages = [
        await api.client.request(method, "/api/auth/link/" + secrets.token_urlsafe(32), headers=headers)
        for method in ("GET", "POST")
    ]

    assert [page.status_code for page in pages] == [400, 400]
    assert all(f'<html lang="{lang}" dir="ltr">' in page.text for page in pages)
    twice = [(b"accept-language", b"tlh"), (b"accept-language", b"fr")]
    assert '<html lang="fr" dir="ltr">' in (await api.client.get("/api/auth/link/" + "x" * 43, headers=twice)).text


async def test_links_of_a_suspended_tenant_show_the_expired_page(user: LinkUser) -> None:
    await user.ask()
    await user.api.admin("POST", f"/api/admin/tenants/{user.tenant['tenant_id']}/suspend")

    for page in (await user.open(), await user.confirm()):
        assert is_expired_page(page)
        assert "MyApp" not in page.text


async def test_confirmations_are_rate_limited_per_client_address(start_app: Started, mail_server: SmtpServer) -> None:
    api = await start_app(
        SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL, RATE_LIMIT_MAX="3"
    )
    client = {"x-forwarded-for": "203.0.113.77"}
    path = "/api/auth/link/" + secrets.token_urlsafe(32)

    answers = [await api.client.post(path, headers=client) for _ in range(4)]
    opened = [await api.client.get(path, headers=client) for _ in range(4)]

    assert [answer.status_code for answer in answers] == [400, 400, 400, 429]
    assert int(answers[3].headers["retry-after"]) >= 1
    assert {answer.status_code for answer in opened} == {400}


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
async def test_forms_of_other_sites_leave_the_requests_of_an_address(start_app: Started, site: str) -> None:
    api = await start_app(RATE_LIMIT_MAX="1")
    client = {"x-forwarded-for": f"198.51.100.{secrets.randbelow(250) + 1}"}
    path = "/api/auth/link/" + secrets.token_urlsafe(32)

    foreign = [await api.client.post(path, headers=client | {"sec-fetch-site": site}) for _ in range(2)]
    own = [await api.client.post(path, headers=client | {"sec-fetch-site": "same-origin"}) for _ in range(2)]

    assert [(answer.status_code, answer.json()["code"]) for answer in foreign] == [(403, "forbidden")] * 2
    assert [answer.status_code for answer in own] == [400, 429]


async def test_form_is_confirmed_regardless_of_cors_origins(start_app: Started, mail_server: SmtpServer) -> None:
    api = await start_app(
        SMTP_URL=mail_server.url,
        EMAIL_FROM="no-reply@example.com",
        APP_URL=APP_URL,
        CORS_ORIGINS="https://app.example.com",
    )
    user = LinkUser([api], await api.tenant(), mail_server, new_address())
    await user.ask()

    assert (await user.confirm(origin="null")).status_code == 200
