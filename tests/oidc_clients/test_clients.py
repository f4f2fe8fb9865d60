"""Each client logs in, refreshes and logs out by its configuration alone, at a tenant's issuer and at its sandbox's."""

import json
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.browser import chromium
from tests.browser.chromium import Chromium, Page
from tests.oidc_clients.clients import (
    APACHE,
    CLIENTS,
    INSTALLED,
    LOG,
    SINGLE_PAGE,
    START_S,
    Client,
    copy_node_scripts,
    free_port,
    running,
)
from tests.oidc_clients.visitor import Visitor
from tests.support.process import Auth1, until
from tests.support.providers.smtp import SmtpServer

pytestmark = pytest.mark.skipif(not INSTALLED.exists(), reason="`just oidc-clients` installs the clients")
SANDBOX_CODE = "000000"
BROWSER = chromium.find()
both_issuers = pytest.mark.parametrize("sandbox", [False, True], ids=["tenant", "sandbox"])


@pytest.fixture(scope="module")
async def mail() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def auth1(
    environment: dict[str, str], mail: SmtpServer, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Auth1]:
    port = str(free_port())
    changes = {"SMTP_URL": mail.url, "EMAIL_FROM": "no-reply@example.com", "PORT": port}
    changes["APP_URL"] = f"http://127.0.0.1:{port}"
    copy_node_scripts()
    async with Auth1(environment | changes, tmp_path_factory.mktemp("auth1") / "log") as auth1:
        yield auth1


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    async with Chromium(BROWSER or "", tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@dataclass
class Registered:
    """A client that is registered at a new tenant, and a new user of it."""

    url: str
    environment: dict[str, str]
    email: str
    read_code: Callable[[], str]


async def register(auth1: Auth1, mail: SmtpServer, client: Client, port: int, *, sandbox: bool) -> Registered:
    assert client.needs.exists(), "run `just oidc-clients`"
    tenant, url = await auth1.tenant(), f"http://127.0.0.1:{port}"
    body: dict[str, Any] = {
        "name": "Wiki",
        "kind": client.kind,
        "redirect_uris": [url + client.callback],
        "logout_uris": [f"{url}/bye"],
        "require_pkce": client.uses_pkce,
    }
    applications = f"/api/admin/tenants/{tenant['tenant_id']}/applications"
    application = (await auth1.operator("POST", applications, body)).json()
    environment = {
        "ISSUER": f"{auth1.url}/t/{tenant['slug']}" + ("/test" if sandbox else ""),
        "CLIENT_ID": application["client_id"],
        "CLIENT_SECRET": application.get("client_secret", ""),
    }
    email = f"{secrets.token_hex(6)}@example.com"
    return Registered(url, environment, email, lambda: SANDBOX_CODE if sandbox else mail.newest(email).code)


@both_issuers
@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
async def test_client_logs_in_refreshes_and_logs_out(
    auth1: Auth1, mail: SmtpServer, tmp_path: Path, client: Client, sandbox: bool
) -> None:
    registered = await register(auth1, mail, client, port := free_port(), sandbox=sandbox)
    url, email = registered.url, registered.email
    visitor, log = Visitor(email, registered.read_code), tmp_path / LOG

    async with visitor.client, running(client, tmp_path, port, registered.environment) as start:
        shown = await visitor.open(start)
        assert email in shown.text, (visitor.steps, shown.text)
        if client.refreshed is not None:
            await until_logged(visitor, url + (client.refresh or ""), log, client.refreshed.format(email=email))
        elif client.refresh is not None:
            before = shown.json()
            after = (await visitor.open(url + client.refresh.format(url=url, **before))).json()
            assert (after["email"], after["sub"]) == (email, before["sub"])
            assert after.get("rotated") or after["refresh_token"] != before["refresh_token"]
        if client.logout:
            ended = await visitor.open(url + client.logout.format(url=url))
            assert ended.url.path == "/bye" or not client.comes_back, visitor.steps
            visitor.read_code = None
            assert "/login/" in (await visitor.open(start)).url.path, "the session has ended at Auth1, too"


@both_issuers
async def test_apache_refreshes_an_access_token_before_it_expires(
    auth1: Auth1, mail: SmtpServer, tmp_path: Path, sandbox: bool
) -> None:
    registered = await register(auth1, mail, APACHE, port := free_port(), sandbox=sandbox)
    visitor = Visitor(registered.email, registered.read_code)

    async with visitor.client, running(APACHE, tmp_path, port, registered.environment) as start:
        kept = [(await visitor.open(f"{registered.url}/kept/")).json() for _ in range(2)]
        fresh = [(await visitor.open(start)).json() for _ in range(2)]

    assert kept[0] == kept[1]
    assert {tokens["email"] for tokens in kept + fresh} == {registered.email}
    assert len({tokens["access_token"] for tokens in kept + fresh}) == 3
    assert len({tokens["refresh_token"] for tokens in kept + fresh}) == 3


def read_text(log: Path) -> str:
    return log.read_text(errors="replace")


async def until_logged(visitor: Visitor, url: str, log: Path, line: str) -> None:
    """Open a page until the client has logged a line."""

    async def is_logged() -> bool:
        page = await visitor.open(url)
        assert (page.status_code, visitor.identifier in page.text) == (200, True), visitor.steps
        return line in read_text(log)

    await until(is_logged, START_S, lambda: f"not logged: {line}")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
@both_issuers
async def test_single_page_application_logs_in_refreshes_and_logs_out(
    auth1: Auth1, mail: SmtpServer, browser: Chromium, tmp_path: Path, sandbox: bool
) -> None:
    registered = await register(auth1, mail, SINGLE_PAGE, port := free_port(), sandbox=sandbox)

    async with running(SINGLE_PAGE, tmp_path, port, registered.environment) as start, browser.page() as page:
        await page.open(start)
        await page.until("document.activeElement.id == 'identifier'")
        await page.type_and_enter(registered.email)
        await page.until("document.activeElement.id == 'code'")
        await page.type_and_enter(registered.read_code())
        await page.until("document.title.startsWith('Allow Wiki')")
        await page.evaluate("document.querySelector('button[value=allow]').click()")
        profile = await shown(page, "sub")
        assert profile["email"] == registered.email
        await page.evaluate("document.querySelector('#refresh').click()")
        refreshed = await shown(page, "rotated")
        assert (refreshed["rotated"], refreshed["sub"], refreshed["email"]) == (
            *(True, profile["sub"]),
            registered.email,
        )
        await page.evaluate("document.querySelector('#logout').click()")
        assert await shown(page, "bye") == {"bye": True}
        await page.open(start)
        await page.until("document.activeElement.id == 'identifier'")
        assert "/login/" in await page.evaluate("location.pathname"), "the session has ended at Auth1, too"


async def shown(page: Page, key: str) -> dict[str, Any]:
    """Wait until the application shows an object with a key or an error; return the object."""
    text = "document.querySelector('main')?.textContent"
    await page.until(f"document.title == 'Notes' && /\"({key}|error)\":/.test({text})")
    found: dict[str, Any] = json.loads(await page.evaluate(text))
    assert "error" not in found, found
    return found
