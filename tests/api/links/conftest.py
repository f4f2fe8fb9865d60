"""A mail server, an application that sends through it, and a recipient."""

from collections.abc import AsyncIterator

import pytest

from tests.api.links.person import APP_URL, CALLBACK, Person, new_address
from tests.conftest import Door, Started
from tests.outside.smtp import SmtpServer


@pytest.fixture(scope="module")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="module")
async def mail_door(start_app: Started, mail_server: SmtpServer) -> Door:
    return await start_app(SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", APP_URL=APP_URL)


@pytest.fixture
async def person(mail_door: Door, mail_server: SmtpServer) -> Person:
    tenant = await mail_door.tenant(
        sms_branding="MyApp", rate_limit_per_hour=100, redirect_uris=[CALLBACK, "http://localhost:5173/?a=b"]
    )
    return Person(mail_door, mail_server, tenant, new_address())
