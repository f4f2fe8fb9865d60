"""The API reference in a real browser: light and dark, without scripts, and with "Try it"."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from auth1.openapi import contents
from tests.browser import accessibility, chromium
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER
from tests.support import described
from tests.support.process import Auth1

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")


@pytest.fixture(scope="module")
async def auth1(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth1]:
    async with Auth1(environment, tmp_path_factory.mktemp("auth1") / "log") as auth1:
        yield auth1


async def until_shown(page: Page, expression: str) -> Any:
    deadline = time.monotonic() + chromium.ANSWER_S
    while not (value := await page.evaluate(expression)):
        assert time.monotonic() < deadline, f"never came to hold: {expression}"
        await asyncio.sleep(0.05)
    return value


PAGES = ["", *contents.pages(described.snapshot())]


def address(auth1: Auth1, name: str) -> str:
    return f"{auth1.url}/docs/{name}" if name else f"{auth1.url}/docs"


@pytest.mark.parametrize("scripts", [True, False])
async def test_docs_page_follows_its_policy_and_loads_nothing(browser: Chromium, auth1: Auth1, scripts: bool) -> None:
    async with browser.page(scripts=scripts) as page:
        await page.open(f"{auth1.url}/docs/sign-in")

        assert page.complaints == []
        assert page.requests == [f"GET {auth1.url}/docs/sign-in"]
        assert await page.evaluate("getComputedStyle(document.querySelector('header')).position") == "sticky"
        assert await page.evaluate("document.querySelectorAll('.sheets > button').length > 0") is scripts


async def test_every_operation_schema_and_error_can_be_linked_to(auth1: Auth1) -> None:
    document = described.snapshot()
    operations = {operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()}
    schemas = {f"schema-{name}" for name in document["components"]["schemas"]}
    codes = set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])
    ids: dict[str, list[str]] = {}
    links: set[tuple[str, str]] = set()
    for name in PAGES:
        path = f"/docs/{name}" if name else "/docs"
        text = (await auth1.client.get(path)).text
        ids[path] = re.findall(r' id="([^"]+)"', text)
        targets = [target.partition("#") for target in re.findall(r'<a [^>]*href="([^"]+)"', text)]
        links |= {(target or path, fragment) for target, _, fragment in targets}

    found = [one for listed in ids.values() for one in listed]
    assert all(len(set(listed)) == len(listed) for listed in ids.values())
    assert operations | schemas | {f"error-{code}" for code in codes} <= set(found)
    assert operations <= {fragment for _, fragment in links}
    assert {path for path, _ in links} == {*ids, "/openapi.json"}
    assert [link for link in links if link[1] and link[1] not in ids[link[0]]] == [], "every link has a target"


@pytest.mark.parametrize("scripts", [True, False])
async def test_link_to_an_operator_operation_unfolds_it(browser: Chromium, auth1: Auth1, scripts: bool) -> None:
    folded = "document.querySelector('.operators').open"
    async with browser.page(scripts=scripts) as page:
        await page.open(f"{auth1.url}/docs/tenants-and-keys")
        assert await page.evaluate(folded) is False
        await page.open(f"{auth1.url}/docs/users")
        await page.open(f"{auth1.url}/docs/tenants-and-keys#create_tenant")

        assert await until_shown(page, folded)


@pytest.mark.parametrize("name", PAGES)
async def test_docs_page_is_accessible_and_fits_every_screen(browser: Chromium, auth1: Auth1, name: str) -> None:
    async with browser.page() as page:
        await page.open(address(auth1, name))
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

        for dark, find in ((False, accessibility.faults), (True, accessibility.visual_faults)):
            await page.set_scheme(dark=dark)
            # Links within a sentence may be as low as its lines (WCAG 2.2, 2.5.8).
            assert [fault for fault in await find(page) if not fault.startswith("2.5.8")] == []
            ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (int(re.findall(r"\d+", ground)[0]) < 64) is dark
        heights = "[...document.querySelectorAll('nav a, button')].map(e => e.getBoundingClientRect().height)"
        assert min(await page.evaluate(heights)) >= 24
        for width in (320, 800, 1400):
            await page.set_width(width, mobile=width < 500)
            assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_docs_page_has_landmarks_for_screen_readers(browser: Chromium, auth1: Auth1) -> None:
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs/sign-in")

        roles = await page.roles()
        for role, name in (("main", ""), ("navigation", "Contents"), ("heading", "Sign in")):
            assert (role, name) in roles
        assert await page.evaluate("document.documentElement.lang") == "en"
        assert {name for role, name in roles if role == "button"} == {"Copy", "Try it"}


async def test_operation_can_be_run_from_the_docs_page(browser: Chromium, auth1: Auth1) -> None:
    tenant = await auth1.tenant()
    form = "document.querySelector('#request_code form')"
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs/sign-in")
        await page.evaluate("document.querySelector('#request_code .sheets > button').click()")
        await until_shown(page, f"!!{form}")
        await page.evaluate(f"{form}.querySelector('input').value = '{tenant['test_key']}'")
        await page.evaluate(f"{form}.requestSubmit()")
        answer = await until_shown(page, "document.querySelector('#request_code figure[role=status] pre')?.textContent")

        assert '"status": "sent"' in answer
        assert page.complaints == []
        assert {urlsplit(request.partition(" ")[2]).path for request in page.requests} == {
            "/docs/sign-in",
            "/openapi.json",
            "/api/auth/request",
        }


SHOWN = "[...document.querySelectorAll('nav li')].filter(e => e.getClientRects().length).map(e => e.textContent)"


async def test_search_shows_the_operations_that_match(browser: Chromium, auth1: Auth1) -> None:
    async def search(text: str) -> Any:
        await page.evaluate(f"document.querySelector('nav input').value = {text!r}")
        await page.evaluate("document.querySelector('nav input').dispatchEvent(new Event('input'))")
        return await page.evaluate(SHOWN)

    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs")
        everything = await page.evaluate(SHOWN)

        assert await search("post ban") == [
            "POST /api/tenant/users/{user_id}/ban",
            "POST /api/tenant/users/{user_id}/unban",
        ]
        assert await search("create_tenant") == ["POST /api/admin/tenants"], "an operator operation is unfolded"
        assert await page.evaluate("document.querySelector('nav [role=status]').textContent") == "1 operation"
        assert await search("no such operation") == []
        assert await search("") == everything
        assert page.complaints == []


async def test_copy_button_copies_the_command_with_this_servers_address(browser: Chromium, auth1: Auth1) -> None:
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs/sign-in")
        await page.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
        await page.evaluate("document.querySelector('#request_code .copy').click()")

        copied = await until_shown(page, "window.copied")
        assert copied.startswith(f"curl -X POST {auth1.url}/api/auth/request")
        assert await until_shown(page, "document.querySelector('#request_code .copy').textContent") == "Copied"


async def test_page_without_scripts_has_the_index_and_no_controls(browser: Chromium, auth1: Auth1) -> None:
    async with browser.page(scripts=False) as page:
        await page.open(f"{auth1.url}/docs/sign-in")

        assert await page.evaluate("document.querySelectorAll('button, input').length") == 0
        assert "POST /api/auth/request" in await page.evaluate(SHOWN)
        command = await page.evaluate("document.querySelector('#request_code pre').textContent")
        assert command.startswith("curl -X POST http://localhost:3000/api/auth/request")


async def test_policy_blocks_an_injected_script(browser: Chromium, auth1: Auth1) -> None:
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs")
        await page.evaluate(
            "var s = document.createElement('script'); s.textContent = 'window.ran = 1'; document.body.append(s)"
        )
        reached = await page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0) && 1")

        assert reached == 1
        assert await page.evaluate("window.ran") is None
        assert any("Content Security Policy" in complaint for complaint in page.complaints)


async def test_docs_page_has_security_headers(auth1: Auth1) -> None:
    answer = await auth1.client.get("/docs/sign-in")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert set(re.findall(r"'(none|self|unsafe-[a-z]+|sha256)", policy)) == {"none", "self", "sha256"}
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http://localhost:3000" in answer.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
