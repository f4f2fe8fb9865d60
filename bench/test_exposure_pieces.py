"""The CPU of acquiring exposures and rate limits, without Redis. See `test_pieces.py`."""

import struct
from collections.abc import Sequence
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, Script
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.messages import Message
from auth1.fraud.policy import Policy
from bench.test_pieces import PHONE, TENANT, alone


class AnsweringRedis(Redis):
    """A Redis that acquires everything at once: what remains is the CPU of this process."""

    def __init__(self) -> None:
        super().__init__("redis://127.0.0.1:1/0", Log("error"))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> list[Any]:
        limits = int(arguments[1])
        scopes = 0 if arguments[-1] != "" else 6
        return [1, 1_700_000_000_000, 0, 0, 1000, 0, 0, *[5, 5] * limits, *[struct.pack("<3d", 1, 0, 1.7e9)] * scopes]


@alone
@pytest.mark.parametrize("number", [PHONE, None], ids=["sms", "email"])
def test_acquire_exposures_without_redis(benchmark: BenchmarkFixture, number: str | None) -> None:
    redis = AnsweringRedis()
    postgres = Postgres("postgresql://127.0.0.1:1/none", Log("error"), size=1)
    exposures, policy = Exposures(redis, postgres, RateLimiter(redis)), Policy()
    message = Message(TENANT, PHONE, number, "US", 0.05, "203.0.113.7")
    limits = [RateLimit(name, f"slots:{{{TENANT}}}:{name}", 1000, 60_000) for name in ("tenant", "identifier")]

    def acquire() -> bool:
        try:
            exposures.acquire(policy, message, limits).send(None)
        except StopIteration as stop:
            return bool(stop.value.is_plain)
        return False

    assert benchmark(acquire)
