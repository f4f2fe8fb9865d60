"""Invalid framing, sizes, content types and bytes are rejected before the body is parsed."""

import asyncio
import json
from collections.abc import Coroutine, Sequence
from typing import Any
from urllib.parse import unquote

import asyncpg
import httpx
import pytest

from auth1.core.http.concurrency import BURST, SHARES
from auth1.core.http.request import BodyLimit, Request
from auth1.core.http.router import Auth, Route
from auth1.routes import ROUTES
from tests.conftest import new_phone
from tests.support.api_client import ADMIN_TOKEN, REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_asgi import HOST, JSON, Header, RawAsgi

BEGIN_S = 300.0
BEARER: Header = (b"authorization", f"Bearer {ADMIN_TOKEN}".encode())


def many(count: int, size: int = 1) -> list[Header]:
    return [(b"x-%d" % number, b"a" * size) for number in range(count)]


@pytest.fixture
def key(tenant: dict[str, str]) -> Header:
    return (b"x-api-key", tenant["api_key"].encode())


@pytest.mark.parametrize(
    "host",
    [[], [HOST, HOST], [(b"host", b"")], [(b"host", b"a b")], [(b"host", b"a/b")], [(b"host", b"a\xff")]],
    ids=["missing", "doubled", "empty", "with a space", "with a slash", "not ASCII"],
)
async def test_invalid_host_is_rejected_on_every_route(raw_asgi: RawAsgi, host: Sequence[Header]) -> None:
    for method, path in (("GET", "/health/live"), ("POST", REQUEST), ("OPTIONS", REQUEST), ("GET", "/nothing")):
        assert (await raw_asgi.answer(method, path, host=host)).json()["code"] == "bad_request"


@pytest.mark.parametrize("host", [b"auth.example.com", b"localhost:3000", b"[::1]:3000", b"auth_1"])
async def test_valid_host_is_accepted(raw_asgi: RawAsgi, host: bytes) -> None:
    assert (await raw_asgi.answer("GET", "/health/live", host=[(b"host", host)])).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"gzip")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"chunked"), (b"content-length", b"2")],
        [(b"content-length", b"2"), (b"content-length", b"2")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"0x10")],
        [(b"content-length", "٣".encode())],
        [(b"content-type", b"application/json")],
        [(b"x-api-key", b"another")],
        [(b"origin", b"https://a.example"), (b"origin", b"https://a.example")],
    ],
    ids=[
        *("coded body", "no chunked", "coded twice", "two lengths of one body", "length twice", "negative length"),
        *("signed length", "hexadecimal length", "Arabic digits", "type twice", "key twice", "origin twice"),
    ],
)
async def test_ambiguous_framing_is_rejected(raw_asgi: RawAsgi, key: Header, headers: list[Header]) -> None:
    answer = await raw_asgi.answer("POST", REQUEST, [key, JSON, *headers], b"{}")

    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"transfer-encoding", b"chunked")],
        [(b"transfer-encoding", b"Chunked")],
        [(b"content-length", b"2")],
        [(b"content-length", b"002")],
        [(b"content-encoding", b"Identity")],
    ],
)
async def test_ordinary_framing_is_accepted(raw_asgi: RawAsgi, key: Header, headers: list[Header]) -> None:
    answer = await raw_asgi.answer("POST", REQUEST, [key, JSON, *headers], b"{}")

    assert answer.json()["code"] == "validation_failed"


async def test_content_length_of_thousands_of_digits_is_too_large(raw_asgi: RawAsgi, key: Header) -> None:
    answer = await raw_asgi.answer("POST", REQUEST, [key, JSON, (b"content-length", b"9" * 5000)], b"{}")

    assert answer.json()["code"] == "payload_too_large"


@pytest.mark.parametrize(
    ("headers", "status"),
    [(many(99), 200), (many(100), 400), (many(8, 2030), 200), (many(8, 2048), 400), (many(1, 17_000), 400)],
    ids=["100 with Host", "101 with Host", "under 16 KiB", "over 16 KiB", "one over 16 KiB"],
)
async def test_header_count_and_size_are_limited(raw_asgi: RawAsgi, headers: list[Header], status: int) -> None:
    assert (await raw_asgi.answer("GET", "/health/live", headers)).status_code == status


