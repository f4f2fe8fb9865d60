"""The CPU of the fraud rules, without Redis and PostgreSQL. See `test_pieces.py`.

The rules cost what `check_a_request` needs more than `acquire_two_limits`, and `settle_a_right_code`.
"""

import struct
from collections.abc import Coroutine, Sequence
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from auth1.config.settings import load_settings
from auth1.core.crypto import Keyring
from auth1.core.http.request import Request
from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Address, Script, Server
from auth1.core.redis.server import FixedLocator
from auth1.core.telemetry.log import Log
from auth1.fraud.assess import check_request
from auth1.fraud.decisions.log import DecisionLog
from auth1.fraud.evidence import Candidate
from auth1.fraud.exposures.acquire import ACQUIRE, Exposures
from auth1.fraud.exposures.messages import Message
from auth1.fraud.exposures.settlements import SETTLE
from auth1.fraud.lists.cache import ListCache
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.sources import FraudSources
from auth1.fraud.verification import settle_right_code
from auth1.identifiers import parse_phone
from auth1.services import Services
from bench.test_pieces import CALLER, PHONE, TENANT, alone

STATE = struct.pack("<3d", 1, 0, 1.7e9)


class AnsweringRedis(Server):
    """A Redis that acquires everything at once: what remains is the CPU of this process."""

    def __init__(self) -> None:
        address = Address.parse("redis://127.0.0.1:1/0")
        super().__init__(address, FixedLocator(address.endpoints[0]), Log("error"), name="bench")

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> list[Any]:
        if script is SETTLE:
            return [0, STATE, STATE, [b"US", STATE], [b"", 1, STATE, STATE] * ((len(arguments) - 4) // 3)]
        if script is not ACQUIRE:
            return [0, 0, *[5, 5] * len(keys)]
        limits = int(arguments[1])
        scopes = 0 if arguments[-1] != "" else 6
        return [1, 1_700_000_000_000, 0, 0, 1000, 0, 0, *[5, 5] * limits, *[STATE] * scopes]


LIMITS = [RateLimit(name, f"ratelimit:{{{TENANT}}}:{name}", 1000, 60_000) for name in ("tenant", "identifier")]
ADDRESS = "203.0.113.7"


def nowhere() -> Postgres:
    """Return a database that is not started."""
    return Postgres("postgresql://127.0.0.1:1/none", Log("error"), size=1)


def services() -> Services:
    """Return the services that the fraud rules use, without connections."""
    environment = {"DATABASE_URL": "postgresql://a/b", "REDIS_URL": "redis://r", "JWT_SECRET": "0" * 64}
    settings, postgres, redis, log = load_settings(environment), nowhere(), AnsweringRedis(), Log("error")
    limiter = RateLimiter(redis)
    found = SimpleNamespace(
        settings=settings,
        postgres=postgres,
        limiter=limiter,
        exposures=Exposures(redis, postgres, limiter),
        fraud_sources=FraudSources(settings, postgres, Keyring("a secret of the benchmarks"), log),
        lists=ListCache(postgres),
        decisions=DecisionLog(postgres, log),
    )
    return cast(Services, found)  # without the services of other packages


def new_request() -> Request[Any]:
    """Return a request of a browser."""
    scope = {"method": "POST", "path": "/api/auth/request", "query_string": b"", "headers": [(b"host", b"localhost")]}
    request: Request[Any] = Request(scope)
    request.set_client(ADDRESS)
    return request


def finish(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that awaits nothing, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise RuntimeError("it awaits something")


@alone
@pytest.mark.parametrize("number", [PHONE, None], ids=["sms", "email"])
def test_acquire_exposures_without_redis(benchmark: BenchmarkFixture, number: str | None) -> None:
    redis = AnsweringRedis()
    exposures, policy = Exposures(redis, nowhere(), RateLimiter(redis)), FraudPolicy()
    message = Message(TENANT, PHONE, number, "US", 0.05, ADDRESS)

    assert benchmark(lambda: finish(exposures.acquire(policy, message, LIMITS)).is_plain)


@alone
def test_acquire_two_limits_without_redis(benchmark: BenchmarkFixture) -> None:
    limiter = RateLimiter(AnsweringRedis())

    assert benchmark(lambda: finish(limiter.acquire(*LIMITS)))


@alone
def test_check_a_request_without_redis(benchmark: BenchmarkFixture) -> None:
    app, request = services(), new_request()
    candidate = Candidate(parse_phone(PHONE), microdollars=50_000)
    # A request whose decision is recorded costs more; a random number of them would make counts vary.
    caller = msgspec.structs.replace(CALLER, policy=FraudPolicy(sample=0))

    assert benchmark(lambda: finish(check_request(app, request, caller, candidate)))


@alone
def test_settle_a_right_code_without_redis(benchmark: BenchmarkFixture) -> None:
    """Settle 32 codes of a tenant at once; the result is 32 times the cost of one."""
    app, request, identifier = services(), new_request(), parse_phone(PHONE)

    def settle() -> bool:
        for _ in range(32):
            settle_right_code(app, request, CALLER, identifier)
        finish(app.exposures.settlements.flush())
        return True

    assert benchmark(settle)
