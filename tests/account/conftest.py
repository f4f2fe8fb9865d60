"""Fixtures of the account tests: a logged-in user and an application that sends SMS and email."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import asyncpg
import pytest

from tests.account.member import Member
from tests.conftest import Door, Started
from tests.outside.smtp import SmtpServer
from tests.outside.twilio import TwilioServer


@pytest.fixture(scope="package")
async def mail_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture(scope="package")
async def account_door(start_app: Started, mail_server: SmtpServer) -> Door:
    return await start_app(SMTP_URL=mail_server.url, EMAIL_FROM="no-reply@example.com")


@pytest.fixture(scope="package")
async def database(database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """Return a database connection of the test."""
    connection = await asyncpg.connect(database_url)
    yield connection
    await connection.close()


@pytest.fixture
async def tenant(account_door: Door) -> dict[str, Any]:
    return await account_door.tenant(sms_branding="MyApp")


NewMember = Callable[..., Awaitable[Member]]


@pytest.fixture
def new_member(
    account_door: Door,
    mail_server: SmtpServer,
    twilio_server: TwilioServer,
    database: asyncpg.Connection,
    tenant: dict[str, Any],
) -> NewMember:
    """Log a user in, by default with a new phone and the publishable key."""

    async def make(key: str = "api_key", **fields: Any) -> Member:
        member = Member(account_door, twilio_server, mail_server, database, tenant, tenant[key], **fields)
        await member.log_in()
        return member

    return make


@pytest.fixture
async def member(new_member: NewMember) -> Member:
    """Return a user that is logged in by phone."""
    return await new_member()
