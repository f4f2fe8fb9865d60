"""Rate limits: exact, with a correct Retry-After, also without Redis (contract: sections 3 and 7)."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import http_sf
import httpx
import pytest

from auth1.dev.redis import RedisServer
from auth1.fraud.verification import settle
from tests.conftest import Started, new_phone
from tests.support.api_client import REQUEST, VERIFY, ApiClient
from tests.support.polling import until
from tests.support.providers.twilio import TwilioServer

HOUR_S = 3600
MINUTE_S = 60


@pytest.fixture(scope="module", params=["in Redis", "without Redis"])
def environment_of_limits(request: pytest.FixtureRequest, redis_server: RedisServer) -> dict[str, str]:
    """Return where limits are counted: a Redis database of the test, or the process.

    A Redis that takes longer than 50 ms counts as unavailable, and the process then counts from nought. On a busy
    machine the tests wait longer.
    """
    there = request.param == "in Redis"
    patient = {"REDIS_CONNECT_TIMEOUT_MS": "10000", "REDIS_CALL_TIMEOUT_MS": "5000"}
    return {"REDIS_URL": redis_server.url(4) if there else "redis://127.0.0.1:1/0", **patient}


@pytest.fixture(scope="module")
async def limited(start_app: Started, environment_of_limits: dict[str, str]) -> ApiClient:
    """Return an application with five requests an hour per address."""
    return await start_app(RATE_LIMIT_MAX="5", **environment_of_limits)


@pytest.fixture(scope="module")
async def free(start_app: Started, environment_of_limits: dict[str, str]) -> ApiClient:
    """Return an application without a relevant IP rate limit."""
    return await start_app(RATE_LIMIT_MAX="1000000", **environment_of_limits)


_clients = itertools.count(1)


def client() -> str:
    """Return an address that no other test uses."""
    number = next(_clients)
    return f"198.18.{number // 256}.{number % 256}"


def limits(answer: httpx.Response) -> dict[str, dict[str, int]]:
    """Return the limits of a response by name: q and w of the policy, r and t of the state."""
    reported: dict[str, dict[str, int]] = {}
    for header, parameters in (("ratelimit-policy", {"q", "w"}), ("ratelimit", {"r", "t"})):
        items: Any = http_sf.parse(", ".join(answer.headers.get_list(header)).encode(), tltype="list")
        for name, numbers in items:
            assert isinstance(name, str)
            assert set(numbers) == parameters
            assert all(isinstance(number, int) and number >= 0 for number in numbers.values())
            reported.setdefault(name, {}).update(numbers)
    return reported


def wait_of(answer: httpx.Response, name: str) -> int:
    """Return the wait of a rate-limit error; check that all its fields agree."""
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    wait_s = int(answer.headers["retry-after"])
    assert answer.json()["retry_after"] == wait_s
    state = limits(answer)[name]
    assert (state["r"], state["t"]) == (0, wait_s)
    return wait_s


async def test_requests_above_the_rate_limit_are_rejected(limited: ApiClient) -> None:
    mine, other = client(), client()
    for remaining in (4, 3, 2, 1, 0):
        answer = await limited.post(VERIFY, {}, "none", x_forwarded_for=mine)
        assert answer.json()["code"] == "invalid_api_key"
        assert limits(answer)["ip"] == {"q": 5, "w": HOUR_S, "r": remaining, "t": limits(answer)["ip"]["t"]}

    rejected = await limited.post(VERIFY, {}, "none", x_forwarded_for=mine)

    assert 0.9 * HOUR_S - 60 <= wait_of(rejected, "ip") <= HOUR_S
    assert (await limited.post(VERIFY, {}, "none", x_forwarded_for=other)).status_code == 401


async def test_consecutive_rejections_have_the_same_retry_after(limited: ApiClient) -> None:
    mine = client()
    for _ in range(5):
        await limited.post(VERIFY, {}, "none", x_forwarded_for=mine)

    waits = [wait_of(await limited.post(VERIFY, {}, "none", x_forwarded_for=mine), "ip") for _ in range(5)]

    assert min(waits) >= 0.9 * HOUR_S - 60


async def test_request_and_verify_share_one_rate_limit(limited: ApiClient) -> None:
    mine, tenant = client(), await limited.tenant()
    for path in (REQUEST, VERIFY, REQUEST, VERIFY, REQUEST):
        answer = await limited.post(path, {}, tenant["api_key"], x_forwarded_for=mine)
        assert answer.json()["code"] == "validation_failed"

    for path in (REQUEST, VERIFY):
        wait_of(await limited.post(path, {}, tenant["api_key"], x_forwarded_for=mine), "ip")


async def test_parallel_requests_stay_within_the_rate_limit(limited: ApiClient) -> None:
    mine = client()

    answers = await asyncio.gather(*(limited.post(VERIFY, {}, "none", x_forwarded_for=mine) for _ in range(40)))

    assert sorted(answer.status_code for answer in answers) == [401] * 5 + [429] * 35


@pytest.mark.parametrize("window_ms", [1000, 2000])
async def test_request_is_accepted_after_retry_after(
    start_app: Started, environment_of_limits: dict[str, str], window_ms: int
) -> None:
    api = await start_app(RATE_LIMIT_MAX="2", RATE_LIMIT_WINDOW_MS=str(window_ms), **environment_of_limits)
    mine = client()
    rejected: list[httpx.Response] = []

    async def is_rejected() -> bool:
        """Send three concurrent requests, again if the window passed between them."""
        answers = await asyncio.gather(*(api.post(VERIFY, {}, "none", x_forwarded_for=mine) for _ in range(3)))
        rejected.extend(answer for answer in answers if answer.status_code == 429)
        return bool(rejected)

    assert await until(is_rejected)
    wait_s = wait_of(rejected[-1], "ip")
    assert 1 <= wait_s <= window_ms // 1000 == limits(rejected[-1])["ip"]["w"]

    await asyncio.sleep(wait_s)  # the very promise that is tested

    assert (await api.post(VERIFY, {}, "none", x_forwarded_for=mine)).status_code == 401


async def test_tenant_rate_limit_follows_its_setting(free: ApiClient, twilio_server: TwilioServer) -> None:
    tenant, other = await free.tenant(requests_per_minute=2), await free.tenant(requests_per_minute=2)
    phones = [new_phone() for _ in range(4)]
    for phone in phones[:2]:
        assert (await free.post(REQUEST, {"phone": phone}, tenant["api_key"])).status_code == 200

    rejected = await free.post(REQUEST, {"phone": phones[2]}, tenant["api_key"])

    assert 0 < wait_of(rejected, "tenant") <= MINUTE_S
    assert limits(rejected)["tenant"]["q"] == 2
    assert twilio_server.sent_to(phones[2]) == []
    assert (await free.post(REQUEST, {"phone": phones[3]}, other["api_key"])).status_code == 200


async def test_secret_key_sees_all_limits_and_publishable_key_the_ip_limit(free: ApiClient) -> None:
    tenant = await free.tenant(requests_per_minute=7)

    secret = await free.post(REQUEST, {"phone": new_phone()}, tenant["secret_key"])
    public = await free.post(REQUEST, {"phone": new_phone()}, tenant["api_key"])

    assert {name: state["q"] for name, state in limits(secret).items()} == {"tenant": 7, "identifier": 30}
    assert limits(secret)["tenant"]["r"] == 6
    assert set(limits(public)) == {"ip"}


async def test_identifier_limit_is_thirty_requests_a_minute(free: ApiClient, twilio_server: TwilioServer) -> None:
    tenant, phone = await free.tenant(), new_phone()
    codes = [(await free.post(REQUEST, {"phone": phone}, tenant["api_key"])).json().get("code") for _ in range(30)]

    rejected = await free.post(REQUEST, {"phone": phone}, tenant["api_key"])

    assert codes == [None] + ["resend_too_soon"] * 29
    assert 0 < wait_of(rejected, "identifier") <= MINUTE_S
    assert len(twilio_server.sent_to(phone)) == 1


async def settle_logins(api: ApiClient) -> None:
    """Do what a worker does each second."""
    await settle(api.services)
    await api.services.limiter.flush_releases()


async def test_login_returns_the_requests_that_it_used(limited: ApiClient, twilio_server: TwilioServer) -> None:
    mine, tenant = client(), await limited.tenant()
    for _ in range(4):
        phone = new_phone()
        await limited.post(REQUEST, {"phone": phone}, tenant["api_key"], x_forwarded_for=mine)
        body = {"phone": phone, "code": twilio_server.code_for(phone)}
        answer = await limited.post(VERIFY, body, tenant["api_key"], x_forwarded_for=mine)
        assert answer.status_code == 200
        await settle_logins(limited)

    answer = await limited.post(VERIFY, {}, tenant["api_key"], x_forwarded_for=mine)

    assert limits(answer)["ip"]["r"] == 4


async def test_wrong_code_returns_no_request(limited: ApiClient, twilio_server: TwilioServer) -> None:
    mine, tenant, phone = client(), await limited.tenant(), new_phone()
    await limited.post(REQUEST, {"phone": phone}, tenant["api_key"], x_forwarded_for=mine)
    wrong = f"{(int(twilio_server.code_for(phone)) + 1) % 10**6:06d}"
    await limited.post(VERIFY, {"phone": phone, "code": wrong}, tenant["api_key"], x_forwarded_for=mine)
    await settle_logins(limited)

    answer = await limited.post(VERIFY, {}, tenant["api_key"], x_forwarded_for=mine)

    assert limits(answer)["ip"]["r"] == 2


async def test_workers_count_locally_when_redis_is_unavailable(start_app: Started, tmp_path: Path) -> None:
    with RedisServer(tmp_path) as redis:
        api = await start_app(RATE_LIMIT_MAX="3", REDIS_URL=redis.url())
        mine = client()

        async def ask() -> int:
            return (await api.post(VERIFY, {}, "none", x_forwarded_for=mine)).status_code

        assert [await ask() for _ in range(3)] == [401] * 3
        redis.kill()

        assert [await ask() for _ in range(4)] == [401] * 3 + [429]  # loosened once, and not lost
