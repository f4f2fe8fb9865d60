"""Logins that ended without an answer of PostgreSQL: their request got 503, committed or not.

A code is consumed once, so the repeat of a committed login would find no code. Redis keeps, for a time, which events
the login would have recorded. The repeat finds the committed one, and gets the session, which no caller has received.
Other codes are guesses, and delete what is kept. A process keeps what Redis did not confirm, and writes it later. Until
then its repeats get 503, because "no active code" may be wrong.
"""

import time
from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from auth1.core.crypto import Keyring
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable

KEPT_S = 120  # longer than a failover and the retries of a client
MAX_IDS = 256  # of one code, two for each attempt: a client may try each second
MAX_CODES = 16  # of one identifier
MAX_WRONG = 5  # other codes of one identifier
MAX_UNWRITTEN = 1000  # of a process
RETRY_AFTER_S = 1
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


class _Memory:
    """The logins of this process that Redis has not confirmed, and until when any of its logins may be repeated."""

    def __init__(self) -> None:
        self.unwritten: dict[LoginKey, tuple[list[str], float]] = {}  # ids and the end of their time
        self.until = 0.0

    def add(self, key: LoginKey, event_ids: Sequence[str], until: float) -> None:
        earlier, _ = self.unwritten.get(key, ([], 0.0))
        if earlier or len(self.unwritten) < MAX_UNWRITTEN:
            self.unwritten[key] = ([*earlier, *event_ids][-MAX_IDS:], until)


_memories: WeakKeyDictionary[Redis, _Memory] = WeakKeyDictionary()


async def keep(redis: Redis, key: LoginKey, event_ids: Sequence[str]) -> None:
    """Keep the ids of the events that a login without an answer would have recorded; `flush` retries a failure."""
    memory = _memories.setdefault(redis, _Memory())
    memory.until = time.monotonic() + KEPT_S
    if not await _write(redis, key, event_ids):
        memory.add(key, event_ids, memory.until)


async def flush(redis: Redis) -> None:
    """Write logins that Redis has not confirmed."""
    if (memory := _memories.get(redis)) is None:
        return
    for key in list(memory.unwritten):
        event_ids, until = memory.unwritten.pop(key, ([], 0.0))
        if time.monotonic() < until and not await _write(redis, key, event_ids):
            memory.add(key, event_ids, until)
            return


async def find(redis: Redis, key: LoginKey) -> list[str]:
    """Return the ids that are kept for a login. Raises Unavailable where this process lost logins and Redis, too."""
    await flush(redis)
    try:
        kept = await redis.run(_FIND, [key.identifier], [key.code])
    except RedisUnavailable:
        memory = _memories.get(redis)
        if memory is not None and time.monotonic() < memory.until:
            raise Unavailable(retry_after=RETRY_AFTER_S) from None
        return []
    return kept.decode().split() if isinstance(kept, bytes) else []


async def claim(redis: Redis, key: LoginKey) -> bool:
    """Return whether this caller is the one that gets the session. Raises Unavailable."""
    try:
        return bool(await redis.call("HDEL", key.identifier, key.code) == 1)
    except RedisUnavailable:
        raise Unavailable(retry_after=RETRY_AFTER_S) from None


async def _write(redis: Redis, key: LoginKey, event_ids: Sequence[str]) -> bool:
    """Return whether Redis has confirmed the ids of a login."""
    try:
        await redis.run(_KEEP, [key.identifier], [key.code, KEPT_S, *event_ids])
    except RedisUnavailable:
        return False
    return True
