"""The AWS client: aioboto3 finds credentials, signs and parses. `sns.py` imports it on first use.

`core/outbound` sends the requests. aioboto3's own HTTP session follows redirects with the whole request, reads
responses without a bound, and reports a lost connection as one that was never made: it cannot distinguish "not sent"
from "possibly sent".
"""

import asyncio
import functools
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from typing import Any, NamedTuple

import aioboto3  # type: ignore[import-untyped]
import httpx
from aiobotocore.awsrequest import AioAWSResponse  # type: ignore[import-untyped]
from aiobotocore.config import AioConfig  # type: ignore[import-untyped]
from botocore import UNSIGNED  # type: ignore[import-untyped]
from botocore import exceptions as aws

from auth1.core.outbound import NOT_SENT, ResponseTooLarge, Transport, tls_context
from auth1.messaging.providers.protocol import Cause, Failure, SendError

DEADLINE_S = 1.5
CONNECT_S = 0.9
POOL_S = 0.5  # waiting for a connection and connecting end before the deadline, when nothing was sent
MAX_CONNECTIONS = 100
MAX_MESSAGE_ID = 100

_THROTTLED = frozenset(
    "Throttled ThrottledException Throttling ThrottlingException KMSThrottling KMSThrottlingException RequestThrottled "
    "RequestThrottledException RequestLimitExceeded TooManyRequestsException".split()
)
_CODE = re.compile(r"[A-Za-z0-9.]{1,64}")


