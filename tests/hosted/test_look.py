"""The look of the pages: the setting `login_page`, and its preview with values that are not stored."""

from typing import Any

import httpx
import pytest

from tests.hosted.browser import Browser
from tests.hosted.conftest import Site

LOOK = {
    "dark_color": "#facc15",
    "background_color": "#0f766e",
    "corner_radius": 0,
    "terms_url": "https://example.com/terms",
    "privacy_url": "https://example.com/privacy?a=1&b=2",
    "texts": {"en": {"title": "Welcome <b>back</b>", "footer": '"><script>alert(1)</script>'}},
}


async def store(site: Site, **settings: Any) -> httpx.Response:
    return await site.api.admin("PATCH", f"/api/admin/tenants/{site.tenant['tenant_id']}", {"settings": settings})


async def preview(site: Site, **body: Any) -> httpx.Response:
    headers = {"x-api-key": site.tenant["secret_key"]}
    return await site.api.client.post("/api/tenant/login-page/preview", json=body, headers=headers)


async def test_stored_look_is_that_of_the_pages(site: Site, browser: Browser) -> None:
    await store(site, login_page=LOOK)
    page = await browser.open(await site.login(browser))

    assert page.title == "Welcome <b>back</b>"
    assert '"><script>alert(1)</script>' in page.texts, "words are text"
    assert page.response.text.count("<script>") == 1
    assert LOOK["terms_url"] in page.links
    assert LOOK["privacy_url"] in page.links
    for rule in ("--ground:#0f766e", "--button:#facc15", "--radius:0px"):
        assert rule in page.response.text
    browser.headers["accept-language"] = "de"
    page = await browser.open(await site.login(browser))
    assert page.title == "Bei My App anmelden", "the words of another language are built in"
    assert "Nutzungsbedingungen" in page.text


async def test_only_the_methods_of_the_tenant_are_accepted(site: Site, browser: Browser, phone: str) -> None:
    await store(site, login_page={"methods": ["email"]})
    page = await browser.open(await site.login(browser))
    assert page.fields["identifier"]["type"] == "email"
    page = await browser.submit("proceed", identifier=phone)

    assert "Enter a valid email address." in page.text


async def test_preview_shows_values_that_are_not_stored(site: Site) -> None:
    answer = await preview(site, settings={"login_page": LOOK, "brand_color": "#0f766e", "sms_branding": "Draft"})

    assert answer.status_code == 200
    assert "Welcome &lt;b&gt;back&lt;/b&gt;" in answer.text
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "script-src" not in policy
    assert "form-action 'none'" in policy
    assert policy.endswith("; sandbox")
    assert "Draft" not in (await preview(site)).text


@pytest.mark.parametrize(
    ("page", "title"),
    [
        ("start", "Bei My App anmelden"),
        ("confirm", "Ist das Ihre Telefonnummer?"),
        ("code", "Code eingeben"),
        ("waiting", "Sehen Sie in Ihren E-Mails nach"),
        ("profile", "Telefonnummer eingeben"),
        ("account", "Konto auswählen"),
        ("consent", "Example"),
        ("refused", "Anmeldung nicht möglich"),
        ("done", "Sie sind angemeldet"),
        ("expired", "Diese Anmeldung ist abgelaufen"),
        ("proof", "Ihr Browser wird"),
        ("sandbox_link", "Sehen Sie in Ihren E-Mails nach"),
        ("leave", "Example"),
        ("logout", "Bei My App abmelden?"),
        ("signed_out", "Sie sind abgemeldet"),
        ("my_account", "Ihr Konto"),
        ("remove_phone", "Möchten Sie Ihre Telefonnummer entfernen?"),
        ("erase", "Möchten Sie Ihr Konto löschen?"),
    ],
)
async def test_each_page_has_a_preview(site: Site, page: str, title: str) -> None:
    answer = await preview(site, page=page, locale="de-AT")

    assert answer.status_code == 200
    assert title in answer.text


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"brand_color": "red"}, "settings.brand_color"),
        ({"unknown": 1}, "settings.unknown"),
        ({"logo": "0" * 32}, "settings.logo"),
        ({"login_page": {"terms_url": "javascript:alert(1)"}}, "settings.login_page.terms_url"),
        ({"login_page": {"privacy_url": "https://192.168.0.999/"}}, "settings.login_page.privacy_url"),
        ({"login_page": {"texts": {"??": {"title": "x"}}}}, "settings.login_page.texts.??"),
        ({"login_page": {"texts": {"en": {"title": "a\nb"}}}}, "settings.login_page.texts[...].title"),
        ({"login_page": {"background_color": "red;}body{display:none"}}, "settings.login_page.background_color"),
    ],
)
async def test_invalid_look_is_neither_stored_nor_shown(site: Site, settings: dict[str, Any], field: str) -> None:
    for answer in (await store(site, **settings), await preview(site, settings=settings)):
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_preview_needs_a_credential_of_the_tenant(site: Site) -> None:
    for key in (site.tenant["api_key"], "none"):
        answer = await site.api.client.post("/api/tenant/login-page/preview", json={}, headers={"x-api-key": key})
        assert answer.status_code in (401, 403)
