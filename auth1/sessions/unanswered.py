"""Logins that ended without an answer of PostgreSQL: their request got 503, committed or not.

A code is consumed once, so the repeat of a committed login would find no code. Redis keeps, for a time, which events
the login would have recorded. The repeat finds the committed one, and claims its session in PostgreSQL, once. A repeat
may try few codes: others are guesses. A process keeps what Redis did not confirm, and writes it later. Until then its
repeats get 503, because "no active code" may be wrong.
"""

import re
import time
from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakKeyDictionary

from auth1.core.crypto import Keyring
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable

KEPT_S = 120  # longer than a failover and the retries of a client
MAX_IDS = 256  # of one code, two for each attempt: a client may try each second
MAX_CODES = 1000  # of one identifier, guesses too: these must not take the place of its login
MAX_TRIED = 5  # codes of one identifier that repeats may try
MAX_UNWRITTEN = 1000  # of a process
RETRY_AFTER_S = 1
_EVENT_ID = re.compile(rb"\bevt_[0-9a-z]{1,26}\b")
_KEEP = Script.load("unanswered_keep", {"MAX_IDS": MAX_IDS, "MAX_CODES": MAX_CODES})
_FIND = Script.load("unanswered_find", {"MAX_TRIED": MAX_TRIED})


class UnansweredKey(NamedTuple):
    """The key of a login: the identifier's, and the MAC of the code."""

    identifier: str
    code: str


def login_key(keyring: Keyring, tenant_id: str, identifier: str, code_mac: bytes) -> UnansweredKey:
    """Return the key of a login by a code. It reveals neither the identifier nor the code."""
    mac = keyring.macs("unanswered-login", identifier.encode())[0]
    return UnansweredKey(f"unanswered:{{{tenant_id}}}:{mac.hex()}", code_mac.hex())


class _Memory:
    """The logins of this process that Redis has not confirmed, and until when any of its logins may be repeated."""

    def __init__(self) -> None:
        self.unwritten: dict[UnansweredKey, tuple[list[str], float]] = {}  # ids and the end of their time
        self.until = 0.0

    def add(self, key: UnansweredKey, event_ids: Sequence[str]) -> None:
        earlier, _ = self.unwritten.get(key, ([], 0.0))
        if not earlier and len(self.unwritten) >= MAX_UNWRITTEN:
            del self.unwritten[next(iter(self.unwritten))]
        self.until = time.monotonic() + KEPT_S
        self.unwritten[key] = ([*earlier, *event_ids][-MAX_IDS:], self.until)


_memories: WeakKeyDictionary[Redis, _Memory] = WeakKeyDictionary()


async def keep(redis: Redis, key: UnansweredKey, event_ids: Sequence[str]) -> None:
    """Keep the ids of the events that a login without an answer would have recorded; `flush` retries a failure."""
    memory = _memories.setdefault(redis, _Memory())
    memory.add(key, event_ids)
    await _write(redis, memory, key)


async def flush(redis: Redis) -> None:
    """Write logins that Redis has not confirmed."""
    if (memory := _memories.get(redis)) is not None:
        for key in list(memory.unwritten):
            if not await _write(redis, memory, key):
                return


async def find(redis: Redis, key: UnansweredKey) -> list[str]:
    """Return the ids that are kept for a login. Raises Unavailable where this process lost logins and Redis, too."""
    memory = _memories.get(redis)
    try:
        if memory is not None and not await _write(redis, memory, key):
            raise RedisUnavailable
        kept = await redis.run(_FIND, [key.identifier], [key.code])
    except RedisUnavailable:
        if memory is not None and time.monotonic() < memory.until:
            raise Unavailable(retry_after=RETRY_AFTER_S) from None
        return []
    return [one.decode() for one in _EVENT_ID.findall(kept)] if isinstance(kept, bytes) else []


async def _write(redis: Redis, memory: _Memory, key: UnansweredKey) -> bool:
    """Write a login, and forget it when Redis confirms; return whether nothing of it is left to write.

    Ids that are written twice do no harm, because a session is claimed once.
    """
    if (unwritten := memory.unwritten.get(key)) is None:
        return True
    event_ids, until = unwritten
    if time.monotonic() < until:
        try:
            await redis.run(_KEEP, [key.identifier], [key.code, KEPT_S, *event_ids])
        except RedisUnavailable:
            return False
    if memory.unwritten.get(key) is unwritten:  # no later request of this login has added ids
        del memory.unwritten[key]
    return key not in memory.unwritten
