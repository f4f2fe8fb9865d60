"""Ambiguous SNS responses are unknown and not retried; definite failures are recognized."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auth1.messaging.providers.protocol import Failure, SendError
from auth1.messaging.providers.sns import Sns
from tests.conftest import new_phone
from tests.messaging.sns.conftest import failure, send
from tests.support.effort import effort
from tests.support.providers import sns as aws
from tests.support.providers.sns import Behaviour, Request, SnsServer, answer, hang, hang_up, reject, reset


async def hang_after_headers(request: Request, writer: asyncio.StreamWriter) -> None:
    """Announce a body and send none."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n<")
    await writer.drain()
    await hang(request, writer)


async def trickle(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send one byte at intervals that are shorter than a read timeout."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n<")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.1)


async def speak_nonsense(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer with something that is not HTTP."""
    writer.write(b"SMTP ready\r\n\r\n")
    await writer.drain()


async def go_on_for_ever(request: Request, writer: asyncio.StreamWriter) -> None:
    """Send a response without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


MAYBE_SENT: list[tuple[Behaviour, str]] = [
    (hang_up, "connection_lost"),
    (reset, "connection_lost"),
    (speak_nonsense, "connection_lost"),
    (go_on_for_ever, "answer_too_long"),
    (answer(200, b" " * 10_000_000), "answer_too_long"),
    (answer(200, ""), "garbage"),
    (answer(200, "no XML at all"), "garbage"),
    (answer(200, "<PublishResponse><PublishResult/></PublishResponse>"), "garbage"),
    (answer(200, "<a/>"), "garbage"),
    (answer(200, b"\xff\x00"), "garbage"),
    (answer(204, ""), "garbage"),
    (aws.taken("x" * 101), "garbage"),
    (answer(400, "<Code>"), "garbage"),
    (answer(500, ""), "http_500"),
    (answer(503, "<html><b>Http/1.1 Service Unavailable</b></html>"), "http_503"),
    (reject("InternalError", status=500), "http_500"),
    (reject("Throttling", status=503), "http_503"),
    (reject("OptedOut", status=500), "http_500"),
]


@pytest.mark.parametrize(("behaviour", "code"), MAYBE_SENT)
async def test_ambiguous_sns_response_is_unknown_and_not_retried(
    server: SnsServer, sns: Sns, phone: str, behaviour: Behaviour, code: str
) -> None:
    server.script.append(behaviour)

    assert await failure(sns, phone) == (Failure.UNKNOWN, code)
    assert len(server.requests) == 1

    assert await send(sns, phone), "the next one goes through"


async def test_late_sns_responses_are_unknown_and_not_retried(server: SnsServer, brief_sns: Sns) -> None:
    """They are late at once, because each takes the whole deadline."""
    late = (hang, hang_after_headers, trickle)
    server.script.extend(late)

    phones = [new_phone() for _ in late]
    assert await asyncio.gather(*(failure(brief_sns, phone) for phone in phones)) == [(Failure.UNKNOWN, "timeout")] * 3
    assert len(server.requests) == 3


PIECES = st.sampled_from(
    "<ErrorResponse> </ErrorResponse> <Error> </Error> <Errors> </Errors> <Code> </Code> <Message> </Message> OptedOut "
    "Throttled <RequestId> </RequestId> <ResponseMetadata> </ResponseMetadata> <MessageId> </MessageId> & &amp; é "
    "<PublishResponse> </PublishResponse> <PublishResult> </PublishResult> <!-- --> <?xml <![CDATA[ ]]> \0".split(" ")
)


@settings(
    derandomize=True,
    max_examples=effort(50, 500),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.sampled_from([200, 400, 403, 429, 500]), st.lists(PIECES, max_size=12).map("".join) | st.binary(max_size=200))
async def test_any_sns_response_is_classified(server: SnsServer, sns: Sns, status: int, body: str | bytes) -> None:
    server.script.append(answer(status, body))
    try:
        message_id = await send(sns, "+12015550142")
    except SendError as error:
        definite, code = error.failure.definite, error.code
        assert definite == (400 <= status < 500) or code == "garbage"
    else:
        assert status == 200
        assert message_id


async def test_refused_connection_is_transient_failure(
    server: SnsServer, phone: str, monkeypatch: pytest.MonkeyPatch, unused_tcp_port: int
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", f"http://127.0.0.1:{unused_tcp_port}")
    provider = Sns("eu-central-1", None, timeout_scale=10)
    await provider.warm_up()

    assert await failure(provider, phone) == (Failure.TRANSIENT, "no_connection")
    await provider.close()


async def test_closed_keep_alive_connection_is_not_reused(server: SnsServer, sns: Sns, phone: str) -> None:
    closed = asyncio.Event()

    async def take_and_close(request: Request, writer: asyncio.StreamWriter) -> None:
        await aws.take(request, writer)
        writer.close()
        await writer.wait_closed()
        closed.set()

    server.script.append(take_and_close)
    await send(sns, phone)
    await closed.wait()

    assert await send(sns, phone)
