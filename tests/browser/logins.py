"""Logins in the sandbox of a tenant, as the authorization endpoint creates them, and their pages in a browser."""

import json

import asyncpg
import httpx

from auth1.core.crypto import digest
from auth1.core.http.cookies import cookie_name
from auth1.core.ids import new_id
from auth1.pages import browser_cookie
from tests.browser.chromium import Page


class Logins:
    """Creates applications and logins of a tenant. `url` is where the browser finds Auth1."""

    def __init__(self, database: asyncpg.Connection, tenant: dict[str, str], url: str, callback: str) -> None:
        self.database = database
        self.tenant = tenant
        self.url = url
        self.callback = callback

    async def open(self, page: Page, step: str = "start", *, client: str = "Notes", **request: object) -> str:
        """Open the page of a new login; return its address. In the step `code` a code was sent to an email."""
        tenant_id, client_id, login_id = self.tenant["tenant_id"], await self._create_application(client), new_id("li")
        secret = browser_cookie.new_secret()
        asks = {"client_id": client_id, "redirect_uri": self.callback, "scopes": ["openid", "profile", "email"]}
        sent = ("ada@example.com", "email") if step in ("code", "consent") else (None, None)
        await self.database.execute(
            "insert into logins (tenant_id, id, browser_digest, client_id, request, step, identifier, channel,"
            " code_length, resend_at) values ($1, $2, $3, $4, $5, $6, $7, $8, 6, now() + interval '29.9 s')",
            *(f"{tenant_id}:test", login_id, digest(secret), client_id, json.dumps(asks | request), step, *sent),
        )
        for secure in (False, True):  # as APP_URL has https or not
            cookie = {"name": cookie_name(f"browser_{tenant_id}:test", secure=secure), "value": secret, "path": "/"}
            await page.call("Network.setCookie", **cookie, url=self.url, httpOnly=True, secure=secure, sameSite="Lax")
        address = f"{self.url}/t/{self.tenant['slug']}/test/login/{login_id}"
        await page.open(address)
        return address

    async def _create_application(self, name: str) -> str:
        """Return the id of a new application."""
        body = {"name": name, "kind": "web", "redirect_uris": [self.callback], "first_party": True}
        body |= {"id_token_alg": "ES256"}  # whose keys are made quickly
        headers = {"x-api-key": self.tenant["secret_key"]}
        async with httpx.AsyncClient(base_url=self.url) as http:
            created = await http.post("/api/tenant/applications", json=body, headers=headers)
        assert created.status_code == 201, created.text
        return str(created.json()["client_id"])
