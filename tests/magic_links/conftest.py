"""A mail server, an application that sends through it, and a recipient."""

from collections.abc import AsyncIterator

import pytest

from tests.conftest import Started
from tests.magic_links.user import APP_URL, CALLBACK, LinkUser, new_address
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def mail_api(start_app: Started, mail_server: SmtpServer) -> ApiClient:
    # Fifty concurrent calls wait for one row and for connections, on a busy machine longer than the deadlines allow.
    return await start_app(
        SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL, TIMEOUT_SCALE="20"
    )


@pytest.fixture
async def user(mail_api: ApiClient, mail_server: SmtpServer) -> LinkUser:
    tenant = await mail_api.tenant(
        sms_branding="MyApp", rate_limit_per_hour=100, redirect_uris=[CALLBACK, "http://localhost:5173/?a=b"]
    )
    return LinkUser([mail_api], tenant, mail_server, new_address())
