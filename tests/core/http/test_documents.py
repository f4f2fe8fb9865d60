"""Static documents: compressed once, revalidated by entity tag, limited in concurrency."""

import asyncio

import pytest

from auth1.authn import guards
from auth1.core.http import asgi
from auth1.core.http.request import Request
from auth1.core.http.router import Route
from auth1.core.http.static import accepts_gzip
from auth1.openapi.page import SNAPSHOT
from auth1.routes import DOCUMENTS, ROUTES
from tests.support.api_client import ApiClient
from tests.support.raw_asgi import JSON, RawAsgi

PATHS = ("/openapi.json", "/docs", "/docs/sign-in")
FIRST_FLIGHT = 14_600  # bytes that a server sends before it waits for the client (RFC 6928)
GZIP = (b"accept-encoding", b"gzip")


@pytest.mark.parametrize("path", PATHS)
async def test_document_is_compressed_for_clients_that_accept_it(raw_asgi: RawAsgi, path: str) -> None:
    plain = await raw_asgi.answer("GET", path)
    compressed = await raw_asgi.answer("GET", path, [(b"accept-encoding", b"br, gzip;q=0.5")])

    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    size = int(compressed.headers["content-length"])
    assert size < int(plain.headers["content-length"]) / 5 or size < FIRST_FLIGHT
    assert compressed.content == plain.content  # the client of the tests has unpacked it
    assert plain.headers["vary"] == compressed.headers["vary"] == "accept-encoding"
    assert plain.headers["etag"] != compressed.headers["etag"]


async def test_openapi_document_is_the_committed_file(raw_asgi: RawAsgi) -> None:
    assert (await raw_asgi.answer("GET", "/openapi.json")).content == SNAPSHOT.read_bytes()


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("headers", [[], [GZIP]])
async def test_matching_etag_returns_not_modified(
    raw_asgi: RawAsgi, path: str, headers: list[tuple[bytes, bytes]]
) -> None:
    tag = (await raw_asgi.answer("GET", path, headers)).headers["etag"]

    for known in (tag, f'"other", W/{tag}', "*"):
        again = await raw_asgi.answer("GET", path, [*headers, (b"if-none-match", known.encode())])
        assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        assert "content-length" not in again.headers
    assert (await raw_asgi.answer("GET", path, [*headers, (b"if-none-match", b'"other"')])).status_code == 200


async def test_unknown_section_of_the_reference_is_not_found(api: ApiClient) -> None:
    answer = await api.client.get("/docs/unknown")

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", PATHS)
async def test_connection_closes_after_a_document(raw_asgi: RawAsgi, path: str) -> None:
    assert (await raw_asgi.answer("GET", path)).headers["connection"] == "close"


async def test_concurrent_document_requests_per_address_are_limited(raw_asgi: RawAsgi) -> None:
    reading = [asyncio.create_task(raw_asgi.stall("GET", "/openapi.json")) for _ in range(DOCUMENTS)]
    try:
        await asyncio.sleep(0.05)
        rejected = await raw_asgi.answer("GET", "/openapi.json")
        other = await raw_asgi.answer("GET", "/openapi.json", client=("198.51.100.7", 4000))
        live = await raw_asgi.answer("GET", "/health/live")
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)

    assert (rejected.status_code, rejected.json()["code"], rejected.headers["connection"]) == (
        503,
        "unavailable",
        "close",
    )
    assert (other.status_code, live.status_code) == (200, 200)
    assert (await raw_asgi.answer("GET", "/openapi.json")).status_code == 200


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        (None, False),
        ("", False),
        ("gzip", True),
        ("GZIP", True),
        ("br, gzip;q=0.1", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000", False),
        ("*", True),
        ("*;q=0", False),
        ("gzip;q=0, *", False),
        ("identity", False),
        ("xgzip", False),
    ],
)
def test_accept_encoding_follows_its_standard(header: str | None, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


def test_every_public_route_has_a_concurrency_limit() -> None:
    open_to_all = (guards.public, guards.metrics_reader)

    unbounded = [route.path for route in ROUTES if route.auth in open_to_all or route.quiet if not route.max_concurrent]

    assert unbounded == []


async def test_request_above_worker_capacity_is_rejected(api: ApiClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "MAX_RUNNING", 1)
    entered, proceed = asyncio.Event(), asyncio.Event()

    async def wait(app: None, request: Request[None], body: object = None) -> None:
        entered.set()
        await proceed.wait()

    routes = [
        Route("GET", "/wait", wait, guards.public),
        Route("POST", "/wait", wait, guards.public, body=dict[str, str]),
        Route("GET", "/quiet", wait, guards.public, quiet=True),
    ]
    client = RawAsgi(api, routes)
    receiving = asyncio.create_task(client("POST", "/wait", [JSON], [b"{"], then="stall"))
    await asyncio.sleep(0)  # it does not count while its body is being received
    running = asyncio.create_task(client("GET", "/wait"))
    await entered.wait()

    rejected = await client("GET", "/wait")
    quiet = asyncio.create_task(client("GET", "/quiet"))
    await asyncio.sleep(0)
    assert not quiet.done()
    proceed.set()
    answers = [rejected, await running, await quiet, await client("GET", "/wait")]
    assert [answer and answer.status_code for answer in answers] == [503, 204, 204, 204]
    receiving.cancel()
