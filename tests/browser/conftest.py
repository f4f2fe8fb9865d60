"""A browser, and Auth1 as a real process."""

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from auth1.dev.processes import free_port
from tests.browser import chromium
from tests.browser.chromium import Chromium
from tests.support.process import Auth1
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer, answer

BROWSER = chromium.find()


@pytest.fixture(scope="session")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Chromium]:
    async with Chromium(BROWSER or "", tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@dataclass
class Site:
    """Auth1 as a real process, its mail server, and an app that links redirect to."""

    auth1: Auth1
    mail: SmtpServer
    app: TwilioServer  # any small HTTP server that keeps what it was sent
    tenant: dict[str, str] = field(default_factory=dict)

    @property
    def callback(self) -> str:
        return f"{self.app.url}/cb?from=auth1"

    async def link(self, **fields: object) -> tuple[str, dict[str, str]]:
        """Request a link; return it with the response."""
        email = f"{secrets.token_hex(6)}@example.com"
        body = {"email": email, "mode": "link"} | fields
        requested = await self.auth1.post("/api/auth/request", body, self.tenant["api_key"])
        assert requested.status_code == 200, requested.text
        return self.mail.newest(email).link, requested.json()

    async def retell(self, **settings: object) -> None:
        """Change settings of the tenant."""
        path = f"/api/admin/tenants/{self.tenant['tenant_id']}"
        assert (await self.auth1.operator("PATCH", path, {"settings": settings})).status_code == 200

    async def token(self, **grant: str) -> int:
        return (await self.auth1.post("/api/auth/token", grant, self.tenant["api_key"])).status_code


@pytest.fixture(scope="module")
async def site(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    port = str(free_port())
    log: Path = tmp_path_factory.mktemp("auth1") / "log"
    async with SmtpServer() as mail, TwilioServer(behaviour=answer(200, b"Welcome")) as app:
        changes = {
            "SMTP_URL": mail.url,
            "EMAIL_FROM": "no-reply@example.com",
            "PORT": port,
            "APP_URL": f"http://127.0.0.1:{port}",
            "CORS_ORIGINS": "https://app.example.com",  # the form comes from elsewhere all the same
        }
        async with Auth1(environment | changes, log) as auth1:
            site = Site(auth1, mail, app)
            settings = {"redirect_uris": [site.callback], "sms_branding": "MyApp & Söhne"}
            body = {"name": "My App", "slug": f"t{secrets.token_hex(6)}", "settings": settings}
            site.tenant = (await auth1.operator("POST", "/api/admin/tenants", body)).json()
            yield site
