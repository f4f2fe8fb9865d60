"""Fixtures of the hook tests: a server in the place of the hooks, an application that may call it, and a user."""

from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest

from tests.conftest import Started
from tests.hooks.user import HookServer, HookUser
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import TwilioServer

ALLOWED = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8"}


@pytest.fixture(scope="package")
async def hook_server() -> AsyncIterator[HookServer]:
    async with HookServer() as server:
        yield server


@pytest.fixture(scope="package")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="package")
async def hooks_api(start_app: Started, mail_server: SmtpServer) -> ApiClient:
    return await start_app(SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com", **ALLOWED)


@pytest.fixture(scope="package")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


NewUser = Callable[..., Awaitable[HookUser]]


@pytest.fixture
def new_user(
    hooks_api: ApiClient, twilio_server: TwilioServer, hook_server: HookServer, database: asyncpg.Connection
) -> NewUser:
    """Create a user of a new tenant without hooks."""

    async def make(api: ApiClient | None = None, **settings: object) -> HookUser:
        tenant = await hooks_api.tenant(**settings)
        return HookUser([api or hooks_api], tenant, twilio_server, hook_server, database)

    return make


@pytest.fixture
async def user(new_user: NewUser) -> HookUser:
    return await new_user()
