"""Slow, interrupted and oversized requests: the connection stays usable or is closed."""

import asyncio

import pytest

from tests.conftest import new_phone
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_http import Answer, RawHttp, head, post

REQUEST, VERIFY = "/api/auth/request", "/api/auth/verify"
LIVE = head("GET", "/health/live")
TRICKLE_S = 0.1
TRICKLED = 240  # bytes, so 24 s at the least; a time limit for each byte would never end it


async def trickle(raw_http: RawHttp, data: bytes, answering: asyncio.Task[Answer | None]) -> int:
    """Send one byte each 0.1 s until the other side answers or closes; return how many it took."""
    for sent, byte in enumerate(data):
        if answering.done():
            return sent
        await asyncio.sleep(TRICKLE_S)
        await raw_http.send(bytes([byte]))
    return len(data)


async def test_body_that_trickles_in_times_out_as_a_whole(server: Auth1, carrier: TwilioServer, phone: str) -> None:
    key = (await server.tenant())["api_key"]
    whole = post(REQUEST, {"phone": phone, "metadata": {"padding": "x" * TRICKLED}}, x_api_key=key)

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(whole[:-TRICKLED])
        answering = asyncio.create_task(raw_http.answer())
        sent = await trickle(raw_http, whole[-TRICKLED:-1], answering)
        answer = await answering

    assert sent < TRICKLED - 1, "the answer came while bytes still did"
    assert answer is not None
    assert (answer.status, answer.json["code"]) == (408, "request_timeout")
    assert carrier.sent_to(phone) == []


async def test_headers_that_trickle_in_time_out_as_a_whole(server: Auth1) -> None:
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nX-Padding: ")
        answering = asyncio.create_task(raw_http.answer())
        sent = await trickle(raw_http, b"x" * TRICKLED, answering)
        answer = await answering

    assert sent < TRICKLED, "the end came while bytes still did"
    assert answer is None or answer.status == 408


async def test_idle_connection_does_not_block_others(server: Auth1) -> None:
    async with RawHttp(server.port), RawHttp(server.port) as raw_http:
        await raw_http.send(LIVE)
        answer = await raw_http.answer()
        assert answer is not None
        assert answer.status == 200


@pytest.mark.parametrize("missing", [1, 20])
async def test_connection_closed_during_the_body_has_no_effect(
    server: Auth1, carrier: TwilioServer, missing: int
) -> None:
    key, known, new = (await server.tenant(max_otp_attempts=1))["api_key"], new_phone(), new_phone()
    assert (await server.ask(known, key)).status_code == 200
    code = carrier.code_for(known)
    wrong = f"{(int(code) + 1) % 1_000_000:06}"
    gone_before = len(gone(server))

    for whole in (
        post(VERIFY, {"phone": known, "code": wrong}, x_api_key=key),
        post(REQUEST, {"phone": new}, x_api_key=key),
    ):
        async with RawHttp(server.port) as raw_http:
            await raw_http.send(whole[:-missing])
            raw_http.hang_up()

    await until(lambda: len(gone(server)) == gone_before + 2, explain=server.text)
    assert carrier.sent_to(new) == []
    assert (await server.answer(known, code, key)).status_code == 200


def gone(server: Auth1) -> list[object]:
    """Return log lines of requests whose client disconnected."""
    return [line for line in server.lines("request") if line["status"] == 499]


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"x_api_key": "auth1_pk_x_" + "0" * 38}, 401), ({"transfer_encoding": "gzip"}, 400)],
)
async def test_unread_body_of_a_rejected_request_is_not_parsed_as_a_request(
    server: Auth1, headers: dict[str, str], status: int
) -> None:
    """Request smuggling: what follows a rejected request head is a body."""
    smuggled = (LIVE * 100)[:4000]

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(head("POST", REQUEST, len(smuggled), **headers))
        rejection = await raw_http.answer()
        assert rejection is not None
        assert rejection.status == status
        await raw_http.send(smuggled)
        await raw_http.send(head("GET", "/nowhere"))

        after = await raw_http.answer()
        # Closed, or in step: the next answer is that of the next request.
        assert after is None or after.status == 404
        assert after is None or await still_in_step(raw_http)


async def still_in_step(raw_http: RawHttp) -> bool:
    await raw_http.send(LIVE)
    answer = await raw_http.answer()
    return answer is None or answer.status == 200


