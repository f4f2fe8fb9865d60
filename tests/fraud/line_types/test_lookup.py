"""Twilio Lookup: the request, the answers, a bounded time for each fault, and the circuit breaker."""

import asyncio
import base64
import logging
import ssl
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

from auth1.config.providers import LOOKUP_FIELDS, TwilioAccount
from auth1.core.circuit_breaker import MAX_FAILURES, PROBE_EVERY_S, CircuitBreaker
from auth1.core.outbound import Transport
from auth1.fraud.line_types.lookup import DEADLINE_S, Lookup, LookupAnswer, LookupFailed
from tests.support.certificates import make_certificate
from tests.support.providers import lookup as fake
from tests.support.providers.lookup import Behaviour, LookupRequest, LookupServer, body, changed, packages, status
from tests.support.providers.twilio import ACCOUNT_SID, AUTH_TOKEN, SERVICE_SID

PHONE, TENANT_ID = "+14155550100", "tn_1"
PATIENT = 20.0  # scale of all deadlines where no deadline is tested: a busy machine may take seconds
BRIEF = 1.0  # scale where one is: half a second to connect, one second in all
CONNECTIONS = MAX_FAILURES + 2  # for the failures, the probe that fails, and the one that succeeds
SLACK_S = 10.0  # what a busy machine may add to a deadline
New = Callable[..., Lookup]


def account(url: str, *fields: str) -> TwilioAccount:
    return TwilioAccount(ACCOUNT_SID, AUTH_TOKEN, SERVICE_SID, "http://127.0.0.1:9", None, url, fields)


@pytest.fixture(scope="module")
async def module_server() -> AsyncIterator[LookupServer]:
    async with LookupServer() as server:
        yield server


@pytest.fixture
def server(module_server: LookupServer) -> LookupServer:
    module_server.reset()
    return module_server


@pytest.fixture
async def lookup(server: LookupServer) -> AsyncIterator[Lookup]:
    client = Lookup(account(server.url), timeout_scale=PATIENT)
    yield client
    await client.close()


@pytest.fixture
async def brief_lookup(server: LookupServer) -> AsyncIterator[Lookup]:
    """Return a look-up with a brief deadline, over connections that are open: a busy machine may be slow to connect."""
    transport, everyone = Transport(max_connections=CONNECTIONS), asyncio.Barrier(CONNECTIONS)

    async def answer_together(server: LookupServer, request: LookupRequest, writer: asyncio.StreamWriter) -> None:
        await everyone.wait()
        await fake.answer(server, request, writer)

    server.behaviour = answer_together
    patient = Lookup(account(server.url), transport, timeout_scale=PATIENT)
    await asyncio.gather(*(patient.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS) for _ in range(CONNECTIONS)))
    server.reset()
    client = Lookup(account(server.url), transport, timeout_scale=BRIEF)
    yield client
    await client.close()


async def failure_of(lookup: Lookup, phone: str = PHONE) -> str:
    """Return the failure of a look-up, which is bounded in time."""
    started = time.monotonic()
    with pytest.raises(LookupFailed) as error:
        await lookup.fetch(TENANT_ID, phone, LOOKUP_FIELDS)
    assert time.monotonic() - started < DEADLINE_S + SLACK_S
    return error.value.failure


class Capture(HttpClient):  # type: ignore[misc]  # Twilio's client is untyped
    """Records the request of Twilio's own client instead of sending it."""

    def __init__(self) -> None:
        super().__init__(logging.getLogger(__name__), False)
        self.sent: dict[str, Any] = {}

    def request(self, method: str, url: str, *_: object, **named: Any) -> Response:
        self.sent = {"method": method, "url": url, **named}
        return Response(200, '{"phone_number": "+14155550100"}')