async def test_path_and_query_share_one_length_limit(raw_asgi: RawAsgi) -> None:
    path = "/health/live"

    fits = await raw_asgi.answer("GET", path, query=b"q" * (2048 - len(path)))
    long_query = await raw_asgi.answer("GET", path, query=b"q" * (2049 - len(path)))
    long_path = await raw_asgi.answer("GET", "/" + "é" * 1024)

    assert fits.status_code == 200
    assert long_query.json()["code"] == "uri_too_long"
    assert long_path.json()["code"] == "uri_too_long"


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "BREW", "get", "POST2", "PUT", ""])
async def test_unsupported_methods_are_rejected(raw_asgi: RawAsgi, method: str) -> None:
    known, unknown = [await raw_asgi.answer(method, path) for path in (REQUEST, "/nothing")]

    assert (known.status_code, known.headers["allow"]) == (405, "OPTIONS, POST")
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/api/auth/REQUEST", "/api/auth/request/", "//api/auth/request", "/api/auth/../auth/request", "", "*"),
        *(f"{TENANTS}/{end}" for end in ("", "tn_a/b", "tn_a\0", "tn_é", "a" * 65, "tn_a/keys/")),
    ],
)
async def test_non_canonical_path_is_not_found(raw_asgi: RawAsgi, path: str) -> None:
    for method in ("GET", "POST"):
        assert (await raw_asgi.answer(method, path, [BEARER])).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        *("/health%2Flive", "/health%252Flive", "/%68ealth/live", "/health/liv%65", "/api/%61dmin/tenants"),
        *("/health//live", "//health/live", "/health/./live", "/health/x/../live", "/health/live/", "/health/live%00"),
        *(f"{TENANTS}/{end}" for end in ("%74n_a", "tn%5Fa", "tn_a%3atest", "..", "%2e%2e", ".")),
    ],
)
async def test_percent_encoded_path_is_not_found(raw_asgi: RawAsgi, path: str) -> None:
    response = await raw_asgi("GET", unquote(path), [BEARER], raw_path=path.encode())

    assert response is not None
    assert (response.status_code, response.json()["code"]) == (404, "not_found")


async def test_percent_encoded_colon_in_an_id_is_accepted(raw_asgi: RawAsgi) -> None:
    path = f"{TENANTS}/tn_a%3Atest/settings"

    response = await raw_asgi.answer("GET", unquote(path), raw_path=path.encode())

    assert response.status_code == 401


async def test_http_1_0_does_not_require_a_host(raw_asgi: RawAsgi) -> None:
    without = await raw_asgi.answer("GET", "/health/live", host=[], version="1.0")
    twice = await raw_asgi.answer("GET", "/health/live", host=[HOST, HOST], version="1.0")

    assert (without.status_code, twice.status_code) == (200, 400)


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        ([(b"content-type", b"application/json")], True),
        ([(b"content-type", b"Application/JSON; Charset=UTF-8")], True),
        ([(b"content-type", b'application/json;charset="utf-8"')], True),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"identity")], True),
        ([(b"content-type", b"application/json; charset=utf8")], True),
        ([(b"content-type", b"application/json; odata.metadata=minimal; CHARSET='UTF-8'")], True),
        ([(b"content-type", b"application/json; charset=us-ascii")], True),
        ([(b"content-type", b"application/json;")], True),
        ([], False),
        ([(b"content-type", b"")], False),
        ([(b"content-type", b"text/plain")], False),
        ([(b"content-type", b"application/jsonp")], False),
        ([(b"content-type", b"application/json, text/plain")], False),
        ([(b"content-type", b"application/x-www-form-urlencoded")], False),
        ([(b"content-type", b"application/json; charset=utf-16")], False),
        ([(b"content-type", b"application/json; charset=latin-1")], False),
        ([(b"content-type", b"application/json"), (b"content-encoding", b"gzip")], False),
    ],
)
async def test_only_uncompressed_utf_8_json_bodies_are_accepted(
    raw_asgi: RawAsgi, key: Header, headers: list[Header], taken: bool
) -> None:
    answer = await raw_asgi.answer("POST", VERIFY, [key, *headers], json.dumps({"phone": "1", "code": "0000"}).encode())

    assert answer.json()["code"] == ("invalid_phone" if taken else "unsupported_media_type")


def padded(size: int) -> bytes:
    """Return a body without a valid phone, padded to a size."""
    return b'{"phone": "1"' + b" " * (size - 14) + b"}"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (padded(16_384), "invalid_phone"),
        (padded(16_385), "payload_too_large"),
        ([padded(16_384)[:8000], padded(16_384)[8000:]], "invalid_phone"),
        ([padded(16_385)[:8000], padded(16_385)[8000:]], "payload_too_large"),
        ([b"", b"", padded(200), b""], "invalid_phone"),
        ([bytes([byte]) for byte in padded(256)], "invalid_phone"),
        ([bytes([byte]) for byte in padded(257)], "payload_too_large"),
        ([b""] * 300, "payload_too_large"),
    ],
    ids=["16 KiB", "more", "16 KiB in two", "more in two", "empty pieces", "256 pieces", "257 pieces", "no end"],
)
async def test_body_size_limit_counts_received_bytes(
    raw_asgi: RawAsgi, key: Header, body: bytes | list[bytes], code: str
) -> None:
    assert (await raw_asgi.answer("POST", REQUEST, [key, JSON], body)).json()["code"] == code


