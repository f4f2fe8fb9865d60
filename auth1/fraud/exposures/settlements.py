"""Settle messages: the code was right, the message was not sent, or it is forgiven. Count wrong codes of a tenant.

Settlements are collected and made in the background, with one call of `lua/fraud_settle.lua` for many settlements of a
tenant. While Redis is unavailable, they are made in the local copy, and in Redis later.
"""

import asyncio
import struct
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal, NamedTuple

from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable
from auth1.fraud import constants
from auth1.fraud.constants import LARGEST
from auth1.fraud.exposures.call import Profiles
from auth1.fraud.exposures.local_copy import LocalCopy
from auth1.fraud.exposures.messages import Message, address_keys, read_sends, wide_key
from auth1.fraud.exposures.saved import SavedStates
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.rules import ratio_of
from auth1.fraud.scopes import BLOCKS

MAX_RELEASED = 10  # requests of a limit per address that one right code releases, beside its own
MAX_PENDING = 10_000  # settlements; later ones are dropped
_AT_ONCE = 100  # settlements of one call
_PARAMETERS = struct.Struct("<9d")
SETTLE = Script.load("fraud_settle", constants.LITERALS)

Kind = Literal["verified", "returned", "unsent", "forgiven", "sent", "known"]
# The kind in the script; the messages, and the part of the price, that it removes where no sends are stored.
_KINDS: dict[Kind, tuple[int, float, float]] = {
    "verified": (1, 1.0, 1.0),
    "returned": (2, 1.0, 1.0),
    "unsent": (3, 1.0, 1.0),
    "forgiven": (0, LARGEST, 1.0),
    "sent": (0, -1.0, -1.0),
    "known": (4, -1.0, -1.0),
}


class Settlement(NamedTuple):
    """A settlement of one message. `sent`: Redis was unavailable when the message was acquired.

    `known`: the message was acquired because its number is known, and is counted only now.
    `client_limit`: the limit per address of a right code; requests of it are released.
    """

    message: Message
    policy: FraudPolicy
    kind: Kind
    now: float
    client_limit: RateLimit | None = None
    is_local: bool = False  # it is settled in the local copy

    @property
    def messages(self) -> float:
        """Return the messages that it removes, where no sends are stored."""
        return _KINDS[self.kind][1]

    @property
    def dollars(self) -> float:
        return _KINDS[self.kind][2] * self.message.price


class GuessingChange(NamedTuple):
    """An attack by guessing codes at a tenant that began or ended."""

    tenant_id: str
    began: bool
    now: float


class _Group:
    """The codes and settlements of one tenant at one time."""

    def __init__(self, policy: FraudPolicy) -> None:
        self.policy = policy
        self.right = 0
        self.wrong = 0
        self.settlements: list[Settlement] = []


