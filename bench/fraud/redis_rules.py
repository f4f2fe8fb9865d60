"""The fraud rules on Redis and PostgreSQL: `Exposures` and its Lua scripts, with the clock of the requests as argument.

Keys of Redis expire by its own clock, which stands still beside that of the requests. So the sends of a code are
removed after its life. States decay by the clock of the requests.
"""

import asyncio
import hashlib
import pickle
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from urllib.parse import urlsplit

import asyncpg

from auth1.core.postgres import Postgres
from auth1.core.postgres.migrations import migrate
from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis, Timeouts, open_redis
from auth1.core.telemetry.log import Log
from auth1.dev.postgres import PostgresServer
from auth1.dev.redis import RedisServer
from auth1.fraud.exposures.acquire import Exposures
from auth1.fraud.exposures.messages import Message
from auth1.fraud.policy import FraudPolicy
from bench.fraud.defences import CODE_LIFE, Verdict
from bench.fraud.product import BUDGET, REFRESH_S, ProductRules
from bench.fraud.scenarios import World
from bench.fraud.world import HOUR, NEVER, Request, address_text, country_text, phone_text

EPOCH = 1_600_000_000.0  # the start of each world, in seconds since 1970
_TEMPLATE = "auth1_fraud_template"


class RedisRules(ProductRules):
    """The rules of one world. `prefix` keeps the tenants of worlds that share a server apart."""

    _not_saved = ("world", "policy", "_redis", "_prefix", "_exposures", "_tenants")

    def __init__(
        self, world: World, redis: Redis, postgres: Postgres, prefix: str, policy: FraudPolicy | None = None
    ) -> None:
        super().__init__(world, policy)
        self._redis = redis
        self._prefix = prefix
        self._exposures = Exposures(redis, postgres, RateLimiter(redis), exposure_budget=BUDGET)
        self._sent_at: dict[tuple[int, int, int], float] = {}
        self._round_at = 0.0
        self._share_ratios()

    async def decide(self, request: Request, *, proof: bool) -> Verdict:
        self._begin_day(request.time)
        now = EPOCH + request.time
        is_shared = len(self._tenants) > 1 and request.time >= self.world.since
        period = REFRESH_S if is_shared else HOUR
        if request.time >= self._round_at or self._round_at - request.time > period:
            self._round_at = request.time + period
            await (self._exposures.run_once(now) if len(self._tenants) > 1 else self._exposures.saved.save())
        message = self._message(request, proof=proof)
        if self._sent_at.get(request.person, NEVER) <= request.time - CODE_LIFE:
            await self._redis.call("DEL", message.sends_key())
            del self._sent_at[request.person]
        acquired = await self._exposures.acquire(self.policy, message, may_be_known=True, now=now)
        if acquired.is_if_known and self.is_known(request):
            acquired = self._exposures.confirm_known(acquired, now=now)
            await self._exposures.settlements.flush()
        digits = 8 if acquired.is_guessed else 6
        if not acquired.is_acquired:
            found = acquired.evaluate()
            return Verdict(found.decision, found.scope, digits)
        self._sent_at[request.person] = request.time
        self.count_message(request)
        return Verdict("allow", "", digits)

    async def answer(self, request: Request, time: float, messages: int) -> None:
        self.count_answer(request, time, messages)
        settlements = self._exposures.settlements
        settlements.verified_later(self.policy, self._message(request, proof=False), now=EPOCH + time)
        await settlements.flush()

    async def guess(self, request: Request, time: float) -> None:
        settlements = self._exposures.settlements
        for _ in range(request.wrong_codes):
            settlements.wrong_code_later(self.policy, self._tenant_id(request.tenant), now=EPOCH + time)
        await settlements.flush()

    async def flush(self, time: float) -> None:
        """Remove all keys of these tenants from Redis; what PostgreSQL has is restored with the next request."""
        keys = await self._keys()
        for start in range(0, len(keys), 1000):
            await self._redis.call("DEL", *keys[start : start + 1000])
        self._sent_at.clear()

    async def save(self) -> bytes:
        """Return the state, and that of Redis."""
        keys = await self._keys()
        values = [
            await self._redis.call(*(("HGETALL", key) if key.endswith(b":wide") else ("GET", key))) for key in keys
        ]
        names = [key.decode().replace(self._prefix, "", 1) for key in keys]
        return pickle.dumps((await super().save(), names, values))

    async def restore(self, saved: bytes) -> None:
        """Continue from a saved state, under the keys of these tenants."""
        state, names, values = pickle.loads(saved)
        await super().restore(state)
        for name, value in zip(names, values, strict=True):
            key = name.replace("{", "{" + self._prefix, 1)
            await (
                self._redis.call("HSET", key, *value)
                if isinstance(value, list)
                else self._redis.call("SET", key, value)
            )
        self._share_ratios()

    async def _keys(self) -> list[bytes]:
        """Return the keys of these tenants."""
        found: list[bytes] = []
        cursor = b"0"
        while True:
            cursor, keys = await self._redis.call("SCAN", cursor, "MATCH", f"fraud:{{{self._prefix}*", "COUNT", 10_000)
            found += keys
            if cursor == b"0":
                return found

    def _begin_day(self, time: float) -> None:
        before = self._today
        super()._begin_day(time)
        if self._today != before:
            self._share_ratios()

    def _share_ratios(self) -> None:
        for tenant in self._tenants:
            ratios = {
                country_text(country): ratio
                for (of_tenant, country), ratio in self._ratios.items()
                if of_tenant == tenant and ratio is not None and self.uses_history
            }
            self._exposures.set_ratios(self._tenant_id(tenant), ratios)

    def _tenant_id(self, tenant: int) -> str:
        return f"{self._prefix}{tenant}"

    def _message(self, request: Request, *, proof: bool) -> Message:
        number = phone_text(request)
        solved = f"{number} {request.time}" if proof else None
        return Message(
            tenant_id=self._tenant_id(request.tenant),
            identifier=number,
            number=number,
            country=country_text(request.country),
            price=self.price(request),
            address=address_text(request.address),
            in_country=self.in_country(request),
            signals=self.signals(request),
            proof=hashlib.sha256(solved.encode()).hexdigest() if solved else None,
        )


