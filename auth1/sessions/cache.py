"""Live sessions as checking a token needs them, kept in Redis for half a minute.

A check asks Redis once, and PostgreSQL only when the entry is not there. What ends or changes a session overwrites the
entry after its commit, for longer than any reader can be under way with what it read before (readers write only where
there is nothing), so every worker knows it at its next check. While Redis is away every check asks PostgreSQL. An entry
that could not be overwritten dies of age: 30 s is the longest that an ended session can be believed in.
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
_CHANGED = b""  # not to be kept again before all have finished who read it before it changed
_CHANGED_S = 5  # longer than a request may take that sends no message
_MAX_UNTOLD = 10_000

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(SessionUser).decode


class SessionCache:
    """Finds live sessions."""

    def __init__(self, postgres: Postgres, redis: Redis) -> None:
        self._postgres = postgres
        self._redis = redis
        self._untold: dict[str, tuple[bytes, float]] = {}

    async def find(self, tenant: Tenant, session_id: str) -> SessionUser | None:
        """A session of a tenant if it is live. Raises Unavailable where neither Redis nor PostgreSQL can tell."""
        key = _key(tenant.id, session_id)
        try:
            kept = await self._redis.call("GET", key)
        except RedisUnavailable:
            return await store.find_session(self._postgres, tenant.id, session_id)
        if kept == _ENDED:
            return None
        if kept:
            known = _decode(kept)
            # One that seems to have ended by age may have been refreshed meanwhile.
            if known.ends_at > time.time() and known.opened_at >= tenant.sessions_from:
                return known
        session = await store.find_session(self._postgres, tenant.id, session_id)
        if kept is None:
            await self._write(key, _encode(session) if session is not None else _ENDED, LIFE_S, "NX")
        return session

    async def end(self, tenant_id: str, session_ids: Iterable[str]) -> None:
        """Revoke sessions in the cache. Request it after the commit."""
        await self._overwrite(tenant_id, session_ids, _ENDED)

    async def change(self, tenant_id: str, session_ids: Iterable[str]) -> None:
        """Drop cached sessions of changed users. Request it after the commit."""
        await self._overwrite(tenant_id, session_ids, _CHANGED)

    async def tell_rest(self) -> None:
        """Overwrite what could not be overwritten before; what is older than any entry needs it no more."""
        now = time.monotonic()
        untold, self._untold = self._untold, {}
        for key, (value, since) in untold.items():
            if now - since < LIFE_S and not await self._write(key, value, LIFE_S):
                self._untold[key] = (value, since)

    async def _overwrite(self, tenant_id: str, session_ids: Iterable[str], value: bytes) -> None:
        keys = [_key(tenant_id, session_id) for session_id in session_ids]
        life_s = LIFE_S if value == _ENDED else _CHANGED_S
        told = await asyncio.gather(*(self._write(key, value, life_s) for key in keys))
        missed = [key for key, done in zip(keys, told, strict=True) if not done]
        self._untold.update((key, (value, time.monotonic())) for key in missed[: _MAX_UNTOLD - len(self._untold)])

    async def _write(self, key: str, value: bytes, life_s: int, *only: str) -> bool:
        """SET; says whether Redis has heard it."""
        try:
            await self._redis.call("SET", key, value, "EX", life_s, *only)
        except RedisUnavailable:
            return False
        return True


def _key(tenant_id: str, session_id: str) -> str:
    return f"session:{{{tenant_id}}}:{session_id}"
