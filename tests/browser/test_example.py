"""The page of examples/web in Chromium, on `auth1 dev`: sign in, refresh, sessions, sign out."""

import asyncio
import json
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from auth1.cli.dev import EXAMPLE_REDIRECT_URIS
from tests.browser import accessibility
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER
from tests.browser.test_inbox import until
from tests.conftest import new_phone
from tests.inbox.conftest import Dev, dev

__all__ = ["dev"]
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")

EXAMPLE = Path(__file__).parents[2] / "examples" / "web"
SIGNED_IN = "!document.querySelector('#account-view').hidden && document.querySelector('#sessions').children.length"
SIGNED_OUT = "!document.querySelector('#sign-in-view').hidden"


class _Files(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # its name in the base class
        """Print nothing."""


@dataclass
class Example:
    """The example behind a static file server, and the `auth1 dev` that it uses."""

    dev: Dev
    url: str

    async def open(self, page: Page) -> None:
        await page.open(f"{self.url}?key={self.dev.key}")
        await until(page, f"{SIGNED_OUT} && location.search === ''")

    async def newest(self, to: str) -> str:
        """Wait for a message to a phone or email; return the text of the newest one."""
        while True:
            for message in await self.dev.messages():
                if message["to"] == to:
                    return str(message["text"])
            await asyncio.sleep(0.05)

    async def sign_in(self, page: Page, phone: str) -> None:
        await self.open(page)
        await submit(page, "phone", phone)
        await until(page, "!document.querySelector('#code-view').hidden")
        code = re.search(r"code is: (\d{6})", await self.newest(phone))
        assert code is not None
        await submit(page, "code", code[1])
        await until(page, SIGNED_IN)


async def submit(page: Page, name: str, value: str) -> None:
    """Fill in the field of a form and press its first button."""
    field = f"document.querySelector('#{name}')"
    await page.evaluate(f"{field}.value = {json.dumps(value)}; {field}.form.querySelector('button').click()")


async def press(page: Page, button: str) -> None:
    await page.evaluate(f"document.querySelector('{button}').click()")


def token_requests(*pages: Page) -> int:
    """Return how often pages called the token endpoint."""
    requests = [request for page in pages for request in page.requests]
    return sum(r.startswith("POST") and urlsplit(r.split()[1]).path == "/api/auth/token" for r in requests)


@pytest.fixture(scope="module")
def files(dev: Dev, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a copy of the example that calls the `auth1 dev` of the tests."""
    directory = shutil.copytree(EXAMPLE, tmp_path_factory.mktemp("example") / "web")
    page = directory / "index.html"
    assert page.read_text().count("http://localhost:3000") == 2
    page.write_text(page.read_text().replace("http://localhost:3000", dev.server.url))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Files, directory=str(directory))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
async def example(dev: Dev, files: str) -> Example:
    """The example, allowed as a redirect URI beside those that `auth1 dev` allows by default."""
    secret_key = re.search(r"auth1_sk_demo_\w+", dev.server.text())
    assert secret_key is not None
    headers = {"x-api-key": secret_key[0]}
    settings = (await dev.client.get("/api/tenant/settings", headers=headers)).json()
    assert settings["redirect_uris"] == list(EXAMPLE_REDIRECT_URIS)
    changes = {"redirect_uris": [*EXAMPLE_REDIRECT_URIS, files]}
    assert (await dev.client.patch("/api/tenant/settings", headers=headers, json=changes)).status_code == 200
    return Example(dev, files)


@pytest.mark.parametrize("dark", [False, True])
async def test_phone_code_signs_in_and_sign_out_ends_the_session(
    browser: Chromium, example: Example, dark: bool
) -> None:
    phone = new_phone()
    async with browser.page(dark=dark) as page:
        await example.open(page)
        assert await accessibility.faults(page) == []

        await example.sign_in(page, phone)
        assert await page.evaluate("document.querySelector('#identifier').textContent") == phone
        assert await page.evaluate("document.activeElement.id") == "account"
        assert await accessibility.faults(page) == []

        await press(page, "#sign-out")
        await until(page, SIGNED_OUT)
        assert await page.evaluate("localStorage.getItem('auth1.tokens')") is None
        assert page.complaints == []


async def test_wrong_code_is_explained_and_can_be_corrected(browser: Chromium, example: Example) -> None:
    phone = new_phone()
    async with browser.page() as page:
        await example.open(page)
        await submit(page, "phone", phone)
        await until(page, "!document.querySelector('#code-view').hidden")
        code = re.findall(r"\d{6}", await example.newest(phone))[0]
        await submit(page, "code", f"{(int(code) + 1) % 10**6:06}")
        await until(page, "document.querySelector('[role=alert]').textContent.length > 5")
        assert await accessibility.faults(page) == []

        await submit(page, "code", code)
        await until(page, SIGNED_IN)
        assert await page.evaluate("document.querySelector('[role=alert]').textContent") == ""


async def test_email_link_returns_with_a_code_that_pkce_exchanges(browser: Chromium, example: Example) -> None:
    email = "ann.link@example.com"
    async with browser.page() as page, browser.page(beside=page) as mail:
        await example.open(page)
        await submit(page, "email", email)
        await until(page, "document.querySelector('[role=status]').textContent.startsWith('We sent a link')")
        link = re.search(r"https?://\S+/api/auth/link/\S+", await example.newest(email))
        assert link is not None

        await mail.open(link[0])
        await mail.press_tab_and_enter()
        await until(mail, SIGNED_IN)

        assert await mail.evaluate("document.querySelector('#identifier').textContent") == email
        assert await mail.evaluate("location.href") == example.url, "the code is not in the address"
        assert await mail.evaluate("localStorage.getItem('auth1.code_verifier')") is None
        await until(page, SIGNED_IN)  # the first tab notices
        assert page.complaints + mail.complaints == []


async def test_link_in_another_browser_does_not_sign_in(browser: Chromium, example: Example) -> None:
    email = "ann.elsewhere@example.com"
    async with browser.page() as page, browser.page() as elsewhere:
        await example.open(page)
        await submit(page, "email", email)
        await until(page, "document.querySelector('[role=status]').textContent.startsWith('We sent a link')")
        link = re.search(r"https?://\S+/api/auth/link/\S+", await example.newest(email))
        assert link is not None
        await example.open(elsewhere)

        await elsewhere.open(link[0])
        await elsewhere.press_tab_and_enter()

        await until(elsewhere, "document.querySelector('[role=alert]').textContent.startsWith('Open the link in')")
        assert await elsewhere.evaluate(SIGNED_OUT)


async def test_two_tabs_refresh_expired_tokens_once(browser: Chromium, example: Example) -> None:
    async with browser.page() as page, browser.page(beside=page) as other:
        await example.sign_in(page, new_phone())
        await other.open(example.url)
        await until(other, SIGNED_IN)
        before = json.loads(await page.evaluate("localStorage.getItem('auth1.tokens')"))

        await page.evaluate(
            f"localStorage.setItem('auth1.tokens', '{json.dumps(before | {'expires_at': 0})}');"
            "dispatchEvent(new StorageEvent('storage', {key: 'auth1.tokens'}))"  # browsers send it to other tabs only
        )
        valid = "JSON.parse(localStorage.getItem('auth1.tokens')).expires_at > Date.now()"
        await asyncio.gather(until(page, valid), until(other, valid))
        await asyncio.gather(until(page, SIGNED_IN), until(other, SIGNED_IN))

        after = json.loads(await other.evaluate("localStorage.getItem('auth1.tokens')"))
        assert after["refresh_token"] != before["refresh_token"]
        assert after["session_id"] == before["session_id"]
        assert token_requests(page, other) == 1

        await press(other, "#refresh")
        await until(other, "document.querySelector('[role=status]').textContent === 'The tokens are new.'")
        assert token_requests(page, other) == 2
        assert page.complaints + other.complaints == []


async def test_session_is_ended_from_the_list_of_another_session(browser: Chromium, example: Example) -> None:
    phone = new_phone()
    async with browser.page() as page, browser.page() as other:
        await example.sign_in(other, phone)
        await example.sign_in(page, phone)
        await until(page, "document.querySelectorAll('#sessions li').length === 2")
        assert await accessibility.faults(page) == []

        await press(page, "#sessions button")
        await until(page, "document.querySelectorAll('#sessions li').length === 1")
        await press(other, "#refresh")

        await until(other, SIGNED_OUT)
        assert await other.evaluate("document.querySelector('[role=alert]').textContent.length > 5")
        assert await other.evaluate("localStorage.getItem('auth1.tokens')") is None
        assert page.complaints == []


async def test_request_that_needs_a_proof_is_solved_and_sent(browser: Chromium, example: Example) -> None:
    key = re.search(r"auth1_test_demo_\w+", example.dev.server.text())
    assert key is not None
    async with browser.page() as page:
        await page.open(f"{example.url}?key={key[0]}")
        await until(page, f"{SIGNED_OUT} && location.search === ''")
        await submit(page, "phone", "+15005550006")
        await until(page, "!document.querySelector('#code-view').hidden")
        await submit(page, "code", "000000")
        await until(page, SIGNED_IN)