class Servers(NamedTuple):
    """URLs of Redis and of PostgreSQL, in which each world has a database of its own."""

    redis: str
    postgres: str


@contextmanager
def servers() -> Iterator[Servers]:
    """Start Redis, and PostgreSQL with a template of the tables of Auth1."""
    with TemporaryDirectory(prefix="auth1-fraud-", ignore_cleanup_errors=True) as directory:
        redis_dir, postgres_dir = Path(directory, "redis"), Path(directory, "postgres")
        redis_dir.mkdir()
        with RedisServer(redis_dir) as redis, PostgresServer(postgres_dir, durable=False) as postgres:
            urls = Servers(redis.url(), postgres.url("postgres"))
            asyncio.run(create_template(urls))
            yield urls


async def create_template(urls: Servers) -> None:
    """Create the database that those of the worlds are copied from."""
    await _execute(urls.postgres, f"create database {_TEMPLATE}")
    await migrate(_database_url(urls, _TEMPLATE))


@asynccontextmanager
async def connected(urls: Servers) -> AsyncIterator[Redis]:
    """Connect to Redis with long timeouts: the machine may have much other work."""
    redis = open_redis(urls.redis, Log("error", sys.stderr.fileno()), timeouts=Timeouts(connect_s=60.0, call_s=600.0))
    await redis.start()
    yield redis
    await redis.stop()


@asynccontextmanager
async def new_database(urls: Servers, name: str) -> AsyncIterator[Postgres]:
    """Create a database from the template, connect to it, and drop it at the end."""
    await _execute(urls.postgres, f"create database {name} template {_TEMPLATE}")
    postgres = Postgres(_database_url(urls, name), Log("error", sys.stderr.fileno()), size=1, timeout_scale=60)
    await postgres.start()
    yield postgres
    await postgres.stop()
    await _execute(urls.postgres, f"drop database {name} with (force)")


def _database_url(urls: Servers, name: str) -> str:
    return urlsplit(urls.postgres)._replace(path=f"/{name}").geturl()


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(statement)
    await connection.close()
