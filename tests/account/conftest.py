"""Fixtures of the account tests: a logged-in user and an application that sends SMS and email."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.account.user import AccountUser
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer


@pytest.fixture(scope="package")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="package")
async def account_api(start_app: Started, mail_server: SmtpServer) -> ApiClient:
    return await start_app(SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com")


@pytest.fixture(scope="package")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def tenant(account_api: ApiClient) -> dict[str, Any]:
    return await account_api.tenant(sms_branding="MyApp")


NewUser = Callable[..., Awaitable[AccountUser]]


@pytest.fixture
def new_user(
    account_api: ApiClient,
    mail_server: SmtpServer,
    twilio_server: TwilioServer,
    database: asyncpg.Connection,
    tenant: dict[str, Any],
) -> NewUser:
    """Log a user in, by default with a new phone and the publishable key."""

    async def make(key: str = "api_key", **fields: Any) -> AccountUser:
        user = AccountUser([account_api], tenant, twilio_server, mail_server, database, key=key, **fields)
        await user.log_in()
        return user

    return make


@pytest.fixture
async def user(new_user: NewUser) -> AccountUser:
    """Return a user that is logged in by phone."""
    return await new_user()
