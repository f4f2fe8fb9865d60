"""The services of one worker, passed to handlers as an argument."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auth1.config.settings import Settings
from auth1.core.crypto import Keyring
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.text_records import TextResolver
from auth1.core.postgres import Postgres, Replica
from auth1.core.postgres.probe import DatabaseProbe
from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis, Timeouts, open_redis
from auth1.core.telemetry.log import Log

if TYPE_CHECKING:  # for types only: these modules are in higher layers
    from auth1.authn.own_hosts import OwnHosts
    from auth1.authn.tenants import TenantCache
    from auth1.events.stream import EventStreams
    from auth1.fraud.decisions.attacks import AttackLog
    from auth1.fraud.decisions.log import DecisionLog
    from auth1.fraud.exposures.acquire import Exposures
    from auth1.fraud.lists.cache import ListCache
    from auth1.fraud.sources import FraudSources
    from auth1.hooks.caller import HookCaller
    from auth1.messaging.dispatcher import Messenger
    from auth1.messaging.outbox import Outbox
    from auth1.oauth.backchannel import LogoutSender
    from auth1.sessions.cache import SessionCache
    from auth1.sessions.tokens import Signer
    from auth1.signing.key_cache import SigningKeys
    from auth1.webhooks.delivery.worker import DeliveryWorker

READ_POOL_SIZE = 4  # per worker, of the replica: reports go two at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Created by `app.start_services`, once per worker."""

    settings: Settings
    log: Log
    keyring: Keyring
    postgres: Postgres
    replica: Replica | None
    database_probe: DatabaseProbe
    redis: Redis
    limiter: RateLimiter
    guard: Guard
    tenants: "TenantCache"
    own_hosts: "OwnHosts"
    text_records: TextResolver
    attacks: "AttackLog"
    decisions: "DecisionLog"
    fraud_sources: "FraudSources"
    exposures: "Exposures"
    hooks: "HookCaller"
    messenger: "Messenger"
    outbox: "Outbox"
    logouts: "LogoutSender"
    signer: "Signer"
    signing_keys: "SigningKeys"
    sessions: "SessionCache"
    lists: "ListCache"
    streams: "EventStreams"
    deliveries: "DeliveryWorker"
    stopping: asyncio.Event = field(default_factory=asyncio.Event)  # set once the worker accepts no more connections
    started_at: float = field(default_factory=time.monotonic)
    background: list[asyncio.Task[None]] = field(default_factory=list)

    @property
    def reads(self) -> Postgres:
        """Return the pool for reads that may lag: of the replica while it is close, else of the primary."""
        return self.postgres if self.replica is None else self.replica.reads


def new_redis(settings: Settings, log: Log, name: str = "auth1") -> Redis:
    """Return a connection to Redis with the time limits of the settings. Start it before use."""
    timeouts = Timeouts(settings.redis_connect_timeout_ms / 1000, settings.redis_call_timeout_ms / 1000)
    return open_redis(settings.redis_url, log, name=name, timeouts=timeouts)


def new_replica(settings: Settings, log: Log, postgres: Postgres) -> Replica | None:
    """Return the replica of DATABASE_READ_URL, if it is set. Start its pool before use."""
    if settings.database_read_url is None:
        return None
    reads = Postgres(
        settings.database_read_url,
        log,
        size=READ_POOL_SIZE,
        statement_cache_size=settings.database_statement_cache_size,
        ready=0,
        timeout_scale=settings.timeout_scale,
    )
    return Replica(postgres, reads, max_lag_s=settings.database_read_max_lag_ms / 1000)