class SnsClient:
    """An SNS client with credentials."""

    def __init__(self, client: Any, credentials: Any, resources: AsyncExitStack, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._client = client
        self._credentials = credentials
        self._resources = resources

    async def publish(self, to: str, text: str, attributes: Mapping[str, str]) -> str:
        """Publish a text to a phone number and return the MessageId. Raises SendError, within the deadline."""
        values = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
        begun = False
        try:
            async with asyncio.timeout(self._deadline_s):
                # Credentials of a role expire. Fetch them first, so that a failure here means that nothing was sent.
                await self._credentials.get_frozen_credentials()
                begun = True
                answer = await self._client.publish(PhoneNumber=to, Message=text, MessageAttributes=values)
        except TimeoutError as error:
            raise SendError(Failure.UNKNOWN if begun else Failure.TRANSIENT, "timeout") from error
        except SendError:
            raise
        except Exception as error:
            raise _read_error(error, begun) from None  # AWS' message contains the number
        message_id = answer.get("MessageId")
        if not message_id or len(message_id) > MAX_MESSAGE_ID:
            raise SendError(Failure.UNKNOWN, "garbage")
        return str(message_id)

    async def close(self) -> None:
        await self._resources.aclose()


def load(region: str) -> Any:
    """Return a session with all service data loaded. Blocks for 0.2 s, so call it in a thread. Raises SendError."""

    async def load_service_data() -> None:
        async with session.client("sns", config=_config(signature_version=UNSIGNED)):
            """The session keeps the loaded data."""

    with _failing_as_send_error():
        session = aioboto3.Session(region_name=region)
        asyncio.run(load_service_data())
    return session


async def open_client(session: Any, timeout_scale: float = 1.0) -> SnsClient:
    """Return a client with credentials. Raises SendError."""
    with _failing_as_send_error():
        async with AsyncExitStack() as resources:
            credentials = await session.get_credentials()
            if credentials is None:
                raise SendError(Failure.CONFIGURATION, "no_credentials")
            await credentials.get_frozen_credentials()
            client = await resources.enter_async_context(session.client("sns", config=_config(timeout_scale)))
            return SnsClient(client, credentials, resources.pop_all(), DEADLINE_S * timeout_scale)


def _config(timeout_scale: float = 1.0, **more: object) -> AioConfig:
    http_session = type("_ScaledHttpSession", (_HttpSession,), {"timeout_scale": timeout_scale})
    return AioConfig(http_session_cls=http_session, retries={"total_max_attempts": 1, "mode": "standard"}, **more)


@contextmanager
def _failing_as_send_error() -> Iterator[None]:
    try:
        yield
    except SendError:
        raise
    except Exception as error:  # the library raises more than it documents
        raise _read_error(error, begun=False) from error


class _Response(NamedTuple):
    """The body of a response, as aiobotocore reads it."""

    body: bytes

    async def read(self) -> bytes:
        return self.body


@functools.cache
def _trust(verify: bool | str) -> ssl.SSLContext:
    """Load trusted certificate authorities once; `verify` may name a file of them."""
    if isinstance(verify, str):
        return ssl.create_default_context(cafile=verify)
    return tls_context() if verify else httpx.create_ssl_context(verify=False)


class _HttpSession:
    """An HTTP session with aiobotocore's interface. It raises SendError only."""

    timeout_scale = 1.0

    def __init__(self, *, verify: bool | str, proxies: Mapping[str, str] | None, **_: object) -> None:
        scale = self.timeout_scale
        timeout = httpx.Timeout(DEADLINE_S * scale, connect=CONNECT_S * scale, pool=POOL_S * scale)
        self._extensions = {"timeout": timeout.as_dict()}
        self._transports = {  # botocore has read the environment's proxies and exceptions
            scheme: Transport(tls=_trust(verify), proxy=(proxies or {}).get(scheme), max_connections=MAX_CONNECTIONS)
            for scheme in ("http", "https")
        }

    async def __aenter__(self) -> "_HttpSession":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        for transport in self._transports.values():
            await transport.aclose()

    async def send(self, request: Any) -> AioAWSResponse:
        """Send a signed request. Raises SendError for anything but a response of SNS."""
        try:
            status, headers, body = await self._exchange(request)
        except NOT_SENT as error:
            raise SendError(Failure.TRANSIENT, "no_connection") from error
        except httpx.TimeoutException as error:
            raise SendError(Failure.UNKNOWN, "timeout") from error
        except ResponseTooLarge as error:
            raise SendError(_of_status(error.status_code), "answer_too_long") from error
        except httpx.HTTPError as error:
            raise SendError(Failure.UNKNOWN, "connection_lost") from error
        is_sns_error = 400 <= status < 500 and b"<Code>" in body  # otherwise a proxy responded
        if status >= 300 and not is_sns_error:
            raise SendError(_of_status(status), f"http_{status}")
        return AioAWSResponse(request.url, status, headers, _Response(body))

    async def _exchange(self, signed: Any) -> tuple[int, dict[str, str], bytes]:
        headers = {**dict(signed.headers.items()), "accept-encoding": "identity"}
        request = httpx.Request(
            signed.method, signed.url, headers=headers, content=signed.body, extensions=self._extensions
        )
        response = await self._transports[request.url.scheme].handle_async_request(request)
        body = b"".join([piece async for piece in response.aiter_raw()])
        return response.status_code, dict(response.headers), body


def _read_error(error: Exception, begun: bool) -> SendError:
    """Classify an exception of botocore. With `begun` the request was possibly sent; else credentials failed."""
    if isinstance(error, aws.ClientError):
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        details = error.response.get("Error")
        details = details if isinstance(details, dict) else {}
        code, sentence = str(details.get("Code") or ""), str(details.get("Message") or "")
        failure = _failure_of_error(status, code, sentence)
        code = code if _CODE.fullmatch(code) else f"http_{status}"
    elif isinstance(error, aws.ConnectionError | aws.HTTPClientError):
        failure, code = Failure.TRANSIENT, "no_credentials"  # our own transport raises SendError
    elif isinstance(error, aws.BotoCoreError) or not begun:
        failure, code = Failure.CONFIGURATION, type(error).__name__  # such as NoCredentialsError: before the request
    else:
        failure, code = Failure.UNKNOWN, "garbage"
    if not begun and not failure.definite:
        failure = Failure.TRANSIENT
    # A wrong parameter that is not the number is the sender id or the text.
    is_parameter = failure is Failure.CONFIGURATION and code.startswith("InvalidParameter")
    return SendError(failure, code, Cause.SENDER if is_parameter else None)


def _failure_of_error(status: int, code: str, sentence: str) -> Failure:
    """Classify by AWS' code. InvalidParameter names the wrong parameter only in its message."""
    if status < 500 and (code.startswith("OptedOut") or "opted out" in sentence.lower()):
        return Failure.OPTED_OUT
    if status < 500 and code in ("InvalidParameter", "InvalidParameterException") and "PhoneNumber" in sentence:
        return Failure.IMPOSSIBLE
    return Failure.THROTTLED if status < 500 and code in _THROTTLED else _of_status(status)


def _of_status(status: int) -> Failure:
    """Classify by HTTP status: 429 was never processed, a 3xx or 4xx was rejected, anything else possibly sent."""
    if status == 429:
        return Failure.THROTTLED
    return Failure.CONFIGURATION if 300 <= status < 500 else Failure.UNKNOWN
