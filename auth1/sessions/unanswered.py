"""Logins that ended without an answer of PostgreSQL: their request got 503, committed or not.

A code is consumed once, so the repeat of a committed login would find no code. Redis keeps, for a time, which events
the login would have recorded. The repeat finds the committed one, and gets the session, which no caller has received.
Other codes are guesses, and delete what is kept. Without Redis the person must request another code.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from auth1.core.crypto import Keyring
from auth1.core.redis import Redis, RedisUnavailable, Script

KEPT_S = 120  # longer than a failover and the retries of a client
MAX_IDS = 256  # of one code, two for each attempt: a client may try each second
MAX_CODES = 16  # of one identifier
MAX_WRONG = 5  # other codes of one identifier
_KEEP = Script.load("unanswered_keep", {"MAX_IDS": MAX_IDS, "MAX_CODES": MAX_CODES})
_FIND = Script.load("unanswered_find", {"MAX_WRONG": MAX_WRONG})


class LoginKey(NamedTuple):
    """The key of a login: the identifier's, and the MAC of the code."""

    identifier: str
    code: str


def login_key(keyring: Keyring, tenant_id: str, identifier: str, code_mac: bytes) -> LoginKey:
    """Return the key of a login by a code. It reveals neither the identifier nor the code."""
    mac = keyring.macs("unanswered-login", identifier.encode())[0]
    return LoginKey(f"unanswered:{{{tenant_id}}}:{mac.hex()}", code_mac.hex())


async def keep(redis: Redis, key: LoginKey, event_ids: Sequence[str]) -> None:
    """Keep the ids of the events that a login without an answer would have recorded."""
    with suppress(RedisUnavailable):
        await redis.run(_KEEP, [key.identifier], [key.code, KEPT_S, *event_ids])


async def find(redis: Redis, key: LoginKey) -> list[str]:
    """Return the ids that are kept for a login."""
    with suppress(RedisUnavailable):
        kept = await redis.run(_FIND, [key.identifier], [key.code])
        if isinstance(kept, bytes):
            return kept.decode().split()
    return []


async def claim(redis: Redis, key: LoginKey) -> bool:
    """Return whether this caller is the one that gets the session."""
    try:
        return bool(await redis.call("HDEL", key.identifier, key.code) == 1)
    except RedisUnavailable:
        return False
