"""What a handler works with: the parts of one worker, handed down as an argument."""

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auth1.config.settings import Settings
from auth1.core.crypto import Keyring
from auth1.core.log import Log
from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimiter
from auth1.core.redis import Redis

if TYPE_CHECKING:  # named for the types only: these stand on higher floors
    from auth1.authn.tenant_cache import TenantCache
    from auth1.messaging.dispatcher import Messenger
    from auth1.sessions.cache import SessionCache
    from auth1.sessions.tokens import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """Made by `app.start_services`, one of each per worker."""

    settings: Settings
    log: Log
    keyring: Keyring
    postgres: Postgres
    reads: Postgres  # for what may be a moment old and changes nothing: a replica, or the same object
    redis: Redis
    limiter: RateLimiter
    tenants: "TenantCache"
    messenger: "Messenger"
    signer: "Signer"
    sessions: "SessionCache"
    started_at: float  # time.monotonic()
    background: list[asyncio.Task[None]] = field(default_factory=list)
