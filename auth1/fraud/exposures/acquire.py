"""The exposures of tenants: acquired with the rate limits in one call to Redis, all or none.

`acquire` runs `lua/fraud_acquire.lua`; `rules.py` has the same arithmetic. What follows from codes, and from messages
that were not sent, is settled in the background (`settlements.py`). PostgreSQL keeps what must outlive Redis
(`saved.py`). While Redis is unavailable, a worker decides on a copy of its own (`local_copy.py`).

Every method takes `now` in seconds since 1970; 0 is the clock of Redis.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Sequence
from typing import Any

from auth1 import metrics
from auth1.core.postgres import Postgres
from auth1.core.ratelimit import RateLimit, RateLimiter
from auth1.core.redis import Redis, RedisUnavailable, Script
from auth1.errors import Unavailable
from auth1.fraud import constants
from auth1.fraud.exposures.call import PROOFS, Acquired, Profiles, keys_and_arguments
from auth1.fraud.exposures.local_copy import LocalCopy
from auth1.fraud.exposures.messages import Message, block_key, pack_state, read_state, wide_key
from auth1.fraud.exposures.saved import LoadedBlocks, SavedStates, find_ratios
from auth1.fraud.exposures.settlements import Settlement, Settlements
from auth1.fraud.policy import FraudPolicy
from auth1.fraud.rules import Facts
from auth1.fraud.scopes import BLOCKS, State

INTERVAL_S = 5.0  # between two rounds of `run_once`
RATIOS_LIFE_S = 3600.0
SAVED_LOAD = 0.5  # blocks with a higher load are saved
_RATIOS_AT_ONCE = 5  # tenants of one round
MAX_TENANTS = 2000  # whose ratios are kept
_RESTORED_AT_ONCE = 200  # narrow scopes of one call

ACQUIRE = Script.load("fraud_acquire", constants.LITERALS)
RESTORE = Script.load("fraud_restore", constants.LITERALS)


class Exposures:
    """Acquires requests for codes, and keeps the exposures of tenants."""

    def __init__(
        self,
        redis: Redis,
        postgres: Postgres,
        limiter: RateLimiter,
        *,
        exposure_budget: float = 10.0,
        workers: int = 1,
    ) -> None:
        self._redis = redis
        self._postgres = postgres
        self._limiter = limiter
        self._exposure_budget = exposure_budget
        self._profiles = Profiles(exposure_budget)
        self._restoring: dict[str, asyncio.Task[None]] = {}
        # By tenant: monotonic time of the last read, ratios by country.
        self._ratios: OrderedDict[str, tuple[float, dict[str, float]]] = OrderedDict()
        self.saved = SavedStates(postgres)
        self.loaded_blocks = LoadedBlocks(postgres)
        self._local = LocalCopy(workers, self._latest)
        self.settlements = Settlements(
            redis, limiter, self._profiles, self.saved, self._local, self._restore, self.ratio
        )

    async def acquire(
        self,
        policy: FraudPolicy,
        message: Message,
        rate_limits: Sequence[RateLimit] = (),
        *,
        may_be_known: bool = False,
        now: float = 0.0,
    ) -> Acquired:
        """Acquire the rate limits and, for an SMS, the scopes of a message: all of them, or none.

        `may_be_known`: the caller can find out whether the number is known. For a message that only a known number may
        get, the rate limits and the proof are then acquired (`is_if_known`), and the caller calls `confirm_known` or
        `return_unknown`.
        Nothing is acquired where a rate limit is exceeded (`limits.limited_by`) or where the rules do not allow the
        message (`evaluate().decision`). Raises Unavailable where Redis has lost the tenant's states and PostgreSQL is
        unavailable.
        """
        if policy.mode == "off" and message.number is not None:
            message = message._replace(number=None)
        if (full := self._limiter.known_full(*rate_limits)) is not None:
            return self._acquired(policy, message, is_acquired=False, limits=full, now=now)
        profile = self._profiles.of(message.tenant_id, policy)
        elsewhere = self.loaded_blocks.elsewhere(message.tenant_id, message.blocks()) if message.number else ()
        ratio = self.ratio(message.tenant_id, message.country_field)
        keys, arguments = keys_and_arguments(
            profile, message, rate_limits, ratio, elsewhere, now, may_be_known=may_be_known
        )
        try:
            reply = await self._redis.run(ACQUIRE, keys, arguments)
            if reply[0] < 0:
                await self._restore(message.tenant_id, now)
                reply = await self._redis.run(ACQUIRE, keys, arguments)
                if reply[0] < 0:
                    raise RedisUnavailable("evicted at once")
        except RedisUnavailable:
            return self._acquire_locally(policy, message, rate_limits, ratio, elsewhere, now or time.time())
        if self._local.states:
            self._local.states.clear()  # Redis is available again, and its states are complete
        counters = 5 + 2 + 2 * len(rate_limits)
        acquired = self._acquired(
            policy,
            message,
            is_acquired=reply[0] == 1,
            is_if_known=reply[0] == 2,
            limits=self._limiter.decision_of(rate_limits, reply[5:counters]),
            proof=PROOFS[reply[2]],
            is_guessed=reply[3] == 1,
            guessing_ended=reply[3] == 2,
            load=reply[4] / 1_000_000,
            stored=reply[counters:] if not reply[5] else (),
            ratio=ratio,
            elsewhere=elsewhere,
            now=reply[1] / 1000,
            has_shadow=profile.has_shadow,
        )
        if message.number is not None and not reply[5]:
            self._note(acquired)
        return acquired

    def confirm_known(self, acquired: Acquired, rate_limits: Sequence[RateLimit] = (), *, now: float = 0.0) -> Acquired:
        """Acquire a message to a known number. Its exposure is counted in the background, without another call."""
        if acquired.is_if_known:
            self.settlements.known_later(acquired.policy, acquired.message, now=now)
            return acquired.as_known()
        message = acquired.message._replace(known=True)
        return self._acquire_locally(
            acquired.policy, message, rate_limits, acquired.ratio, acquired.elsewhere, acquired.now
        )

    def return_unknown(self, acquired: Acquired, rate_limits: Sequence[RateLimit]) -> None:
        """Release in the background the rate limits of a message that only a known number may get."""
        if acquired.is_if_known:
            for rate_limit in rate_limits:
                self._limiter.release_later(rate_limit)

    def ratio(self, tenant_id: str, country: str) -> float | None:
        """Return the ratio of a country's history at a tenant; None where there is none yet."""
        found = self._ratios.get(tenant_id)
        if found is None:
            self.set_ratios(tenant_id, {}, read_at=-RATIOS_LIFE_S)
            return None
        return found[1].get(country)

    def set_ratios(self, tenant_id: str, ratios: dict[str, float], *, read_at: float | None = None) -> None:
        """Set the ratios of a tenant's countries, as `run_once` does."""
        self._ratios[tenant_id] = (time.monotonic() if read_at is None else read_at, ratios)
        self._ratios.move_to_end(tenant_id)
        if len(self._ratios) > MAX_TENANTS:
            self._ratios.popitem(last=False)

    async def run_once(self, now: float = 0.0) -> None:
        """Save changed states, and read the changes of other workers and tenants. Raises Unavailable."""
        await self.saved.save()
        await self.loaded_blocks.refresh(now)
        oldest = time.monotonic() - RATIOS_LIFE_S
        due = [tenant_id for tenant_id, (read_at, _) in self._ratios.items() if read_at <= oldest]
        for tenant_id in due[:_RATIOS_AT_ONCE]:
            self.set_ratios(tenant_id, await find_ratios(self._postgres, tenant_id))

    async def stop(self) -> None:
        """Settle and save what is pending."""
        await self.settlements.flush()
        try:
            await self.saved.save()
        except Unavailable:
            return

    def _acquired(self, policy: FraudPolicy, message: Message, **outcome: Any) -> Acquired:
        return Acquired(policy=policy, message=message, exposure_budget=self._exposure_budget, **outcome)

    def _note(self, acquired: Acquired) -> None:
        """Note the wide states for PostgreSQL, and blocks that are loaded."""
        message = acquired.message
        if acquired.is_acquired:
            country, budget = acquired.stored[-2:]
            if country is not None and budget is not None:  # they were written
                self.saved.note((message.tenant_id, "country", message.country_field), country)
                self.saved.note((message.tenant_id, "exposure_budget", ""), budget)
        if acquired.load > SAVED_LOAD or acquired.has_shadow:
            facts = acquired.facts
            for scope, block, stored in zip(BLOCKS, message.blocks(), acquired.stored, strict=False):
                rule = getattr(acquired.policy.rules, scope)
                exposure, verified = facts.scopes[scope]
                load = exposure / max(rule.allowance + verified, constants.SMALLEST)
                if load > SAVED_LOAD:
                    loaded_at = acquired.now if load > 1 else 0.0
                    state = stored or pack_state(State(0.0, 0.0, acquired.now))
                    self.saved.note((message.tenant_id, scope, block), state, loaded_at)

    async def _restore(self, tenant_id: str, now: float) -> None:
        """Restore the states of a tenant from PostgreSQL, once for all requests that wait for them."""
        task = self._restoring.get(tenant_id)
        if task is None:
            task = self._restoring[tenant_id] = asyncio.create_task(self._restore_tenant(tenant_id, now))
            task.add_done_callback(lambda _: self._restoring.pop(tenant_id))
        await asyncio.shield(task)

    async def _restore_tenant(self, tenant_id: str, now: float) -> None:
        found = await self.saved.find(tenant_id, now)
        wide, blocks = wide_key(tenant_id), [one for one in found if one.scope in BLOCKS]
        calls: list[Awaitable[Any]] = []
        for start in range(0, len(blocks), _RESTORED_AT_ONCE):
            batch = blocks[start : start + _RESTORED_AT_ONCE]
            keys = [block_key(tenant_id, one.scope, one.key) for one in batch]
            calls.append(self._redis.run(RESTORE, [*keys, wide], [0, *(pack_state(one.state) for one in batch)]))
        fields: list[str | bytes | int] = []
        for one in found:
            if one.scope not in BLOCKS:
                fields += [one.key or one.scope, pack_state(one.state)]
        for call in (*calls, self._redis.run(RESTORE, [wide], [int(constants.WIDE_LIFE_S), *fields])):
            await call
        metrics.EXPOSURES_RESTORED.inc()

    def _latest(self, tenant_id: str, scope: str, key: str) -> State:
        return read_state(self.saved.latest((tenant_id, scope, key)))

    def _acquire_locally(
        self,
        policy: FraudPolicy,
        message: Message,
        rate_limits: Sequence[RateLimit],
        ratio: float | None,
        elsewhere: tuple[str, ...],
        now: float,
    ) -> Acquired:
        """Acquire at this worker alone. The message is counted in Redis when Redis is available again."""
        metrics.RATE_LIMIT_FALLBACKS.inc()
        metrics.EXPOSURE_FALLBACKS.inc()
        now_ms = int(now * 1000)
        is_guessed = self._local.is_guessed(policy, message.tenant_id, now)
        if message.number is None:
            limits = self._limiter.decision_of(rate_limits, self._limiter.acquire_locally(rate_limits, now_ms))
            return self._acquired(
                policy, message, is_acquired=not limits.limited_by, limits=limits, is_guessed=is_guessed, is_local=True
            )
        facts = Facts(
            price=message.price,
            ratio=ratio,
            known=message.known,
            in_country=message.in_country,
            loaded_elsewhere=elsewhere,
            signals=message.signals,
            minimum=message.minimum,
        )
        decision = self._local.decide(policy, facts, message, self._exposure_budget, now)
        reply = self._limiter.acquire_locally(rate_limits, now_ms, acquire=decision.is_sent)
        limits = self._limiter.decision_of(rate_limits, reply)
        is_acquired = decision.is_sent and limits.limited_by is None
        if is_acquired:
            self._local.commit(message, decision)
            self.settlements.defer(Settlement(message, policy, "sent", now))
        proof = "none" if message.proof is None else "used" if not decision.has_proof else "kept"
        return self._acquired(
            policy,
            message,
            is_acquired=is_acquired,
            limits=limits,
            proof="redeemed" if proof == "kept" and is_acquired else proof,
            is_guessed=is_guessed,
            load=decision.load,
            stored=decision.stored() if limits.limited_by is None else (),
            ratio=ratio,
            elsewhere=elsewhere,
            now=now,
            is_local=True,
            has_shadow=True,
        )
