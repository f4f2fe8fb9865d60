"""What follows from a message: its code was right, it was not sent, or it is forgiven. And the tenant's wrong codes.

All of it is collected and settled in the background with `lua/fraud_settle.lua`, so that no caller waits. While Redis
is unavailable it is settled in the local copy, and in Redis when that is back.
"""

import asyncio
import struct
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable
from auth1.fraud import constants
from auth1.fraud.constants import LARGEST
from auth1.fraud.local_copy import LocalCopy
from auth1.fraud.messages import Message, Sent, address_keys, read_sends, wide_key
from auth1.fraud.policy import Policy
from auth1.fraud.profiles import Profiles
from auth1.fraud.rules import ratio_of
from auth1.fraud.saved import SavedStates
from auth1.fraud.scopes import BLOCKS, DECAY_S

MAX_RELEASED = 10  # requests of a limit per address that one right code releases, beside its own
MAX_PENDING = 10_000  # settlements; the oldest are dropped
_AT_ONCE = 100  # settlements whose calls are sent together
_WIDE = struct.Struct("<4d")
_NARROW = struct.Struct("<3d")
SETTLE = Script.load("fraud_settle", constants.NUMBERS)

Kind = Literal["verified", "returned", "forgiven", "sent"]


class Settlement(NamedTuple):
    """One thing to settle. `sent`: Redis was unavailable when the message was acquired.

    `slots`: the limit per address of a right code, whose requests are released.
    """

    message: Message
    policy: Policy
    kind: Kind
    now: float
    slots: RateLimit | None = None


class GuessingChange(NamedTuple):
    """An attack by guessing codes at a tenant that began or ended."""

    tenant_id: str
    began: bool
    now: float


class _Codes(NamedTuple):
    policy: Policy
    right: int
    wrong: int
    now: float


