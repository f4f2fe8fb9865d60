"""Call hooks: one signed POST within a deadline, a bound of calls at once, and a circuit breaker for each hook.

If a hook returns no valid answer, its setting `on_error` decides. Meanwhile a request waits on the event loop only, and
holds no connection to PostgreSQL or Redis. A call without a free slot is no error of the hook (`at_capacity`).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

import msgspec

from auth1 import metrics
from auth1.core import standard_webhooks
from auth1.core.circuit_breaker import CircuitBreaker
from auth1.core.crypto import Keyring
from auth1.core.ids import new_id
from auth1.core.outbound import AtCapacity, SharedSlots
from auth1.core.outbound.guard import Guard
from auth1.core.outbound.guarded import CallError, GuardedClient
from auth1.endpoint_secrets import decrypt_secret
from auth1.hooks.answers import MAX_ANSWER_BYTES, BadAnswer, read_answer
from auth1.hooks.config import Hook, HookName
from auth1.hooks.schemas import HookAnswer

MAX_CALLS = 96  # at once, per worker; a tenant alone uses half of them
MAX_CALLS_OF_A_HOOK = 16
FULL_TIME = 0.9  # part of its time that a call must have for its timeout to be an error of the hook
MAX_HOOKS = 500  # with a circuit breaker in memory
MAX_ALLOWED = 2000
PROBE_EVERY_S = 5.0  # while a hook's circuit breaker is open
USER_AGENT = "Auth1-Hooks/1.0"

# Why a hook decided nothing.
HookError = Literal["timeout", "unreachable", "bad_status", "bad_answer", "circuit_open", "no_secret", "at_capacity"]


_ERRORS: dict[CallError, HookError] = {"timeout": "timeout", "bad_answer": "bad_answer"}


class HookCall(msgspec.Struct, frozen=True):
    """The body of a call."""

    type: HookName
    timestamp: datetime
    data: dict[str, Any]


class _State:
    """The circuit breaker of a hook, and its calls in progress."""

    __slots__ = ("breaker", "revision", "slots")

    def __init__(self, revision: str) -> None:
        self.revision = revision
        self.breaker = CircuitBreaker(probe_every_s=PROBE_EVERY_S)
        self.slots = asyncio.Semaphore(MAX_CALLS_OF_A_HOOK)


class AllowedKey(NamedTuple):
    """The key of a cached allow: a hook as it is now, and what it decided about."""

    revision: str
    subject: tuple[str | None, ...]


class HookCaller:
    """Calls the hooks of all tenants. `time_scale` lengthens timeouts on slow machines."""

    def __init__(self, guard: Guard, keyring: Keyring, *, time_scale: float = 1.0) -> None:
        self._client = GuardedClient(guard, max_calls=MAX_CALLS)
        self._keyring = keyring
        self._time_scale = time_scale
        self._slots = SharedSlots(MAX_CALLS)
        self._states: OrderedDict[tuple[str, HookName], _State] = OrderedDict()
        self._allowed: OrderedDict[AllowedKey, float] = OrderedDict()  # until when, on the monotonic clock

    async def call(self, tenant_id: str, hook: Hook, data: dict[str, Any], time_s: float) -> HookAnswer | HookError:
        """Call a hook within its timeout and `time_s`; return its answer, or why there is none."""
        state = self._state(tenant_id, hook)
        if not state.breaker.allows():
            metrics.HOOK_CALLS[hook.name, "circuit_open"].inc()
            return "circuit_open"
        is_probe = state.breaker.state == "probing"
        started, timeout_s = time.monotonic(), hook.timeout_ms / 1000 * self._time_scale
        result: HookAnswer | HookError
        try:
            async with self._slot(tenant_id, state, min(timeout_s, time_s)):
                left_s = min(timeout_s, time_s - (time.monotonic() - started))
                if not is_probe and state.breaker.state != "closed":  # it opened meanwhile
                    result = "circuit_open"
                else:
                    result = await self._call(tenant_id, hook, data, left_s)
                if result == "timeout" and left_s < FULL_TIME * min(timeout_s, time_s):
                    result = "at_capacity"
        except AtCapacity:
            result = "at_capacity"
        metrics.HOOK_DURATION[hook.name].observe(time.monotonic() - started)
        metrics.HOOK_CALLS[hook.name, result.decision if isinstance(result, HookAnswer) else result].inc()
        if isinstance(result, HookAnswer):
            state.breaker.succeeded()
        elif result not in ("circuit_open", "at_capacity"):
            state.breaker.failed()
        return result

    def is_allowed(self, key: AllowedKey) -> bool:
        """Return whether a cached answer of a hook allows this."""
        until = self._allowed.get(key)
        return until is not None and until > time.monotonic()

    def keep_allowed(self, key: AllowedKey, seconds: int) -> None:
        """Cache an allow. The oldest ones are evicted above the limit."""
        self._allowed.pop(key, None)
        self._allowed[key] = time.monotonic() + seconds
        if len(self._allowed) > MAX_ALLOWED:
            self._allowed.popitem(last=False)

    async def close(self) -> None:
        """Close all connections; calls in progress fail."""
        await self._client.close()

    @asynccontextmanager
    async def _slot(self, tenant_id: str, state: _State, wait_s: float) -> AsyncIterator[None]:
        """Hold a slot of the hook, and one of all calls. Raises AtCapacity after `wait_s` seconds without them."""
        deadline = time.monotonic() + wait_s
        try:
            async with asyncio.timeout(wait_s):
                await state.slots.acquire()
        except TimeoutError:
            raise AtCapacity from None
        try:
            async with self._slots.slot(tenant_id, deadline - time.monotonic()):
                yield
        finally:
            state.slots.release()

    async def _call(self, tenant_id: str, hook: Hook, data: dict[str, Any], time_s: float) -> HookAnswer | HookError:
        keys = self._keys(tenant_id, hook)
        if not keys:
            return "no_secret"
        now = datetime.now(UTC)
        body = msgspec.json.encode(HookCall(hook.name, now, data))
        headers = standard_webhooks.sign(keys, new_id("hook"), int(now.timestamp()), body)
        headers |= {"content-type": "application/json", "accept": "application/json", "user-agent": USER_AGENT}
        try:
            async with asyncio.timeout(time_s):
                answer = await self._client.post(hook.url, body, headers, timeout_s=time_s, keep_bytes=MAX_ANSWER_BYTES)
        except TimeoutError:
            return "timeout"
        if answer.error is not None:
            return _ERRORS.get(answer.error, "unreachable")
        if not answer.is_success:
            return "bad_status"
        try:
            return read_answer(answer.body, is_truncated=answer.is_truncated)
        except BadAnswer:
            return "bad_answer"

    def _state(self, tenant_id: str, hook: Hook) -> _State:
        """Return the state of a hook. A changed hook begins anew."""
        key = (tenant_id, hook.name)
        state = self._states.get(key)
        if state is None or state.revision != hook.revision:
            state = self._states[key] = _State(hook.revision)
            if len(self._states) > MAX_HOOKS:
                self._states.popitem(last=False)
        else:
            self._states.move_to_end(key)
        return state

    def _keys(self, tenant_id: str, hook: Hook) -> list[bytes]:
        """Return the keys that sign: the secret, and the previous one until it expires."""
        boxes = [hook.secret]
        if hook.previous_secret is not None and (hook.previous_secret_until or 0) > time.time():
            boxes.append(hook.previous_secret)
        opened = [decrypt_secret(self._keyring, tenant_id, hook.name, box) for box in boxes]
        return [key for key in opened if key is not None]
