"""The API reference in a real browser: light and dark, without scripts, and with "Try it"."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest

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


@pytest.mark.parametrize("scripts", [True, False])
async def test_docs_page_follows_its_policy_and_loads_nothing(browser: Chromium, auth1: Auth1, scripts: bool) -> None:
    async with browser.page(scripts=scripts) as page:
        await page.open(f"{auth1.url}/docs")

        assert page.complaints == []
        assert page.requests == [f"GET {auth1.url}/docs"]
        assert await page.evaluate("getComputedStyle(document.querySelector('header')).position") == "sticky"
        assert await page.evaluate("document.querySelectorAll('.sheets > button').length > 0") is scripts


async def test_every_operation_schema_and_error_can_be_linked_to(browser: Chromium, auth1: Auth1) -> None:
    document = described.snapshot()
    wanted = {operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()}
    wanted |= {f"schema-{name}" for name in document["components"]["schemas"]}
    codes = set(document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"])

    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs")
        ids = await page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
        links = await page.evaluate("[...document.querySelectorAll('a[href]')].map(e => e.getAttribute('href'))")

        assert len(set(ids)) == len(ids)
        assert wanted <= set(ids)
        assert {f"error-{code}" for code in codes} <= set(ids)
        assert {link[1:] for link in links if link.startswith("#")} <= set(ids), "no link leads nowhere"
        assert {link for link in links if not link.startswith("#")} == {"/openapi.json"}
        assert {link for link in links if link[1:] in wanted and not link.startswith("#schema-")} >= {
            f"#{operation['operationId']}" for verbs in document["paths"].values() for operation in verbs.values()
        }


@pytest.mark.parametrize("dark", [False, True])
async def test_docs_page_is_accessible(browser: Chromium, auth1: Auth1, dark: bool) -> None:
    async with browser.page(dark=dark) as page:
        await page.open(f"{auth1.url}/docs")
        await page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")

        # Links within a sentence may be as low as its lines (WCAG 2.2, 2.5.8).
        assert [fault for fault in await accessibility.faults(page) if not fault.startswith("2.5.8")] == []
        heights = "[...document.querySelectorAll('nav a, button')].map(e => e.getBoundingClientRect().height)"
        assert min(await page.evaluate(heights)) >= 24
        ground = await page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (int(re.findall(r"\d+", ground)[0]) < 64) is dark


@pytest.mark.parametrize("width", [360, 800, 1400])
async def test_docs_page_fits_every_screen(browser: Chromium, auth1: Auth1, width: int) -> None:
    async with browser.page() as page:
        await page.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500
        )
        await page.open(f"{auth1.url}/docs")

        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_docs_page_has_landmarks_for_screen_readers(browser: Chromium, auth1: Auth1) -> None:
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs")

        roles = await page.roles()
        for role, name in (("main", ""), ("navigation", "Contents"), ("heading", "Auth1"), ("heading", "Errors")):
            assert (role, name) in roles
        assert await page.evaluate("document.documentElement.lang") == "en"
        assert {name for role, name in roles if role == "button"} == {"Try it"}


async def test_operation_can_be_run_from_the_docs_page(browser: Chromium, auth1: Auth1) -> None:
    tenant = await auth1.tenant()
    form = "document.querySelector('#request_code form')"
    async with browser.page() as page:
        await page.open(f"{auth1.url}/docs")
        await page.evaluate("document.querySelector('#request_code .sheets > button').click()")
        await until_shown(page, f"!!{form}")
        await page.evaluate(f"{form}.querySelector('input').value = '{tenant['test_key']}'")
        await page.evaluate(f"{form}.requestSubmit()")
        answer = await until_shown(page, "document.querySelector('#request_code figure[role=status] pre')?.textContent")

        assert '"status": "sent"' in answer
        assert page.complaints == []
        assert {urlsplit(request.partition(" ")[2]).path for request in page.requests} == {
            "/docs",
            "/openapi.json",
            "/api/auth/request",
        }


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
    answer = await auth1.client.get("/docs")

    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert set(re.findall(r"'(none|self|unsafe-[a-z]+|sha256)", policy)) == {"none", "self", "sha256"}
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "http://localhost:3000" in answer.text
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', answer.text)
