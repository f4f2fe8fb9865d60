"""Somebody with an account, an application that sends SMS and mail, and what the database says."""

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
    """A connection of the tests' own, for what the front door does not show."""
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
    """Let somebody log in: by a phone of their own and with the publishable key, unless told otherwise."""

    async def make(key: str = "api_key", **fields: Any) -> Member:
        member = Member(account_door, twilio_server, mail_server, database, tenant, tenant[key], **fields)
        await member.log_in()
        return member

    return make


@pytest.fixture
async def member(new_member: NewMember) -> Member:
    """Somebody who has logged in by phone."""
    return await new_member()