async def test_oversized_content_length_is_rejected_without_reading(raw_asgi: RawAsgi, key: Header) -> None:
    announced = [key, JSON, (b"content-length", b"16385")]

    answer = await raw_asgi.answer("POST", REQUEST, announced, [b"{"], then="stall")

    assert answer.json()["code"] == "payload_too_large"


async def test_body_that_trickles_in_times_out_as_a_whole(api: ApiClient, key: Header) -> None:
    """A time limit for each piece would let a client hold its place for as long as it has bytes."""
    brief = [route._replace(limit=BodyLimit(seconds=0.5)) for route in ROUTES]
    body = [bytes([byte]) for byte in padded(250)]  # 25 s, at the least

    answer = await RawAsgi(api, brief).answer("POST", REQUEST, [key, JSON], body, pause_s=0.1)

    assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")


async def test_disconnect_during_the_body_sends_no_code(
    raw_asgi: RawAsgi, key: Header, tenant: dict[str, str], database: asyncpg.Connection, twilio_server: TwilioServer
) -> None:
    phone = new_phone()
    body = json.dumps({"phone": phone}).encode()  # whole, but its end was not announced

    for pieces in ([body], []):
        response = await raw_asgi.answer("POST", REQUEST, [key, JSON], pieces, then="hang up")
        assert (response.status_code, response.json()["code"]) == (400, "bad_request")

    assert await database.fetchval("select count(*) from messages where identifier = $1", phone) == 0
    assert await database.fetchval("select count(*) from identifiers where identifier = $1", phone) == 0
    assert twilio_server.sent_to(phone) == []


async def test_disconnect_during_the_body_spends_no_attempt(
    raw_asgi: RawAsgi, api: ApiClient, key: Header, tenant: dict[str, str], twilio_server: TwilioServer, phone: str
) -> None:
    await api.post(REQUEST, {"phone": phone}, tenant["api_key"])
    code = twilio_server.code_for(phone)
    body = json.dumps({"phone": phone, "code": code}).encode()

    assert (await raw_asgi.answer("POST", VERIFY, [key, JSON], [body], then="hang up")).status_code == 400

    wrong = await api.post(VERIFY, {"phone": phone, "code": f"{(int(code) + 1) % 10**6:06d}"}, tenant["api_key"])
    assert wrong.json()["attempts_remaining"] == 4
    assert (await api.post(VERIFY, {"phone": phone, "code": code}, tenant["api_key"])).status_code == 200


