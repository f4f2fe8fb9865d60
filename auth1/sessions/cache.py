"""A cache of live sessions in Redis, for 30 s, as token checks need them.

A check reads Redis once, and PostgreSQL only on a miss. A change of a session overwrites its entry after the commit.
The overwrite lives longer than any concurrent reader, and readers write only where no entry exists, so every worker
sees the change at its next check. While Redis is unavailable, every check reads PostgreSQL. An entry that could not be
overwritten expires: a revoked session is accepted for at most 30 s.

Releases share the entries, so that a change by one release reaches the workers of another. An entry that this release
cannot read is no error: PostgreSQL decides.
"""

import asyncio
import time
from collections.abc import Iterable

import msgspec

from auth1.core.postgres import Postgres
from auth1.core.redis import Redis, RedisUnavailable
from auth1.sessions import store
from auth1.sessions.schemas import SessionUser
from auth1.tenants.settings import Tenant

LIFE_S = 30
_ENDED = b"-"
_CHANGED = b""  # keeps readers that started before the change from writing what they read
CHANGED_S = 5  # longer than the deadline of a request that sends no message
MAX_PENDING = 10_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionUser).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class SessionCache:
    """Live sessions by id."""

    def __init__(self, postgres: Postgres, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self._pending: dict[str, tuple[bytes, float]] = {}

    async def find(self, tenant: Tenant, session_id: str) -> SessionUser | None:
        """Return a session of a tenant, None unless it is live. Raises Unavailable without Redis and PostgreSQL."""
        key = _key(tenant.id, session_id)
        try:
            kept = await self._redis.call("GET", key)
        except RedisUnavailable:
            return await store.find_session(self._postgres, tenant.id, session_id)
        if kept == _ENDED:
            return None
        if kept:
            try:
                known = _decode(kept)
            except _UNREADABLE:
                await self.invalidate(tenant.id, [session_id])  # a later reader writes it anew
            else:
                # An expired entry may have been refreshed since: PostgreSQL decides.
                if known.ends_at > self._postgres.now() and known.opened_at >= tenant.sessions_from:
                    return known
        session = await store.find_session(self._postgres, tenant.id, session_id)
        if kept is None:
            await self._write(key, _encode(session) if session is not None else _ENDED, LIFE_S, "NX")
        return session

    async def revoke(self, tenant_id: str, session_ids: Iterable[str]) -> None:
        """Mark sessions as revoked. Call it after the commit."""
        await self._overwrite(tenant_id, session_ids, _ENDED)

    async def invalidate(self, tenant_id: str, session_ids: Iterable[str]) -> None:
        """Drop entries of changed sessions and users. Call it after the commit."""
        await self._overwrite(tenant_id, session_ids, _CHANGED)

    async def flush_pending(self) -> None:
        """Retry overwrites that failed, unless the entries have expired since."""
        now = time.monotonic()
        pending, self._pending = self._pending, {}
        for key, (value, since) in pending.items():
            if now - since < LIFE_S and not await self._write(key, value, LIFE_S) and key not in self._pending:
                self._keep(key, value, since)

    async def _overwrite(self, tenant_id: str, session_ids: Iterable[str], value: bytes) -> None:
        keys = [_key(tenant_id, session_id) for session_id in session_ids]
        life_s = LIFE_S if value == _ENDED else CHANGED_S
        written = await asyncio.gather(*(self._write(key, value, life_s) for key in keys))
        for key, is_written in zip(keys, written, strict=True):
            if not is_written:
                self._keep(key, value, time.monotonic())

    def _keep(self, key: str, value: bytes, since: float) -> None:
        """Keep an overwrite that failed for `flush_pending`, unless too many are kept."""
        if key in self._pending or len(self._pending) < MAX_PENDING:
            self._pending[key] = (value, since)

    async def _write(self, key: str, value: bytes, life_s: int, *only: str) -> bool:
        """Set an entry; return whether Redis has confirmed it."""
        try:
            await self._redis.call("SET", key, value, "EX", life_s, *only)
        except RedisUnavailable:
            return False
        return True


def _key(tenant_id: str, session_id: str) -> str:
    return f"session:{{{tenant_id}}}:{session_id}"