class Settlements:
    """Collects and settles."""

    def __init__(
        self,
        redis: Redis,
        limiter: RateLimiter,
        profiles: Profiles,
        saved: SavedStates,
        local: LocalCopy,
        restore: Callable[[str, float], Awaitable[None]],
        ratio: Callable[[str, str], float | None],
    ) -> None:
        self._redis = redis
        self._limiter = limiter
        self._profiles = profiles
        self._saved = saved
        self._local = local
        self._restore = restore
        self._ratio = ratio
        self._pending: deque[Settlement] = deque(maxlen=MAX_PENDING)
        self._owed: deque[Settlement] = deque(maxlen=MAX_PENDING)  # settled in the local copy, not yet in Redis
        self._codes: dict[str, _Codes] = {}
        self.guessing_changes: deque[GuessingChange] = deque(maxlen=1000)  # read and emptied by the log of events

    def verified_later(
        self, policy: Policy, message: Message, *, slots: RateLimit | None = None, now: float = 0.0
    ) -> None:
        """Settle a right code: its messages are no longer exposed, and one was verified.

        `slots`: the limit per address. It gets back the request that verified the code, and those that sent it.
        """
        self._count(policy, message.tenant_id, right=1, wrong=0, now=now)
        if message.number is not None and policy.mode != "off":
            self._pending.append(Settlement(message, policy, "verified", now, slots))
        elif slots is not None:
            self._release(slots, 1)

    def returned_later(self, policy: Policy, message: Message, *, now: float = 0.0) -> None:
        """Settle a message that was acquired and not sent."""
        if message.number is not None and policy.mode != "off":
            self._pending.append(Settlement(message, policy, "returned", now))

    def forgiven_later(self, policy: Policy, message: Message, *, now: float = 0.0) -> None:
        """Settle a message that was no fraud: the exposure of its narrow scopes is forgiven, and its price."""
        if message.number is not None:
            self._pending.append(Settlement(message, policy, "forgiven", now))

    def wrong_code_later(self, policy: Policy, tenant_id: str, *, now: float = 0.0) -> None:
        """Count a wrong code of a tenant."""
        self._count(policy, tenant_id, right=0, wrong=1, now=now)

    def owe(self, settlement: Settlement) -> None:
        """Settle in Redis, when it is back, what the local copy has already."""
        self._owed.append(settlement)

    def _count(self, policy: Policy, tenant_id: str, *, right: int, wrong: int, now: float) -> None:
        before = self._codes.get(tenant_id)
        if before is not None:
            right, wrong = right + before.right, wrong + before.wrong
        self._codes[tenant_id] = _Codes(policy, right, wrong, now)
        if len(self._codes) > MAX_PENDING:
            del self._codes[next(iter(self._codes))]

    async def flush(self) -> None:
        """Settle everything that was collected. The first call goes alone, so that one fails when Redis is down."""
        codes, self._codes = self._codes, {}
        for tenant_id, counted in codes.items():
            try:
                await self._settle_codes(tenant_id, counted)
            except (RedisUnavailable, Unavailable):
                self._local.count_codes(tenant_id, counted.right, counted.wrong, counted.now or time.time())
        owed, self._owed = self._owed, deque(maxlen=MAX_PENDING)
        pending, self._pending = self._pending, deque(maxlen=MAX_PENDING)
        work = [(one, True) for one in owed] + [(one, False) for one in pending]
        is_available = True
        for start in range(0, len(work), _AT_ONCE):
            batch = work[start : start + _AT_ONCE]
            if start == 0:
                is_available = await self._settle_or_owe(*batch[0])
                batch = batch[1:]
            if is_available:
                await asyncio.gather(*(self._settle_or_owe(one, is_local) for one, is_local in batch))
            else:
                for one, is_local in batch:
                    self._settle_locally(one, is_local)

    async def _settle_or_owe(self, settlement: Settlement, is_local: bool) -> bool:
        try:
            await self._settle(settlement)
        except (RedisUnavailable, Unavailable):
            self._settle_locally(settlement, is_local)
            return False
        return True

    def _settle_locally(self, settlement: Settlement, is_local: bool) -> None:
        """Settle in the local copy, unless it is there, and owe it to Redis."""
        self._owed.append(settlement._replace(slots=None))
        if is_local:
            return
        if settlement.slots is not None:
            self._release(settlement.slots, 1)
        message, policy, kind, now, _ = settlement
        ratio = ratio_of(policy, self._ratio(message.tenant_id, message.country_field))
        removed = LARGEST if kind == "forgiven" else 1.0
        verified = 1.0 if kind == "verified" else 0.0
        self._local.settle(message, removed, verified, message.price, ratio, policy.price_floor, now or time.time())

    async def _settle(self, settlement: Settlement) -> None:
        """Settle in Redis."""
        message, policy, kind, _, _ = settlement
        newest = Sent(*_address_of(message), message.price)
        sends, verified = [newest], 1.0 if kind == "verified" else 0.0
        if kind == "verified":
            stored = read_sends(await self._redis.call("GETDEL", message.sends_key()))
            sends, newest = stored or sends, stored[-1] if stored else newest
            if settlement.slots is not None:
                address = _address_of(message)[0]
                self._release(settlement.slots, sum(sent.address == address for sent in sends))
        sign = -1.0 if kind == "sent" else 1.0
        removed: dict[str, tuple[float, float, float]] = {}
        keys = message.narrow_keys()
        for scope, key in zip(BLOCKS, keys, strict=False):
            count = LARGEST if kind == "forgiven" else sign * len(sends)
            removed[key] = (count, verified, DECAY_S[scope])
        for sent in sends:
            for key in address_keys(message.tenant_id, sent):
                before = removed.get(key, (0.0, 0.0, constants.ADDRESS_DECAY_S))
                count = LARGEST if kind == "forgiven" else before[0] + sign
                removed[key] = (count, verified if sent is newest else before[1], before[2])
        dollars = sign * sum(sent.price for sent in sends)
        ratio = ratio_of(policy, self._ratio(message.tenant_id, message.country_field))
        wide = _WIDE.pack(ratio, newest.price >= policy.price_floor, dollars, verified * newest.price)
        entry = message.entry() if kind == "returned" else ""
        names = [*removed, *([message.sends_key()] if entry else [])]
        narrow = [_NARROW.pack(*one) for one in removed.values()]
        reply = await self._run(
            settlement.message.tenant_id,
            settlement.now,
            names,
            0,
            0,
            policy,
            entry,
            message.country_field,
            wide,
            *narrow,
        )
        self._saved.note((message.tenant_id, "country", message.country_field), reply[2])
        self._saved.note((message.tenant_id, "exposure_budget", ""), reply[3])
        for scope, block, state in zip(BLOCKS, message.blocks(), reply[4:], strict=False):
            if self._saved.latest((message.tenant_id, scope, block)) is not None:
                self._saved.note((message.tenant_id, scope, block), state)

    def _release(self, slots: RateLimit, sends: int) -> None:
        """Release the requests of a login: that of its code, and at most MAX_RELEASED that sent it."""
        for _ in range(1 + min(sends, MAX_RELEASED)):
            self._limiter.release_later(slots)

    async def _settle_codes(self, tenant_id: str, codes: _Codes) -> None:
        reply = await self._run(tenant_id, codes.now, [], codes.right, codes.wrong, codes.policy, "", "", b"")
        if reply[0]:
            self.guessing_changes.append(GuessingChange(tenant_id, reply[0] == 1, codes.now or time.time()))
        self._saved.note((tenant_id, "guessing", ""), reply[1])

    async def _run(
        self,
        tenant_id: str,
        now: float,
        keys: list[str],
        right: int,
        wrong: int,
        policy: Policy,
        *arguments: str | bytes,
    ) -> list[Any]:
        """Run the script, after the tenant's states were restored if Redis has lost them."""
        allowance = repr(self._profiles.of(tenant_id, policy).guessing)
        words = [int(now * 1000), allowance, right, wrong, *arguments]
        reply: list[Any] = await self._redis.run(SETTLE, [*keys, wide_key(tenant_id)], words)
        if reply[0] == -1:
            await self._restore(tenant_id, now)
            reply = await self._redis.run(SETTLE, [*keys, wide_key(tenant_id)], words)
            if reply[0] == -1:
                raise RedisUnavailable("evicted at once")
        return reply


def _address_of(message: Message) -> tuple[str | None, str | None]:
    """Return the address and the network of a message, as they are in its keys."""
    address, network, _ = message.entry().split(" ")
    return (None, None) if message.address is None else (address, network)