async def test_request_is_that_of_twilios_own_client(server: LookupServer, lookup: Lookup) -> None:
    wire = Capture()
    Client(ACCOUNT_SID, AUTH_TOKEN, http_client=wire).lookups.v2.phone_numbers(PHONE).fetch(
        fields=",".join(LOOKUP_FIELDS)
    )
    official = httpx.URL(wire.sent["url"], params=wire.sent["params"])

    await lookup.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS)

    [request] = server.requests
    ours = httpx.URL(server.url + request.path)
    assert (ours.path, ours.params) == (official.path, official.params)
    assert official.host == "lookups.twilio.com"
    credentials = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode()
    assert tuple(credentials.split(":", 1)) == wire.sent["auth"]


async def test_answer_has_the_packages_that_were_fetched(server: LookupServer, lookup: Lookup) -> None:
    server.numbers[PHONE] = packages("nonFixedVoip", risk=61, swapped=True)

    assert await lookup.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS) == LookupAnswer("nonFixedVoip", 61, True)
    assert await lookup.fetch(TENANT_ID, PHONE, ["line_type_intelligence"]) == LookupAnswer("nonFixedVoip")
    assert await lookup.fetch(TENANT_ID, PHONE, ["sms_pumping_risk"]) == LookupAnswer(None, 61)


NULL = {"error_code": 60600, "type": "mobile", "sms_pumping_risk_score": 7, "last_sim_swap": None}


@pytest.mark.parametrize(
    "changes",
    [
        {"line_type_intelligence": None, "sms_pumping_risk": None, "sim_swap": None},
        {"line_type_intelligence": NULL, "sms_pumping_risk": NULL, "sim_swap": NULL},
        {"line_type_intelligence": {"type": None}, "sms_pumping_risk": {}, "sim_swap": {"last_sim_swap": None}},
        {"line_type_intelligence": {"type": "unknown"}, "sms_pumping_risk": 5, "sim_swap": []},
        {
            "line_type_intelligence": {"type": "hologram"},
            "sms_pumping_risk": {"sms_pumping_risk_score": 101},
            "sim_swap": {"last_sim_swap": {"swapped_in_period": "yes"}},
        },
        {
            "line_type_intelligence": {"type": ["mobile"]},
            "sms_pumping_risk": {"sms_pumping_risk_score": True},
            "sim_swap": {"last_sim_swap": True},
        },
    ],
)
async def test_null_unknown_and_odd_values_are_unknown(
    server: LookupServer, lookup: Lookup, changes: dict[str, Any]
) -> None:
    server.behaviour = changed(**changes)

    assert await lookup.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS) == LookupAnswer("unknown", None, None)
    assert lookup.breaker.is_idle


