"""AWS SNS: the requests of aioboto3, and the failure for each error response."""

import asyncio
import uuid

import pytest

from auth1.messaging.providers.protocol import Failure, SendError
from auth1.messaging.providers.sns import Sns
from auth1.tenants.settings import Senders
from tests.messaging.sns.conftest import PATIENT, TEXT, failure, send
from tests.support.providers import sns as aws
from tests.support.providers.sns import Request, SnsServer, answer, hang_up, reject

IMPOSSIBLE = "Invalid parameter: PhoneNumber Reason: +1 is not valid to publish to"


@pytest.mark.parametrize("number", [None, "+12015550123"])
async def test_message_is_published_as_transactional_from_the_configured_number(
    server: SnsServer, phone: str, number: str | None
) -> None:
    provider = Sns("eu-central-1", number, timeout_scale=PATIENT)
    await send(provider, phone)
    await provider.close()

    expected = {"Action": "Publish", "Version": "2010-03-31", "PhoneNumber": phone, "Message": TEXT}
    attributes = {"AWS.SNS.SMS.SMSType": "Transactional"} | ({"AWS.MM.SMS.OriginationNumber": number} if number else {})
    for position, (name, value) in enumerate(attributes.items(), 1):
        entry = f"MessageAttributes.entry.{position}"
        expected |= {f"{entry}.Name": name, f"{entry}.Value.DataType": "String", f"{entry}.Value.StringValue": value}
    assert server.published == [expected]


@pytest.mark.parametrize(
    ("senders", "name", "value"),
    [
        (Senders(sns="+12015550199"), "AWS.MM.SMS.OriginationNumber", "+12015550199"),
        (Senders(sns="MyApp"), "AWS.SNS.SMS.SenderID", "MyApp"),
        (Senders(twilio="MyApp"), "AWS.MM.SMS.OriginationNumber", "+12015550123"),
    ],
)
async def test_tenant_sender_overrides_operator_sender(
    server: SnsServer, phone: str, senders: Senders, name: str, value: str
) -> None:
    provider = Sns("eu-central-1", "+12015550123", timeout_scale=PATIENT)
    await provider.warm_up()
    await send(provider, phone, senders)
    await provider.close()

    [published] = server.published
    entry = "MessageAttributes.entry.2"
    assert (published[f"{entry}.Name"], published[f"{entry}.Value.StringValue"]) == (name, value)
    assert "MessageAttributes.entry.3.Name" not in published


async def test_request_is_signed_for_sns_in_the_region(server: SnsServer, sns: Sns, phone: str) -> None:
    await send(sns, phone)

    [request] = server.requests
    key_id, _, *scope = aws.credential(request).split("/")
    assert (request.method, key_id, scope) == ("POST", aws.ACCESS_KEY_ID, ["eu-central-1", "sns", "aws4_request"])
    assert aws.is_signed(request)
    assert not aws.is_signed(request, secret="another")


async def test_send_returns_the_sns_message_id(server: SnsServer, sns: Sns, phone: str) -> None:
    message_id = str(uuid.uuid4())
    server.script.append(aws.taken(message_id))

    assert await send(sns, phone) == message_id


async def test_concurrent_responses_are_matched_to_their_requests(server: SnsServer, sns: Sns) -> None:
    async def take_by_number(request: Request, writer: asyncio.StreamWriter) -> None:
        number = request.form["PhoneNumber"]
        odd = int(number) % 2 == 1
        await (reject("InvalidParameter", IMPOSSIBLE) if odd else aws.taken(number))(request, writer)

    server.behaviour = take_by_number
    phones = [f"+120155501{n:02d}" for n in range(20)]

    results = await asyncio.gather(*(send(sns, phone) for phone in phones), return_exceptions=True)

    for phone, result in zip(phones, results, strict=True):
        assert isinstance(result, SendError) if int(phone) % 2 else result == phone


async def test_proxy_from_the_environment_is_used(
    server: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", server.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://sns.eu-central-1.example.com")
    provider = Sns("eu-central-1", None, timeout_scale=PATIENT)
    await send(provider, phone)
    await provider.close()

    [request] = server.requests
    assert request.path == "http://sns.eu-central-1.example.com/"
    assert aws.is_signed(request)


