"""A mail server, an application that sends to it, and a recipient."""

import itertools
from collections.abc import AsyncIterator, Awaitable

import pytest

from auth1.config import smtp
from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError
from auth1.messaging.providers.smtp import Smtp
from auth1.templates.email import EmailContent
from tests.conftest import Started
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer

APP_URL = "https://auth.example.com"


SENDER = "no-reply@example.com"


_people = itertools.count()


@pytest.fixture(scope="module")
async def module_server() -> AsyncIterator[SmtpServer]:
    async with SmtpServer() as server:
        yield server


@pytest.fixture
def server(module_server: SmtpServer) -> SmtpServer:
    """Return a mail server that accepts everything by default."""
    module_server.on.clear()
    module_server.received.clear()
    return module_server


@pytest.fixture(scope="module")
async def mail_api(start_app: Started, module_server: SmtpServer) -> ApiClient:
    return await start_app(SMTP_URL=module_server.url, EMAIL_FROM=f"Auth1 <{SENDER}>", APP_URL=APP_URL)


@pytest.fixture
def person() -> str:
    return f"ann.{next(_people)}@example.com"


@pytest.fixture
async def provider(server: SmtpServer) -> AsyncIterator[Smtp]:
    provider = Smtp(smtp.read_smtp_url(server.url, SENDER), APP_URL)
    yield provider
    await provider.close()


def message(to: str = "ann@example.com", brand: str = "My App") -> OutgoingMessage:
    content = EmailContent(brand, f"Sign in to {brand}", "<p>Hello</p>")
    return OutgoingMessage("tn_1", "msg_" + "0" * 26, to, "Hello\n.\nWorld\n", 600, content)


async def failure_of(sending: Awaitable[object]) -> tuple[Failure, str]:
    with pytest.raises(SendError) as caught:
        await sending
    return caught.value.failure, caught.value.code


async def ask(api: ApiClient, person: str, **fields: object) -> tuple[int, dict[str, object]]:
    """Request a code for an address at a new tenant; return the status and body."""
    tenant = await api.tenant(sms_branding="MyApp")
    requested = await api.post("/api/auth/request", {"email": person, **fields}, tenant["api_key"])
    return requested.status_code, requested.json()
