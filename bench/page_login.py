"""Logins over the pages, in this process: what a browser and an application send, without a server in front."""

import html
import re
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qs, urlencode, urlsplit

from auth1.applications import service
from auth1.applications.records import NewApplication
from auth1.core.crypto import s256
from auth1.hosted import views
from auth1.services import Services
from auth1.templates.login_pages import render_login
from auth1.tenants.settings import OPERATOR, TenantAdmin
from bench.request_cpu import Api

CALLBACK = "https://app.example.com/callback"
VERIFIER = "v" * 43
_META = re.compile(r'http-equiv="refresh" content="0;url=([^"]+)"')
_HIDDEN = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Pages:
    """An application of the tenant, and browsers that log in to it over the pages."""

    def __init__(self, app: Any, client_id: str, secret: str, codes: dict[str, str], numbers: Any) -> None:
        self._app = app
        self._client = {"client_id": client_id, "client_secret": secret}
        self._codes = codes
        self._numbers = numbers
        self._issued: list[str] = []
        asks = {"client_id": client_id, "redirect_uri": CALLBACK, "response_type": "code"}
        asks |= {"scope": "openid", "state": "s", "nonce": "n", "code_challenge_method": "S256"}
        self._begin = f"/t/bench/authorize?{urlencode(asks | {'code_challenge': s256(VERIFIER)})}"
        self._browsers = 0
        self._rendered: list[Any] = []

    async def login(self) -> None:
        """Log a new browser in, up to the code for the application."""
        self._browsers += 1
        cookies: dict[str, str] = {}
        number = next(self._numbers)
        page = await self._follow("GET", self._begin, cookies)
        page = await self._submit(page, cookies, {"do": "proceed", "identifier": number})
        page = await self._submit(page, cookies, {"do": "verify", "code": self._codes.pop(number)})
        found = _META.search(page[1])
        if found is None:
            raise RuntimeError(page[1])
        self._issued.append(parse_qs(urlsplit(html.unescape(found[1])).query)["code"][0])

    async def tokens(self) -> None:
        """Exchange a code."""
        form = {"grant_type": "authorization_code", "code": self._issued.pop(), "redirect_uri": CALLBACK}
        status, _, body = await self._call(
            "POST", "/t/bench/token", {}, form | {"code_verifier": VERIFIER} | self._client
        )
        if status != 200:
            raise RuntimeError(f"{status} {body}")

    async def rendering(self) -> None:
        """Render the pages of the first login alone, with all their values."""
        for page in self._rendered:
            render_login(*page.args, **page.kwargs).encode()

    async def keep_rendered(self) -> None:
        """Log in once, and keep what is rendered for `rendering`. Call it before other logins."""
        with patch.object(views, "render_login", wraps=render_login) as pages:
            await self.login()
        self._rendered = pages.call_args_list

    @property
    def _address(self) -> str:
        """Return an address: pages are limited by address."""
        return f"2001:db8:{self._browsers // 50:x}::1"

    async def _submit(self, page: tuple[str, str], cookies: dict[str, str], typed: dict[str, str]) -> tuple[str, str]:
        path, text = page
        form = dict(_HIDDEN.findall(text[: text.index("</form>")]))
        return await self._follow("POST", path, cookies, form | typed)

    async def _follow(
        self, method: str, path: str, cookies: dict[str, str], form: dict[str, str] | None = None
    ) -> tuple[str, str]:
        """Call as a browser; return the path and text of the page after redirects."""
        while True:
            status, location, text = await self._call(method, path, cookies, form)
            if status != 303:
                if status != 200:
                    raise RuntimeError(f"{status} {text}")
                return path, text
            method, path, form = "GET", urlsplit(location).path, None

    async def _call(
        self, method: str, target: str, cookies: dict[str, str], form: dict[str, str] | None = None
    ) -> tuple[int, str, str]:
        path, _, query = target.partition("?")
        body = urlencode(form or {}).encode()
        headers = [(b"host", b"localhost:3000"), (b"accept-language", b"en"), (b"user-agent", b"a browser")]
        headers += [(b"cookie", f"{name}={value}".encode()) for name, value in cookies.items()]
        if form is not None:
            headers += [(b"content-type", b"application/x-www-form-urlencoded"), (b"content-length", b"%d" % len(body))]
            if cookies:
                headers += [(b"origin", b"http://localhost:3000"), (b"sec-fetch-site", b"same-origin")]
        scope = {"type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode()}
        scope |= {"query_string": query.encode(), "client": (self._address, 4000), "headers": headers}
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        await self._app(scope, receive, send)
        location = ""
        for name, value in sent[0]["headers"]:
            if name == b"location":
                location = value.decode()
            elif name == b"set-cookie":
                cookie, _, content = value.decode().partition(";")[0].partition("=")
                cookies[cookie] = content
        return sent[0]["status"], location, sent[1]["body"].decode()


async def open_pages(api: Api, services: Services) -> Pages:
    """Register an application of the tenant."""
    tenant = await services.tenants.find_slug("bench", sandbox=False)
    if tenant is None:
        raise RuntimeError("the tenant is missing")
    new = NewApplication(
        name="Shop", kind="web", scopes=[], id_token_alg="RS256", redirect_uris=[CALLBACK], first_party=True
    )
    created = await service.create_application(services, TenantAdmin(tenant.id, OPERATOR), new)
    assert created.secret is not None
    pages = Pages(api._app, created.application.client_id, created.secret, api._codes, api._numbers)
    await pages.keep_rendered()
    return pages
