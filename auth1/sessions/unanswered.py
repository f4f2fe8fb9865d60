"""Logins that ended without an answer of PostgreSQL: their request got 503, committed or not.

A code is consumed once, so the repeat of a committed login would find no code. Redis keeps, for a time, which events
the login would have recorded. The repeat finds the committed one, and gets the session, which no caller has received.
Without Redis the person must request another code.
"""

from collections.abc import Sequence
from contextlib import suppress

from auth1.core.redis import Redis, RedisUnavailable, Script

KEPT_S = 120  # longer than a failover and the retries of a client
MAX_IDS = 256  # two of each attempt: a client may try each second
_KEEP = Script.load("unanswered_login", {"MAX_IDS": MAX_IDS})


def login_key(tenant_id: str, code_mac: bytes) -> str:
    """Return the key of a login by a code. Only a caller that knows the code can compute it."""
    return f"unanswered:{{{tenant_id}}}:{code_mac.hex()}"


async def keep(redis: Redis, key: str, event_ids: Sequence[str]) -> None:
    """Keep the ids of the events that a login without an answer would have recorded."""
    with suppress(RedisUnavailable):
        await redis.run(_KEEP, [key], [KEPT_S, *event_ids])


async def find(redis: Redis, key: str) -> list[str]:
    """Return the ids that are kept for a login."""
    with suppress(RedisUnavailable):
        kept = await redis.call("LRANGE", key, 0, -1)
        if isinstance(kept, list):
            return [one.decode() for one in kept if isinstance(one, bytes)]
    return []


async def claim(redis: Redis, key: str) -> bool:
    """Return whether this caller is the one that gets the session."""
    try:
        return bool(await redis.call("DEL", key) == 1)
    except RedisUnavailable:
        return False