async def test_rate_limited_request_with_a_pending_body_keeps_the_connection_usable(server: Auth1, phone: str) -> None:
    key = (await server.tenant(requests_per_minute=1))["api_key"]
    assert (await server.ask(phone, key)).status_code == 200
    whole = post(REQUEST, {"phone": new_phone()}, x_api_key=key)

    async with RawHttp(server.port) as raw_http:
        for _ in range(3):
            await raw_http.send(whole)
            limited = await raw_http.answer()
            assert limited is not None
            assert (limited.status, limited.json["code"]) == (429, "rate_limited")
        assert await still_in_step(raw_http)


async def test_oversized_body_is_rejected_before_it_is_read(server: Auth1) -> None:
    key = (await server.tenant())["api_key"]

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(head("POST", REQUEST, 100_000_000, x_api_key=key))
        rejection = await raw_http.answer()
        assert rejection is not None
        assert (rejection.status, rejection.json["code"]) == (413, "payload_too_large")
        await raw_http.send(LIVE * 20_000)  # a megabyte of what might be requests
        after = await raw_http.answer()
        assert after is None


async def test_pipelined_requests_get_responses_in_order(server: Auth1, carrier: TwilioServer, phone: str) -> None:
    key = (await server.tenant())["api_key"]

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(
            post(REQUEST, {"phone": phone}, x_api_key=key)
            + post(VERIFY, {"phone": phone, "code": "00000"}, x_api_key=key)
            + head("GET", "/nowhere")
            + LIVE
        )
        answers = [await raw_http.answer() for _ in range(4)]

    assert [answer and answer.status for answer in answers] == [200, 400, 404, 200]


async def test_one_connection_serves_successes_and_errors(server: Auth1, carrier: TwilioServer, phone: str) -> None:
    key = (await server.tenant())["api_key"]
    async with RawHttp(server.port) as raw_http:
        statuses = []
        for request in (
            post(REQUEST, {"phone": phone}, x_api_key=key),
            post(REQUEST, {"phone": phone}, x_api_key=key),
            post(REQUEST, {"phone": "none"}, x_api_key=key),
            post(VERIFY, {"phone": phone, "code": "x"}, x_api_key=key),
            head("DELETE", REQUEST),
            head("GET", "/health/ready"),
        ):
            await raw_http.send(request)
            answer = await raw_http.answer()
            statuses.append(answer and answer.status)
    assert statuses == [200, 429, 422, 422, 405, 200]


@pytest.mark.parametrize(
    ("version", "headers", "status"),
    [("1.0", "", 200), ("1.1", "", 400), ("1.0", "Host: a\r\nHost: b\r\n", 400)],
    ids=["1.0 without Host", "1.1 without Host", "1.0 with two"],
)
async def test_host_header_is_required_since_http_1_1(server: Auth1, version: str, headers: str, status: int) -> None:
    async with RawHttp(server.port) as raw_http:
        await raw_http.send(f"GET /health/live HTTP/{version}\r\n{headers}\r\n".encode())
        answer = await raw_http.answer()

    assert answer is not None
    assert answer.status == status


async def test_transfer_encoding_is_case_insensitive(server: Auth1) -> None:
    key = (await server.tenant())["api_key"]
    chunked = head("POST", REQUEST, transfer_encoding="Chunked", x_api_key=key, content_type="application/json")

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(chunked + b"2\r\n{}\r\n0\r\n\r\n")
        answer = await raw_http.answer()

    assert answer is not None
    assert (answer.status, answer.json["code"]) == (422, "validation_failed")


@pytest.mark.parametrize(
    "chunk", [b"x\r\n{}\r\n", b"-2\r\n{}\r\n", b"2\r\n{}}\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n"]
)
async def test_malformed_chunk_returns_a_problem_document(server: Auth1, chunk: bytes) -> None:
    key = (await server.tenant())["api_key"]
    chunked = head("POST", REQUEST, transfer_encoding="chunked", x_api_key=key, content_type="application/json")

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(chunked + chunk)
        answer = await raw_http.answer()

    assert answer is not None
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")
    assert answer.json["code"] == "bad_request"


async def test_half_closed_connection_with_half_a_body_returns_no_plain_error(server: Auth1, phone: str) -> None:
    key = (await server.tenant())["api_key"]

    async with RawHttp(server.port) as raw_http:
        await raw_http.send(post(REQUEST, {"phone": phone}, x_api_key=key)[:-5])
        raw_http.end_input()
        answer = await raw_http.answer()

    assert answer is None or (answer.status, answer.json["code"]) == (400, "bad_request")
