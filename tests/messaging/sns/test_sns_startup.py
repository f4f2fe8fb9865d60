"""Startup of the SNS provider: credentials, and libraries that are loaded on first use."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from auth1.messaging.providers.protocol import Failure, SendError
from auth1.messaging.providers.sns import Sns
from tests.conftest import new_phone
from tests.messaging.sns.conftest import BRIEF, PATIENT, failure, send
from tests.support.providers import sns as aws
from tests.support.providers.sns import Request, SnsServer, hang, lend, lend_role, reject


async def test_missing_credentials_are_a_failure_until_they_are_set(
    server: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    with pytest.raises(SendError, match=r"configuration \(no_credentials\)"):
        await provider.warm_up()
    assert await failure(provider, phone) == (Failure.CONFIGURATION, "no_credentials")

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", aws.ACCESS_KEY_ID)

    assert await send(provider, phone)
    await provider.close()


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("AWS_PROFILE", "missing", "ProfileNotFound"),
        ("AWS_SECRET_ACCESS_KEY", "", "PartialCredentialsError"),
        ("AWS_ENDPOINT_URL_SNS", "http://", "ValueError"),
        ("HTTP_PROXY", "socks9://127.0.0.1", "ValueError"),
    ],
)
async def test_invalid_aws_environment_is_a_configuration_failure(
    server: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch, name: str, value: str, code: str
) -> None:
    monkeypatch.setenv(name, value)
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    with pytest.raises(SendError):
        await provider.warm_up()

    assert await failure(provider, phone) == (Failure.CONFIGURATION, code)
    await provider.close()


@pytest.fixture
def role(server: SnsServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SnsServer:
    """Return a role that is assumed with a web identity token, as in Kubernetes; STS is the same server."""
    token = tmp_path / "token"
    token.write_text("a web identity")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/auth1")
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    return server


async def test_role_is_assumed_once_for_concurrent_first_messages(role: SnsServer) -> None:
    role.script.append(lend_role("ASIAROLE"))
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)

    await asyncio.gather(*(send(provider, new_phone()) for _ in range(20)))

    await provider.close()
    assumed, *published = role.requests
    assert (assumed.form["Action"], assumed.form["WebIdentityToken"]) == ("AssumeRoleWithWebIdentity", "a web identity")
    assert len(published) == 20
    for request in published:
        assert aws.credential(request).startswith("ASIAROLE/")
        assert aws.is_signed(request)


@pytest.mark.parametrize(
    ("code", "status", "expected"),
    [("AccessDenied", 403, Failure.CONFIGURATION), ("InternalFailure", 500, Failure.TRANSIENT)],
)
async def test_failed_role_assumption_sends_nothing(
    role: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch, code: str, status: int, expected: Failure
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")  # retries take longer than a test should
    role.behaviour = reject(code, status=status)
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    with pytest.raises(SendError):
        await provider.warm_up()

    assert await failure(provider, phone) == (expected, code)
    assert role.published == []
    await provider.close()


async def test_unavailable_sts_is_transient_failure(
    role: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", f"http://127.0.0.1:{unused_tcp_port}")
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    with pytest.raises(SendError):
        await provider.warm_up()

    assert await failure(provider, phone) == (Failure.TRANSIENT, "no_credentials")
    await provider.close()


@pytest.fixture
def container(server: SnsServer, monkeypatch: pytest.MonkeyPatch) -> SnsServer:
    """Return a container metadata endpoint with credentials on the same server."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://localhost:{server.port}/credentials")
    return server


async def test_credentials_timeout_sends_nothing(container: SnsServer, phone: str) -> None:
    container.behaviour = hang
    provider = Sns("eu-central-1", None)

    assert await failure(provider, phone) == (Failure.TRANSIENT, "not_ready")
    assert container.published == []
    await provider.close()


