"""Access to the operator's routes and to the metrics."""

import re

import pytest

from auth1 import routes
from tests.conftest import Started
from tests.support.api_client import TENANTS, ApiClient
from tests.support.raw_asgi import RawAsgi

TABLE = [(route.method, route.path.removeprefix(TENANTS)) for route in routes.ROUTES if route.path.startswith(TENANTS)]
ROUTES = [(method, re.sub(r"\{\w+\}", "x_1", end.replace("{tenant_id}", "tn_1"))) for method, end in TABLE]


@pytest.mark.parametrize(("method", "end"), ROUTES)
async def test_every_operator_route_requires_the_admin_token(
    api: ApiClient, tenant: dict[str, str], method: str, end: str
) -> None:
    for headers, code in (
        ({}, "not_authenticated"),
        ({"authorization": "Bearer wrong"}, "invalid_token"),
        ({"authorization": f"Bearer {tenant['secret_key']}"}, "invalid_token"),
        ({"x-api-key": tenant["secret_key"]}, "not_authenticated"),
    ):
        answer = await api.client.request(method, TENANTS + end, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, code)


async def test_admin_api_is_disabled_without_an_admin_token(start_app: Started) -> None:
    api = await start_app(ADMIN_TOKEN="")
    for method, end in ROUTES:
        answer = await api.admin(method, TENANTS + end)
        assert (answer.status_code, answer.json()["code"]) == (403, "admin_disabled")


@pytest.mark.parametrize(
    ("headers", "detail"),
    [
        ({}, "This needs the header Authorization: Bearer with the operator's ADMIN_TOKEN."),
        ({"authorization": "Bearer wrong"}, "The bearer token is not the operator's ADMIN_TOKEN."),
    ],
)
async def test_missing_or_wrong_admin_token_is_named(api: ApiClient, headers: dict[str, str], detail: str) -> None:
    assert (await api.client.get(TENANTS, headers=headers)).json()["detail"] == detail


@pytest.mark.parametrize(("method", "end"), [route for route in ROUTES if route[1]])
async def test_unknown_tenant_is_not_found(api: ApiClient, method: str, end: str) -> None:
    body: dict[str, object] | None = {"kind": "pk"} if end.endswith("keys") else {}

    answer = await api.admin(method, TENANTS + end, body)

    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("peer", "forwarded_for", "status"),
    [
        ("127.0.0.1", None, 200),
        ("10.1.2.3", None, 200),
        ("192.168.1.1", "8.8.8.8", 401),  # no proxy of ours: what it forwards is not read
        ("fd00::1", None, 200),
        ("::ffff:10.1.2.3", None, 200),
        ("127.0.0.1", "10.1.2.3", 200),
        ("8.8.8.8", None, 401),
        ("8.8.8.8", "127.0.0.1", 401),
        ("2606:4700::1111", None, 401),
        ("127.0.0.1", "8.8.8.8", 401),
        ("127.0.0.1", "127.0.0.1, 8.8.8.8", 401),
    ],
)
async def test_metrics_are_readable_from_private_addresses_only(
    raw_asgi: RawAsgi, peer: str, forwarded_for: str | None, status: int
) -> None:
    headers = [(b"origin", b"https://app.example.com")]
    headers += [(b"x-forwarded-for", forwarded_for.encode())] if forwarded_for else []

    answer = await raw_asgi.answer("GET", "/metrics", headers, client=(peer, 4000))

    assert answer.status_code == status
    if status == 200:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert "auth1_http_requests_total" in answer.text
    else:
        assert answer.headers["www-authenticate"] == "Bearer"
        assert "auth1_" not in answer.text
    assert not [name for name in answer.headers if name.startswith("access-control-")]


@pytest.mark.parametrize("header", [b"x-forwarded-for", b"forwarded", b"x-real-ip", b"via", b"cf-connecting-ip"])
@pytest.mark.parametrize("value", [b"127.0.0.1", b"for=127.0.0.1", b"unknown", b""])
async def test_metrics_are_rejected_through_an_untrusted_proxy(raw_asgi: RawAsgi, header: bytes, value: bytes) -> None:
    answer = await raw_asgi.answer("GET", "/metrics", [(header, value)], client=("192.168.0.7", 4000))

    assert (answer.status_code, answer.json()["code"]) == (401, "not_authenticated")


async def test_metrics_have_no_preflight(raw_asgi: RawAsgi) -> None:
    answer = await raw_asgi.answer("OPTIONS", "/metrics", [(b"origin", b"https://app.example.com")])

    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert not [name for name in answer.headers if name.startswith("access-control-")]


async def test_metrics_require_the_metrics_token_when_set(start_app: Started) -> None:
    api = await start_app(METRICS_TOKEN="a token for reading the metrics")

    without = await api.client.get("/metrics")
    wrong = await api.admin("GET", "/metrics")
    right = await api.client.get("/metrics", headers={"authorization": "Bearer a token for reading the metrics"})

    assert (without.status_code, wrong.status_code, right.status_code) == (401, 401, 200)
    assert [answer.headers["www-authenticate"][:6] for answer in (without, wrong)] == ["Bearer", "Bearer"]
