"""A hostile site in Chromium: framed pages, forged forms, planted cookies, and sign-ins that it began itself.

As in production, all is https. One hostile site shares the domain with Auth1, so that the browser sends it Lax cookies;
the other shares none.
"""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest

from auth1.core.crypto import s256
from auth1.core.http.cookies import cookie_name
from auth1.dev.processes import free_port
from tests.browser.chromium import Chromium, Page
from tests.browser.conftest import BROWSER
from tests.browser.tls_hosts import APP, AUTH, DOMAIN, OTHER, SIBLING, Sites, tls_proxy, tls_sites
from tests.support.process import Auth1

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
hostile_hosts = pytest.mark.parametrize("host", [SIBLING, OTHER], ids=["sibling", "other"])


@dataclass
class Attack:
    """Auth1 at its host, an application of a tenant, and the hostile sites. Logins are those of the sandbox."""

    browser: Chromium
    sites: Sites
    url: str
    tenant: dict[str, Any]
    client_id: str = ""

    @property
    def issuer(self) -> str:
        return f"{self.url}/t/{self.tenant['slug']}/test"

    @property
    def cookie_names(self) -> list[str]:
        bases = [f"{kind}_{self.tenant['tenant_id']}:test" for kind in ("browser", "session")]
        return [cookie_name(base, secure=True) for base in bases]

    def authorize(self, **changes: str) -> str:
        """Return the address of an authorization request."""
        sent = {"client_id": self.client_id, "redirect_uri": self.sites.url(APP, "/callback"), "scope": "openid email"}
        sent |= {"response_type": "code", "code_challenge": s256("v" * 43), "code_challenge_method": "S256"}
        return f"{self.issuer}/authorize?{urlencode(sent | changes)}"

    @asynccontextmanager
    async def page(self) -> AsyncIterator[Page]:
        """Open a page of a new browser, which accepts the certificate."""
        async with self.browser.page() as page:
            await page.call("Security.setIgnoreCertificateErrors", ignore=True)
            yield page

    async def begin(self, page: Page, email: str, **changes: str) -> str:
        """Bring a browser to the page of the code; return the address of its login."""
        await page.open(self.authorize(**changes))
        await page.type_and_enter(email)
        await page.until("document.activeElement.id == 'code'")
        address: str = await page.evaluate("location.href")
        return address

    async def sign_in(self, page: Page) -> str:
        """Sign a new user in; return the email."""
        email = f"{secrets.token_hex(6)}@example.com"
        await self.begin(page, email)
        await page.type_and_enter("000000")
        await page.until(f"location.hostname == '{APP}'")
        return email

    async def account(self, page: Page) -> str:
        """Return the text of the account page, or of the sign-in where the browser has no session."""
        await page.open(f"{self.issuer}/account")
        text: str = await page.evaluate("document.body.innerText")
        return text

    async def cookies(self, page: Page) -> dict[str, dict[str, Any]]:
        """Return the cookies that the browser sends to Auth1."""
        found = (await page.call("Network.getCookies", urls=[f"{self.issuer}/login/x"]))["cookies"]
        return {cookie["name"]: cookie for cookie in found}


@pytest.fixture(scope="module")
async def attack(
    browser: Chromium, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Attack]:
    directory, port = tmp_path_factory.mktemp("hostile"), free_port()
    async with tls_sites(directory) as (sites, context), tls_proxy(context, port) as url:
        changes = {"PORT": str(port), "APP_URL": url}
        async with Auth1(environment | changes, directory / "log") as auth1:
            attack = Attack(browser, sites, url, await auth1.tenant())
            body = {"name": "Notes", "kind": "web", "redirect_uris": [sites.url(APP, "/callback")], "first_party": True}
            applications = f"/api/admin/tenants/{attack.tenant['tenant_id']}/applications"
            created = await auth1.operator("POST", applications, body | {"id_token_alg": "ES256"})
            attack.client_id = created.json()["client_id"]
            yield attack


@hostile_hosts
async def test_no_page_of_auth1_is_shown_in_a_frame(attack: Attack, host: str) -> None:
    async with attack.page() as page:
        await attack.sign_in(page)
        login = await attack.begin(page, "ada@example.com", prompt="login")
        framed = [
            *(login, f"{attack.issuer}/account", f"{attack.issuer}/logout"),
            attack.authorize(client_id="unknown"),
        ]
        begun = [attack.authorize(prompt=prompt) for prompt in ("consent", "select_account", "login")]
        frames = "".join(f'<iframe src="{url.replace("&", "&amp;")}"></iframe>' for url in framed + begun)
        attack.sites.pages["/frames"] = frames + f'<iframe src="{attack.sites.url(APP, "/allowed")}"></iframe>'
        page.complaints.clear()
        page.requests.clear()
        await page.open(attack.sites.url(host, "/frames"))

        answers = [url for url in page.requests if url.startswith(f"GET {attack.sites.url(APP, '/callback')}?error=")]
        assert len(answers) == len(begun), "the application learns that no page was shown"
        blocked = [complaint for complaint in page.complaints if "frame-ancestors 'none'" in complaint]
        assert len(blocked) == len(framed), page.complaints


