"""Fixtures of the SNS tests: a server in its place, an AWS environment, and a ready provider."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError
from auth1.messaging.providers.sns import Sns
from auth1.tenants.settings import Senders
from tests.support.providers import sns as aws
from tests.support.providers.sns import SnsServer

TEXT = "Your Ünïcode & Söhne verification code is: 048291. Expires in 10 minutes."
PATIENT = 60.0  # scale of all deadlines where no deadline is tested: a busy machine may take seconds to connect
BRIEF = 2.0  # scale where one is: 1.8 s to connect, 3 s in all


@pytest.fixture(scope="module")
async def module_server() -> AsyncIterator[SnsServer]:
    async with SnsServer() as server:
        yield server


def environment(patch: pytest.MonkeyPatch, server: SnsServer) -> None:
    """Set the server and credentials as AWS clients read them, and hide the AWS settings of this machine."""
    for proxy in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "no_proxy"):
        patch.delenv(proxy, raising=False)
    for name in list(os.environ):
        if name.startswith("AWS_"):
            patch.delenv(name)
    patch.setenv("AWS_ENDPOINT_URL_SNS", server.url)
    patch.setenv("AWS_ACCESS_KEY_ID", aws.ACCESS_KEY_ID)
    patch.setenv("AWS_SECRET_ACCESS_KEY", aws.SECRET_ACCESS_KEY)
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.fixture
def server(module_server: SnsServer, monkeypatch: pytest.MonkeyPatch) -> SnsServer:
    """Return a server in SNS's place that accepts messages by default."""
    environment(monkeypatch, module_server)
    module_server.behaviour = aws.take
    module_server.script.clear()
    module_server.requests.clear()
    return module_server


@asynccontextmanager
async def ready(server: SnsServer, timeout_scale: float) -> AsyncIterator[Sns]:
    """Return a provider that has loaded its data and credentials."""
    provider = Sns("eu-central-1", None, timeout_scale=timeout_scale)
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, server)
        await provider.warm_up()
    yield provider
    await provider.close()


@pytest.fixture(scope="module")
async def sns(module_server: SnsServer) -> AsyncIterator[Sns]:
    """Return a ready provider."""
    async with ready(module_server, PATIENT) as provider:
        yield provider


@pytest.fixture
async def brief_sns(server: SnsServer) -> AsyncIterator[Sns]:
    """Return a ready provider for tests of its deadline."""
    async with ready(server, BRIEF) as provider:
        yield provider


def to(phone: str) -> OutgoingMessage:
    return OutgoingMessage("tn_1", "msg_1", phone, TEXT, 600)


async def failure(sns: Sns, phone: str) -> tuple[Failure, str]:
    """Send a message that fails; check that the error has no personal data."""
    with pytest.raises(SendError) as caught:
        await sns.send(to(phone))
    assert phone not in str(caught.value)
    assert "048291" not in str(caught.value)
    return caught.value.failure, caught.value.code


async def send(sns: Sns, phone: str, senders: Senders | None = None) -> str | None:
    """Send a message that succeeds; return its id."""
    return (await sns.send(to(phone)._replace(senders=senders or Senders()))).provider_message_id
