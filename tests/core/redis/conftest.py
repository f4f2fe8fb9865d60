"""A cluster and a service behind sentinels, clients of them, and logins that run while servers fail."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Self

import pytest

from auth1.core.ratelimit import RateLimit
from auth1.core.redis import Redis, Timeouts, open_redis
from auth1.core.telemetry.log import Log
from tests.conftest import Started, new_phone
from tests.support.api_client import ApiClient
from tests.support.process import until
from tests.support.providers.twilio import TwilioServer
from tests.support.redis_fleet import ClusterFleet, SentinelFleet

PATIENT = Timeouts(connect_s=5.0, call_s=5.0)  # a busy machine is not an unavailable Redis
HOUR_MS = 3_600_000
OpenRedis = Callable[[str], Awaitable[Redis]]


@pytest.fixture(scope="package")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ClusterFleet]:
    """Return three primaries and a replica of the last one."""
    async with ClusterFleet(tmp_path_factory.mktemp("cluster")) as fleet:
        yield fleet


@pytest.fixture(scope="package")
async def sentinels(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SentinelFleet]:
    """Return a primary and a replica behind three sentinels."""
    async with SentinelFleet(tmp_path_factory.mktemp("sentinels")) as fleet:
        yield fleet


@pytest.fixture
async def connect() -> AsyncIterator[OpenRedis]:
    """Open patient clients; all are closed at the end."""
    opened: list[Redis] = []

    async def connect(url: str) -> Redis:
        redis = open_redis(url, Log("error"), timeouts=PATIENT)
        opened.append(redis)
        assert await redis.start(), redis.failure
        return redis

    yield connect
    for redis in opened:
        await redis.stop()


def limit(tag: str, name: str = "any", size: int = 10) -> RateLimit:
    return RateLimit("any", f"ratelimit:{{{tag}}}:{name}", size, HOUR_MS)


class Logins:
    """Logins one after the other while the block runs; every one must succeed."""

    def __init__(self, api: ApiClient, key: str, twilio_server: TwilioServer) -> None:
        self._api = api
        self._key = key
        self._twilio = twilio_server
        self._task: asyncio.Task[None] | None = None
        self.count = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        await self.more(2)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        if error is None:
            await self.more(2)
        self._task.cancel()
        outcome = await asyncio.gather(self._task, return_exceptions=True)
        assert isinstance(outcome[0], asyncio.CancelledError), outcome[0]

    async def more(self, number: int) -> None:
        """Wait until so many more logins have succeeded."""
        goal = self.count + number
        await until(lambda: self.count >= goal or self._has_failed())

    def _has_failed(self) -> bool:
        return self._task is not None and self._task.done()

    async def _run(self) -> None:
        while True:
            phone = new_phone()
            requested = await self._api.post("/api/auth/request", {"phone": phone}, self._key)
            assert requested.status_code == 200, requested.text
            body = {"phone": phone, "code": self._twilio.code_for(phone)}
            verified = await self._api.post("/api/auth/verify", body, self._key)
            assert verified.status_code == 200, verified.text
            self.count += 1


NewLogins = Callable[[str], Awaitable[Logins]]


@pytest.fixture
async def new_logins(start_app: Started, twilio_server: TwilioServer) -> NewLogins:
    """Start an application on a Redis URL, with its background jobs."""

    async def make(url: str) -> Logins:
        api = await start_app(background=True, REDIS_URL=url, DATABASE_POOL_SIZE="4")
        return Logins(api, (await api.tenant())["api_key"], twilio_server)

    return make