async def test_cancelled_send_does_not_cancel_the_warm_up(container: SnsServer, phone: str) -> None:
    requested, go_on = asyncio.Event(), asyncio.Event()

    async def lend_later(request: Request, writer: asyncio.StreamWriter) -> None:
        requested.set()
        await go_on.wait()
        await lend("ASIATASK", for_s=3600)(request, writer)

    container.script.append(lend_later)
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    sending = asyncio.create_task(send(provider, phone))
    await requested.wait()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    go_on.set()

    assert await send(provider, phone)
    assert [request.path for request in container.requests] == ["/credentials", "/"]
    await provider.close()


async def test_failed_credentials_renewal_sends_nothing(container: SnsServer, phone: str) -> None:
    """Credentials that end within ten minutes are renewed before each message."""

    async def lend_twice(request: Request, writer: asyncio.StreamWriter) -> None:
        publishes = request.form.get("Action") == "Publish"
        loans = sum(request.path == "/credentials" for request in container.requests)
        await (aws.take if publishes else lend("ASIATASK", for_s=60) if loans <= 2 else hang)(request, writer)

    container.behaviour = lend_twice
    provider = Sns("eu-central-1", None, timeout_scale=BRIEF)
    await provider.warm_up()

    assert await failure(provider, phone) == (Failure.TRANSIENT, "timeout")
    assert container.published == []

    container.behaviour = lambda request, writer: (
        aws.take if request.form.get("Action") == "Publish" else lend("ASIALATER", for_s=3600)
    )(request, writer)
    assert await send(provider, phone)
    assert aws.credential(container.requests[-1]).startswith("ASIALATER/")
    await provider.close()


async def test_close_cancels_a_hanging_warm_up(container: SnsServer) -> None:
    requested = asyncio.Event()

    async def signal_and_hang(request: Request, writer: asyncio.StreamWriter) -> None:
        requested.set()
        await hang(request, writer)

    container.behaviour = signal_and_hang
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    warming = asyncio.create_task(provider.warm_up())
    async with asyncio.timeout(300):
        await requested.wait()
        await provider.close()
        await asyncio.gather(warming, return_exceptions=True)

    assert warming.cancelled()


async def test_close_without_a_send_succeeds() -> None:
    await Sns("eu-central-1", None).close()


def run(code: str) -> str:
    """Run Python in a separate process and return its output."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()


def test_aws_libraries_are_imported_lazily() -> None:
    names = run(
        "import sys, auth1.app; from auth1.messaging.providers.sns import Sns; Sns('us-east-1', None); "
        "print(*{name.split('.')[0] for name in sys.modules} & {'aioboto3', 'aiobotocore', 'botocore', 'aiohttp'})"
    )

    assert names == ""


def test_missing_sns_extra_is_reported() -> None:
    said = run(
        """
import asyncio, json, sys
sys.modules["aioboto3"] = None  # what Python itself writes there for a module that must not be found
from auth1.config.settings import ConfigurationError, load_settings
from auth1.messaging.providers.protocol import OutgoingMessage, SendError
from auth1.messaging.providers.sns import Sns
environ = {"DATABASE_URL": "postgresql://db/auth1", "REDIS_URL": "redis://redis", "JWT_SECRET": "0" * 64}
problems = []
try:
    load_settings(environ | {"AWS_SNS_REGION": "us-east-1"})
except ConfigurationError as error:
    problems = error.problems
others = load_settings(environ | {"AWS_SNS_REGION": "us-east-1", "SMS_PROVIDERS": "console"}).sms_providers
failure = None
try:
    asyncio.run(Sns("us-east-1", None).send(OutgoingMessage("tn_1", "msg_1", "+12015550142", "a text", 600)))
except SendError as error:
    failure = str(error)
print(json.dumps([problems, others, failure]))
"""
    )

    problems, others, reported = json.loads(said)
    assert len(problems) == 1
    assert "pip install 'auth1[sns]'" in problems[0]
    assert others == ["console"]
    assert reported == "configuration (not_installed)"