async def test_pending_bodies_do_not_use_the_capacity_of_other_clients(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies, addresses = 64, ["198.51.100.1", "198.51.100.2"]
    monkeypatch.setattr("auth1.core.http.asgi.BODIES_AT_ONCE", bodies)
    monkeypatch.setattr("auth1.core.http.asgi.MAX_RUNNING", bodies * len(addresses))
    crowded = RawAsgi(api)
    pending = asyncio.Semaphore(0)

    def stall(address: str) -> Coroutine[Any, Any, httpx.Response | None]:
        headers = [BEARER, JSON]
        return crowded("POST", TENANTS, headers, [b"{"], then="stall", client=(address, 4000), on_stall=pending.release)

    stalled: list[asyncio.Task[httpx.Response | None]] = []
    try:
        for _ in range(bodies):
            stalled += [asyncio.create_task(stall(address)) for address in addresses]
            async with asyncio.timeout(BEGIN_S):
                for _ in addresses:
                    await pending.acquire()
        served = await crowded.answer("GET", TENANTS, [BEARER])
        rejected = await crowded.answer("POST", TENANTS, [BEARER, JSON], b"{}", client=(addresses[0], 4000))
    finally:
        for task in stalled:
            task.cancel()
        await asyncio.gather(*stalled, return_exceptions=True)

    assert served.status_code == 200
    assert (rejected.status_code, rejected.json()["code"], rejected.headers["connection"]) == (
        503,
        "unavailable",
        "close",
    )
    assert (await crowded.answer("POST", TENANTS, [BEARER, JSON], b"{}")).status_code == 422


async def test_half_bodies_of_several_addresses_leave_a_place_for_another(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    bodies = 8
    monkeypatch.setattr("auth1.core.http.asgi.BODIES_AT_ONCE", bodies)
    crowded = RawAsgi(api)
    tasks: list[asyncio.Task[httpx.Response | None]] = []

    async def stall(address: str) -> None:
        """Send half a body; return when it is awaited, or rejected."""
        reached = asyncio.Event()
        call = crowded(
            "POST", TENANTS, [BEARER, JSON], [b"{"], then="stall", client=(address, 4000), on_stall=reached.set
        )
        tasks.append(asyncio.create_task(call))
        tasks[-1].add_done_callback(lambda _: reached.set())
        async with asyncio.timeout(BEGIN_S):
            await reached.wait()

    try:
        for number in range(SHARES + 2):
            for _ in range(bodies):
                await stall(f"198.51.100.{number}")
        served = [
            await crowded.answer("POST", TENANTS, [BEARER, JSON], b"{}", client=(address, 4000))
            for address in ("203.0.113.9", "2001:db8::9")
        ]
        pending = sum(not task.done() for task in tasks)
    finally:
        for task in tasks:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)

    assert [answer.status_code for answer in served] == [422, 422]
    assert pending <= bodies * SHARES
    rejected = [answer for answer in answers if isinstance(answer, httpx.Response)]
    assert len(rejected) == len(tasks) - pending
    assert {(answer.status_code, answer.headers["connection"]) for answer in rejected} == {(503, "close")}


async def test_burst_of_one_ipv6_network_is_limited_as_one_address(api: ApiClient) -> None:
    burst = RawAsgi(api)

    answers = await asyncio.gather(
        *(burst.answer("GET", "/health/live", client=(f"2001:db8::{port:x}", port)) for port in range(1, BURST + 51))
    )
    other = await burst.answer("GET", "/health/live", client=("2001:db8:0:1::1", 1))

    assert sum(answer.status_code == 503 for answer in answers) == 50
    assert other.status_code == 200


@pytest.mark.parametrize(("security", "entered"), [(((),), 1), ((("publishableKey",),), 2)])
async def test_requests_without_a_credential_are_limited_before_they_are_authenticated(
    api: ApiClient, security: tuple[tuple[str, ...], ...], entered: int
) -> None:
    begun, go_on = [], asyncio.Event()

    async def authenticate(app: object, request: Request[Any], rate_limit: object) -> None:
        begun.append(request)
        await go_on.wait()

    async def handle(app: object, request: Request[Any]) -> None:
        await go_on.wait()

    client = RawAsgi(api, [Route("GET", "/limited", handle, Auth("test", authenticate, security), max_concurrent=1)])
    tasks = [asyncio.create_task(client("GET", "/limited")) for _ in range(2)]
    for _ in range(5):
        await asyncio.sleep(0)
    was_begun = len(begun)
    go_on.set()
    await asyncio.gather(*tasks)

    assert was_begun == entered


async def test_burst_of_a_unix_socket_is_served(api: ApiClient) -> None:
    burst = RawAsgi(api)

    answers = await asyncio.gather(*(burst.answer("GET", "/health/live", client=None) for _ in range(BURST + 50)))

    assert {answer.status_code for answer in answers} == {200}


async def test_burst_of_one_address_closes_its_connections(api: ApiClient) -> None:
    burst = RawAsgi(api)

    answers = await asyncio.gather(
        *(burst.answer("GET", "/health/live", client=("198.51.100.7", port)) for port in range(BURST + 50))
    )
    other = await burst.answer("GET", "/health/live", client=("198.51.100.8", 1))

    rejected = [answer for answer in answers if answer.status_code != 200]
    assert len(rejected) == 50
    assert {(answer.status_code, answer.headers["connection"]) for answer in rejected} == {(503, "close")}
    assert other.status_code == 200


@pytest.mark.parametrize("depth", [65, 944, 945, 960, 5000])
@pytest.mark.parametrize("body", [b'{"metadata":%b1%b}', b'{"phone":%b1%b}'])
@pytest.mark.parametrize("brackets", [(b"[", b"]"), (b'{"a":', b"}")])
async def test_deeply_nested_json_is_bad_json(
    raw_asgi: RawAsgi, key: Header, depth: int, body: bytes, brackets: tuple[bytes, bytes]
) -> None:
    opening, closing = brackets
    nested = body % (opening * (depth - 1), closing * (depth - 1))

    response = await raw_asgi.answer("POST", REQUEST, [key, JSON], nested)

    expected = (413, "payload_too_large") if len(nested) > 16 * 1024 else (400, "bad_json")
    assert (response.status_code, response.json()["code"]) == expected


async def test_brackets_inside_strings_do_not_count_as_nesting(raw_asgi: RawAsgi, key: Header) -> None:
    body = json.dumps({"phone": '[{"\\' * 100}).encode()

    assert (await raw_asgi.answer("POST", REQUEST, [key, JSON], body)).json()["code"] == "validation_failed"
