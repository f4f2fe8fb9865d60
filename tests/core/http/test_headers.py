"""Response headers: CORS, request ids and caching."""

import pytest

from tests.conftest import Started
from tests.support.api_client import ADMIN_TOKEN, REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.raw_asgi import RawAsgi

APP = "https://app.example.com"


@pytest.fixture(scope="module")
async def strict(start_app: Started) -> ApiClient:
    """Return an application that pages of two origins may call."""
    return await start_app(CORS_ORIGINS=f"{APP},http://localhost:5173", APP_URL="https://auth.example.com")


@pytest.mark.parametrize("path", ["/health/live", "/health", "/health/ready", TENANTS, TENANTS + "/tn_none"])
async def test_head_returns_the_headers_of_get_without_a_body(raw_asgi: RawAsgi, path: str) -> None:
    bearer = [(b"authorization", f"Bearer {ADMIN_TOKEN}".encode())]
    read, head = [await raw_asgi.answer(method, path, bearer) for method in ("GET", "HEAD")]

    assert head.status_code == read.status_code
    assert head.content == b""
    assert set(head.headers) == set(read.headers)
    assert int(head.headers["content-length"]) > 0


async def test_head_is_rejected_on_a_post_route(api: ApiClient) -> None:
    assert (await api.client.head(REQUEST)).status_code == 405


async def test_options_lists_the_methods_of_a_path(api: ApiClient) -> None:
    assert (await api.client.options(REQUEST)).headers["allow"] == "OPTIONS, POST"
    assert (await api.client.options(TENANTS)).headers["allow"] == "GET, HEAD, OPTIONS, POST"
    assert (await api.client.options(TENANTS + "/tn_1")).headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"
    assert (await api.client.options("/nothing")).status_code == 404


async def test_preflight_needs_no_key_and_allows_the_api_headers(api: ApiClient) -> None:
    preflight = {"access-control-request-method": "POST", "access-control-request-headers": "x-api-key,content-type"}

    answer = await api.client.options(REQUEST, headers={"origin": APP, **preflight})

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
    allowed = set(answer.headers["access-control-allow-headers"].split(", "))
    assert {"x-api-key", "authorization", "content-type", "idempotency-key", "x-request-id"} <= allowed
    assert {"traceparent", "tracestate", "baggage", "sentry-trace"} <= allowed
    assert "auth1-forwarded-for" not in allowed, "a page does not say whose address it has"
    assert int(answer.headers["access-control-max-age"]) > 0
    assert "access-control-allow-credentials" not in answer.headers


async def test_useful_headers_are_exposed_to_pages(api: ApiClient) -> None:
    exposed = (await api.post(VERIFY, {}, origin=APP)).headers["access-control-expose-headers"].split(", ")

    assert {
        "retry-after",
        "ratelimit",
        "ratelimit-policy",
        "x-request-id",
        "www-authenticate",
        "idempotent-replayed",
    } <= set(exposed)


@pytest.mark.parametrize("origin", [APP, "http://localhost:5173", "https://auth.example.com"])
async def test_configured_and_own_origins_may_call(strict: ApiClient, origin: str) -> None:
    preflight = await strict.client.options(REQUEST, headers={"origin": origin})
    called = await strict.post(VERIFY, {}, origin=origin)

    for answer in (preflight, called):
        assert answer.headers["access-control-allow-origin"] == origin
        assert answer.headers["vary"] == "origin"
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert called.json()["code"] == "not_authenticated"


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example.com", "http://app.example.com", f"{APP}:444", f"{APP}.evil.com", "null", "", "HTTPS://APP"],
)
async def test_other_origins_are_rejected(strict: ApiClient, origin: str) -> None:
    preflight = await strict.client.options(REQUEST, headers={"origin": origin})
    called = await strict.post(VERIFY, {}, origin=origin)

    assert called.json()["code"] == "origin_not_allowed"
    for answer in (preflight, called):
        assert "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-methods" not in answer.headers
        assert answer.headers["vary"] == "origin"


async def test_request_without_an_origin_is_accepted(strict: ApiClient) -> None:
    answer = await strict.post(VERIFY, {})

    assert answer.json()["code"] == "not_authenticated"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("wanted", ["abcd1234", "req_01-x.Y", "a" * 128, "6f9619ff-8b86-d011-b42d-00cf4fc964ff"])
async def test_valid_request_id_is_returned(api: ApiClient, wanted: str) -> None:
    taken = await api.client.get("/health/live", headers={"x-request-id": wanted})
    rejected = await api.post(VERIFY, {}, x_request_id=wanted)

    assert taken.headers["x-request-id"] == wanted
    assert rejected.headers["x-request-id"] == rejected.json()["request_id"] == wanted


@pytest.mark.parametrize(
    "wanted", [b"", b"short12", b"a" * 129, b"with space", b"line\nbreak", b"<script>alert", b'quo"ted12', b"\xff" * 8]
)
async def test_invalid_request_id_is_replaced(raw_asgi: RawAsgi, wanted: bytes) -> None:
    ids = [(await raw_asgi.answer("GET", "/health/live", [(b"x-request-id", wanted)])).headers["x-request-id"]] + [
        (await raw_asgi.answer("GET", "/health/live")).headers["x-request-id"] for _ in range(2)
    ]

    assert all(request_id.startswith("req_") and len(request_id) == 30 for request_id in ids)
    assert len(set(ids)) == 3


async def test_api_responses_are_not_cacheable(api: ApiClient, tenant: dict[str, str], phone: str) -> None:
    answers = [
        await api.post(REQUEST, {"phone": phone}, tenant["api_key"]),
        await api.post(VERIFY, {"phone": phone, "code": "0"}, tenant["api_key"]),
        await api.admin("GET", TENANTS),
        await api.client.get("/api/nothing"),
        await api.client.options(REQUEST),
    ]

    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_responses_have_no_cookie_and_no_server_header(api: ApiClient) -> None:
    for path in ("/health", TENANTS, "/nothing"):
        answer = await api.client.get(path, headers={"authorization": f"Bearer {ADMIN_TOKEN}"})

        assert not {"set-cookie", "server", "x-powered-by"} & set(answer.headers)
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_root_leads_to_the_api_reference(api: ApiClient) -> None:
    answer = await api.client.get("/")

    assert answer.status_code == 200
    assert '<a class="button" href="/docs">' in answer.text
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'sha256-")