class Settlements:
    """Collects settlements, and makes them in Redis or the local copy."""

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
        self._groups: dict[tuple[str, float], _Group] = {}  # by tenant and time
        self._pending = 0
        self._deferred: deque[Settlement] = deque(maxlen=MAX_PENDING)  # settled in the local copy, not yet in Redis
        self.guessing_changes: deque[GuessingChange] = deque(maxlen=1000)  # read and emptied by the log of events

    def verified_later(
        self, policy: FraudPolicy, message: Message, *, client_limit: RateLimit | None = None, now: float = 0.0
    ) -> None:
        """Settle a right code: its messages are no longer exposed, and one was verified.

        `client_limit`: the limit per address. The request that verified the code is released, and those that sent it.
        """
        self._group(policy, message.tenant_id, now).right += 1
        if not self._add(policy, message, "verified", now, client_limit) and client_limit is not None:
            self._release(client_limit, 1)

    def returned_later(self, policy: FraudPolicy, message: Message, *, now: float = 0.0) -> None:
        """Settle a message that was acquired and not sent."""
        self._add(policy, message, "returned", now)

    def known_later(self, policy: FraudPolicy, message: Message, *, now: float = 0.0) -> None:
        """Count a message to a number that was found to be known after Redis had acquired its rate limits."""
        self._add(policy, message, "known", now)

    def unsent_later(self, policy: FraudPolicy, message: Message, *, now: float = 0.0) -> None:
        """Settle a message that was acquired and that no provider accepted later.

        `message` is without an address: that of the newest message of the code is used, if Redis has it.
        """
        self._add(policy, message, "unsent", now)

    def forgiven_later(self, policy: FraudPolicy, message: Message, *, now: float = 0.0) -> None:
        """Settle a message that was no fraud: the exposure of its narrow scopes is forgiven, and its price."""
        self._add(policy, message, "forgiven", now)

    def wrong_code_later(self, policy: FraudPolicy, tenant_id: str, *, now: float = 0.0) -> None:
        """Count a wrong code of a tenant."""
        self._group(policy, tenant_id, now).wrong += 1

    def defer(self, settlement: Settlement) -> None:
        """Settle in Redis later what is settled in the local copy already."""
        self._deferred.append(settlement._replace(client_limit=None, is_local=True))

    def _add(
        self, policy: FraudPolicy, message: Message, kind: Kind, now: float, client_limit: RateLimit | None = None
    ) -> bool:
        """Collect a settlement. Returns whether there is anything to settle."""
        if message.number is None or policy.mode == "off" or self._pending >= MAX_PENDING:
            return False
        self._pending += 1
        self._group(policy, message.tenant_id, now).settlements.append(
            Settlement(message, policy, kind, now, client_limit)
        )
        return True

    def _release(self, client_limit: RateLimit, sends: int) -> None:
        """Release the requests of a login: that of its code, and at most MAX_RELEASED that sent it."""
        for _ in range(1 + min(sends, MAX_RELEASED)):
            self._limiter.release_later(client_limit)

    def _group(self, policy: FraudPolicy, tenant_id: str, now: float) -> _Group:
        group = self._groups.get((tenant_id, now))
        if group is None:
            group = self._groups[tenant_id, now] = _Group(policy)
            if len(self._groups) > MAX_PENDING:
                del self._groups[next(iter(self._groups))]
        return group

    async def flush(self) -> None:
        """Settle everything that was collected. The first call goes alone, so that one fails when Redis is down."""
        deferred, self._deferred = self._deferred, deque(maxlen=MAX_PENDING)
        for settlement in deferred:
            group = self._group(settlement.policy, settlement.message.tenant_id, settlement.now)
            group.settlements.append(settlement)
        groups, self._groups, self._pending = self._groups, {}, 0
        calls = list(groups.items())
        if not calls:
            return
        if await self._settle_or_defer(*calls[0]):
            if len(calls) > 1:
                await asyncio.gather(*(self._settle_or_defer(*call) for call in calls[1:]))
        else:
            for (tenant_id, now), group in calls[1:]:
                self._settle_locally(tenant_id, now, group, group.settlements)

    async def _settle_or_defer(self, place: tuple[str, float], group: _Group) -> bool:
        """Settle a group in Redis, or else in the local copy. Returns whether Redis is available."""
        settlements, done = group.settlements, 0
        try:
            while done < len(settlements) or group.right or group.wrong:
                await self._settle(*place, group, settlements[done : done + _AT_ONCE])
                group.right = group.wrong = 0
                done += _AT_ONCE
        except (RedisUnavailable, Unavailable):
            self._settle_locally(*place, group, settlements[done:])
            return False
        return True

    def _settle_locally(self, tenant_id: str, now: float, group: _Group, settlements: Sequence[Settlement]) -> None:
        """Settle in the local copy what is not there yet, and defer it to Redis."""
        now = now or time.time()
        if group.right or group.wrong:
            self._local.count_codes(tenant_id, group.right, group.wrong, now)
        for one in settlements:
            self.defer(one)
            if not one.is_local:
                if one.client_limit is not None:
                    self._release(one.client_limit, 1)
                message, policy = one.message, one.policy
                ratio = ratio_of(policy, self._ratio(tenant_id, message.country_field))
                verified = 1.0 if one.kind == "verified" else 0.0
                floor = policy.price_floor
                self._local.settle(message, one.messages, verified, one.dollars, ratio, floor, now)

    async def _settle(self, tenant_id: str, now: float, group: _Group, settlements: Sequence[Settlement]) -> None:
        """Settle at most _AT_ONCE settlements in Redis, and note the states for PostgreSQL."""
        keys: list[str] = []
        words: list[str | bytes | int] = []
        for one in settlements:
            message, policy = one.message, one.policy
            narrow = message.narrow_keys()
            keys += [message.sends_key(), *narrow]
            ratio = ratio_of(policy, self._ratio(tenant_id, message.country_field))
            words += [
                message.country_field,
                message.entry(),
                _PARAMETERS.pack(
                    len(BLOCKS),
                    len(narrow) - len(BLOCKS),
                    _KINDS[one.kind][0],
                    one.messages,
                    one.dollars,
                    message.price,
                    ratio,
                    policy.price_floor,
                    message.code_s,
                ),
            ]
        reply = await self._run(tenant_id, now, group, keys, words)
        change, guessing, budget, countries, others = reply
        if change:
            self.guessing_changes.append(GuessingChange(tenant_id, change == 1, now or time.time()))
        if group.right or group.wrong:
            self._saved.note((tenant_id, "guessing", ""), guessing)
        if countries:
            self._saved.note((tenant_id, "exposure_budget", ""), budget)
        for field, state in zip(countries[::2], countries[1::2], strict=True):
            self._saved.note((tenant_id, "country", field.decode()), state)
        elsewhere: Counter[tuple[str, str]] = Counter()
        for i, one in enumerate(settlements):
            sends, here, *states = others[4 * i : 4 * i + 4]
            if one.client_limit is not None:
                self._release(one.client_limit, here)
            for scope, block, state in zip(BLOCKS, one.message.blocks(), states, strict=True):
                if self._saved.latest((tenant_id, scope, block)) is not None:
                    self._saved.note((tenant_id, scope, block), state)
            if sends:
                found = [address_keys(tenant_id, sent) for sent in read_sends(sends)]
                elsewhere.update((found_keys[0], found_keys[1]) for found_keys in found if found_keys)
        if elsewhere:
            await self._settle_addresses(tenant_id, now, group.policy, elsewhere)

    async def _settle_addresses(
        self, tenant_id: str, now: float, policy: FraudPolicy, removed: Counter[tuple[str, str]]
    ) -> None:
        """Remove messages that other addresses had requested for codes that were right."""
        keys: list[str] = []
        words: list[str | bytes | int] = []
        for (address, network), count in removed.items():
            keys += [wide_key(tenant_id) + ":", address, network]
            words += ["", "", _PARAMETERS.pack(0, 2, 0, count, 0, 0, 0, 0, 0)]
        await self._run(tenant_id, now, _Group(policy), keys, words)

    async def _run(
        self, tenant_id: str, now: float, group: _Group, keys: list[str], words: list[str | bytes | int]
    ) -> list[Any]:
        """Run the script, after the tenant's states were restored if Redis has lost them."""
        allowance = repr(self._profiles.of(tenant_id, group.policy).guessing)
        arguments = [int(now * 1000), allowance, group.right, group.wrong, *words]
        names = [*keys, wide_key(tenant_id)]
        reply: list[Any] = await self._redis.run(SETTLE, names, arguments)
        if reply[0] == -1:
            await self._restore(tenant_id, now)
            reply = await self._redis.run(SETTLE, names, arguments)
            if reply[0] == -1:
                raise RedisUnavailable("evicted at once")
        return reply