@pytest.mark.parametrize(
    ("code", "message", "status", "expected"),
    [
        ("InvalidParameter", IMPOSSIBLE, 400, Failure.IMPOSSIBLE),
        ("InvalidParameterException", IMPOSSIBLE, 400, Failure.IMPOSSIBLE),
        ("InvalidParameter", "Invalid parameter: Message too long", 400, Failure.CONFIGURATION),
        ("ParameterValueInvalid", "The value for attribute is invalid", 400, Failure.CONFIGURATION),
        ("OptedOut", "no", 400, Failure.OPTED_OUT),
        ("InvalidParameter", "Invalid parameter: PhoneNumber Reason: is opted out", 400, Failure.OPTED_OUT),
        ("KMSOptInRequired", "needs a subscription", 403, Failure.CONFIGURATION),
        ("Throttling", "Rate exceeded", 400, Failure.THROTTLED),
        ("ThrottlingException", "Rate exceeded", 400, Failure.THROTTLED),
        ("Throttled", "Rate exceeded", 429, Failure.THROTTLED),
        ("ThrottledException", "Rate exceeded", 400, Failure.THROTTLED),
        ("KMSThrottling", "Rate exceeded", 400, Failure.THROTTLED),
        ("SomethingNew", "Slow down", 429, Failure.THROTTLED),
        ("AuthorizationError", "not authorized to perform SNS:Publish", 403, Failure.CONFIGURATION),
        ("InvalidClientTokenId", "The security token is invalid", 403, Failure.CONFIGURATION),
        ("UnrecognizedClientException", "The security token is invalid", 403, Failure.CONFIGURATION),
        ("SignatureDoesNotMatch", "Check your key", 403, Failure.CONFIGURATION),
        ("ExpiredToken", "The security token is expired", 403, Failure.CONFIGURATION),
        ("EndpointDisabled", "Endpoint is disabled", 400, Failure.CONFIGURATION),
        ("SomethingNew", "no", 400, Failure.CONFIGURATION),
    ],
)
async def test_sns_error_code_maps_to_failure_without_retry(
    server: SnsServer, sns: Sns, phone: str, code: str, message: str, status: int, expected: Failure
) -> None:
    server.script.append(reject(code, message, status))

    assert await failure(sns, phone) == (expected, code)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (403, '{"__type":"AccessDeniedException"}'),
        (403, "<html><body>Forbidden</body></html>"),
        (404, "<html>"),
        (400, ""),
        (400, b"\xff\x00"),
        (400, "<ErrorResponse><Error><Code>not\na code</Code></Error></ErrorResponse>"),
        (400, f"<ErrorResponse><Error><Code>{'x' * 65}</Code></Error></ErrorResponse>"),
        (400, "<ErrorResponse><Error>no</Error></ErrorResponse>"),
        (400, "<html><Error>no</Error></html>"),
        (400, "<Error/>"),
    ],
)
async def test_error_without_a_code_is_classified_by_its_status(
    server: SnsServer, sns: Sns, phone: str, status: int, body: str | bytes
) -> None:
    server.script.append(answer(status, body))

    assert await failure(sns, phone) == (Failure.CONFIGURATION, f"http_{status}")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_is_not_followed(server: SnsServer, sns: Sns, phone: str, status: int) -> None:
    async with SnsServer() as elsewhere:
        server.script.append(answer(status, "", {"location": f"{elsewhere.url}/"}))

        assert await failure(sns, phone) == (Failure.CONFIGURATION, f"http_{status}")
        assert elsewhere.requests == []


async def test_phone_and_code_are_not_logged(
    server: SnsServer, sns: Sns, phone: str, caplog: pytest.LogCaptureFixture
) -> None:
    for behaviour in (reject("InvalidParameter", f"{IMPOSSIBLE} {phone}"), hang_up, answer(500, phone)):
        server.script.append(behaviour)
        await failure(sns, phone)

    assert phone not in caplog.text
    assert "048291" not in caplog.text