async def never_ends(server: LookupServer, request: LookupRequest, writer: asyncio.StreamWriter) -> None:
    """Send a body without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        await writer.drain()


FAULTS: list[tuple[Behaviour, str]] = [
    (fake.hang, "timeout"),
    (fake.trickle, "timeout"),
    (fake.hang_up, "connection_lost"),
    (never_ends, "response_too_large"),
    (status(200, b" " * 10_000_000), "response_too_large"),
    (status(200, b"no JSON"), "invalid_response"),
    (status(200, b"\xff\xfe"), "invalid_response"),
    (status(200, b"[" * 10_000), "invalid_response"),
    (status(200, b""), "invalid_response"),
    (status(302, b"", {"location": "http://127.0.0.1:9/"}), "http_error"),
    (status(401, {"code": 20003, "status": 401}), "credentials"),
    (status(403, {"code": 20008, "status": 403}), "credentials"),
    (status(404, {"code": 20404, "status": 404}), "http_error"),
    (status(429, {"code": 20429, "status": 429}), "throttled"),
    (status(500, b"oops"), "http_error"),
    (status(503), "http_error"),
]


@pytest.mark.parametrize(("behaviour", "failure"), FAULTS)
async def test_breaker_opens_on_each_fault_of_the_service_and_closes_again(
    server: LookupServer, lookup: Lookup, brief_lookup: Lookup, behaviour: Behaviour, failure: str
) -> None:
    if failure == "timeout":
        lookup = brief_lookup
    now = [0.0]
    lookup.breaker = CircuitBreaker(lambda: now[0])
    server.behaviour = behaviour

    failures = await asyncio.gather(*(failure_of(lookup) for _ in range(MAX_FAILURES)))

    assert set(failures) == {failure}
    assert await failure_of(lookup) == "breaker_open"
    assert len(server.requests) == MAX_FAILURES
    now[0] = PROBE_EVERY_S + 1
    assert await failure_of(lookup) == failure
    assert await failure_of(lookup) == "breaker_open"
    server.reset()
    now[0] = 2 * PROBE_EVERY_S + 2
    assert (await lookup.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS)).line_type == "mobile"
    assert lookup.breaker.state == "closed"


@pytest.mark.parametrize(
    ("behaviour", "failure"),
    [
        (status(400, {"code": 60600, "status": 400}), "rejected"),
        (changed(phone_number="+14155550199"), "other_number"),
        (changed(phone_number=None), "other_number"),
        (changed(phone_number=14155550100), "other_number"),
    ],
)
async def test_numbers_that_callers_choose_never_open_the_breaker(
    server: LookupServer, lookup: Lookup, behaviour: Behaviour, failure: str
) -> None:
    server.behaviour = behaviour

    for _ in range(2 * MAX_FAILURES):
        assert await failure_of(lookup) == failure

    assert lookup.breaker.state == "closed"


async def test_other_number_does_not_end_a_probe(server: LookupServer, lookup: Lookup) -> None:
    now = [0.0]
    lookup.breaker = CircuitBreaker(lambda: now[0])
    for _ in range(MAX_FAILURES):
        lookup.breaker.failed()
    server.behaviour = changed(phone_number="+14155550199")
    now[0] = PROBE_EVERY_S + 1

    assert await failure_of(lookup) == "other_number"

    assert lookup.breaker.state != "closed"


async def test_closed_port_is_no_connection(unused_tcp_port: int) -> None:
    client = Lookup(account(f"http://127.0.0.1:{unused_tcp_port}"), timeout_scale=PATIENT)

    assert await failure_of(client) == "no_connection"
    await client.close()


async def test_redirect_is_not_followed(server: LookupServer, lookup: Lookup) -> None:
    server.behaviour = status(307, b"", {"location": f"{server.url}/v2/PhoneNumbers/+14155550199"})

    assert await failure_of(lookup) == "http_error"

    assert len(server.requests) == 1


async def test_answer_arrives_over_tls_with_a_checked_certificate(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_bytes(make_certificate("127.0.0.1"))
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pem)
    async with LookupServer(tls=tls) as server:
        trusting = Lookup(
            account(server.url), Transport(tls=ssl.create_default_context(cafile=pem)), timeout_scale=PATIENT
        )
        distrusting = Lookup(account(server.url), timeout_scale=PATIENT)

        assert (await trusting.fetch(TENANT_ID, PHONE, LOOKUP_FIELDS)).line_type == "mobile"
        assert await failure_of(distrusting) == "no_connection"
        await trusting.close()
        await distrusting.close()


async def test_answers_of_concurrent_look_ups_are_matched_to_their_numbers(
    server: LookupServer, lookup: Lookup
) -> None:
    async def by_number(server: LookupServer, request: LookupRequest, writer: asyncio.StreamWriter) -> None:
        kind = "mobile" if int(request.phone) % 2 else "landline"
        await fake.respond(writer, 200, body(request, packages(kind)))

    server.behaviour = by_number
    phones = [f"+1415555{number:04d}" for number in range(16)]

    answers = await asyncio.gather(*(lookup.fetch(TENANT_ID, phone, LOOKUP_FIELDS) for phone in phones))

    assert [answer.line_type for answer in answers] == ["landline", "mobile"] * 8
