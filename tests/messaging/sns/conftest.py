"""Fixtures of the SNS tests: a server in its place, an AWS environment, and a ready provider."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from auth1.messaging.providers.protocol import Failure, OutgoingMessage, SendError
from auth1.messaging.providers.sns import Sns
from auth1.tenants.settings import Senders
from tests.support.providers import sns as aws
from tests.support.providers.sns import SnsServer

TEXT = "Your Ünïcode & Söhne verification code is: 048291. Expires in 10 minutes."
RETRY_DELAYS_S = 5  # how often a connection that is not made in time is tried again


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


@pytest.fixture(scope="module")
async def sns(module_server: SnsServer) -> AsyncIterator[Sns]:
    """Return a ready provider."""
    provider = Sns("eu-central-1", None, timeout_scale=4)
    with pytest.MonkeyPatch.context() as patch:
        environment(patch, module_server)
        await provider.warm_up()
    yield provider
    await provider.close()


def to(phone: str) -> OutgoingMessage:
    return OutgoingMessage("tn_1", "msg_1", phone, TEXT, 600)


async def failure(sns: Sns, phone: str) -> tuple[Failure, str]:
    """Send a message that fails; check that the error has no personal data."""
    async with asyncio.timeout(300):
        for _ in range(RETRY_DELAYS_S):
            with pytest.raises(SendError) as caught:
                await sns.send(to(phone))
            assert phone not in str(caught.value)
            assert "048291" not in str(caught.value)
            if caught.value.code != "no_connection":
                break
    return caught.value.failure, caught.value.code


async def send(sns: Sns, phone: str, senders: Senders | None = None) -> str | None:
    """Send a message that succeeds, with retries for a slow machine."""
    async with asyncio.timeout(300):
        while True:
            try:
                return (await sns.send(to(phone)._replace(senders=senders or Senders()))).provider_message_id
            except SendError as error:
                if error.code not in ("not_ready", "no_connection"):  # with these nothing was sent
                    raise