@hostile_hosts
async def test_forms_and_links_of_another_site_change_nothing(attack: Attack, host: str) -> None:
    async with attack.page() as page:
        email = await attack.sign_in(page)
        login = await attack.begin(page, "ada@example.com", prompt="login")
        forms = [
            (login, {"do": "verify", "step": "code", "code": "000000"}),
            (login, {"do": "cancel", "step": "code"}),
            (f"{attack.issuer}/account", {"do": "erase", "step": "erase"}),
            (f"{attack.issuer}/account", {"do": "sign_out"}),
            (f"{attack.issuer}/logout", {"token": "x", "csrf": "x"}),
            (
                f"{attack.issuer}/authorize",
                dict(parse_qsl(urlsplit(attack.authorize(state="s" * 9000)).query)),
            ),
            (f"{attack.issuer}/logout", {}),
        ]
        attack.sites.pages["/forms"] = (
            f'<img src="{attack.issuer}/logout"><script src="{attack.issuer}/logout"></script>'
        )
        for url, fields in forms:
            await page.open(attack.sites.url(host, "/forms"))
            await page.evaluate(f"({_SUBMIT})({json.dumps(url)}, {json.dumps(fields)})")
            await page.until(f"location.hostname == '{AUTH}' && document.readyState == 'complete'")
        await page.open(attack.sites.url(host, "/forms"))
        for url, fields in forms:
            await page.call(
                "Runtime.evaluate",
                expression=f"({_FETCH})({json.dumps(url)}, {json.dumps(fields)})",
                awaitPromise=True,
            )

        assert email in await attack.account(page)
        await page.open(login)
        assert await page.evaluate("document.title") == "Enter your code", "the sign-in is where it was"


async def test_cookies_of_a_sibling_host_sign_no_browser_in(attack: Attack) -> None:
    """Login CSRF and session fixation: the browser gets cookies and a sign-in of the attacker."""
    async with attack.page() as attacker, attack.page() as page:
        attackers_email = await attack.sign_in(attacker)
        login = await attack.begin(attacker, "mallory@example.com", prompt="login")
        stolen = {name: cookie["value"] for name, cookie in (await attack.cookies(attacker)).items()}
        assert sorted(stolen) == sorted(attack.cookie_names)
        await plant(attack, page, stolen)

        await page.open(login)
        assert await page.evaluate("document.title") == "This sign-in has expired"
        assert attackers_email not in await attack.account(page)
        await page.until("document.activeElement.id == 'identifier'")  # after the page is loaded

        email = await attack.sign_in(page)
        await plant(attack, page, stolen)
        assert email in await attack.account(page)
        assert attackers_email in await attack.account(attacker)
        owned = await attack.cookies(page)
        assert {owned[name]["value"] for name in attack.cookie_names}.isdisjoint(stolen.values())


async def test_sign_in_changes_the_cookies_which_only_auth1_reads(attack: Attack) -> None:
    async with attack.page() as page:
        await attack.begin(page, "ada@example.com")
        before = await attack.cookies(page)
        await page.type_and_enter("000000")
        await page.until(f"location.hostname == '{APP}'")
        after = await attack.cookies(page)
        await attack.account(page)

        browser, session = attack.cookie_names
        assert (list(before), sorted(after)) == ([browser], [browser, session])
        assert before[browser]["value"] != after[browser]["value"]
        for cookie in after.values():
            assert (cookie["domain"], cookie["path"], cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (
                *(AUTH, "/"),
                *(True, True, "Lax"),
            )
        assert await page.evaluate("document.cookie") == ""


async def plant(attack: Attack, page: Page, stolen: dict[str, str]) -> None:
    """Let a sibling host set the cookies in each way that a browser, or a server, might take for ours."""
    planted = []
    for name, value in stolen.items():
        for spelling in (name, name.replace("__Host-", "__host-"), name.removeprefix("__Host-"), f"={name}"):
            planted += [f"{spelling}={value}; Domain={DOMAIN}; Path=/; Secure", f"{spelling}={value}; Domain={DOMAIN}"]
            planted.append(f"{spelling}={value}; Domain={DOMAIN}; Path=/t; Secure")
    attack.sites.cookies["/plant"] = planted
    await page.open(attack.sites.url(SIBLING, "/plant"))
    for cookie in planted:
        await page.evaluate(f"document.cookie = {json.dumps(cookie)}")
    shared = {name for name, cookie in (await attack.cookies(page)).items() if cookie["domain"] == f".{DOMAIN}"}
    assert shared == {name.removeprefix("__Host-") for name in stolen}, "only names without the prefix"


_SUBMIT = """(url, fields) => {
  const form = Object.assign(document.createElement("form"), { method: "post", action: url });
  for (const [name, value] of Object.entries(fields))
    form.append(Object.assign(document.createElement("input"), { name, value }));
  document.body.append(form);
  form.submit();
}"""
_FETCH = """(url, fields) => fetch(url, {
  method: "POST", mode: "no-cors", credentials: "include", body: new URLSearchParams(fields),
}).catch(() => 0)"""
