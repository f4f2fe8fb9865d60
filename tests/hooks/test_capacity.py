"""Calls of hooks at once: tenants share them, and a lack of them is no error of a hook."""

import asyncio
import time

import pytest

from auth1.core import crypto
from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.hooks import caller
from auth1.hooks.caller import MAX_CALLS, MAX_CALLS_OF_A_HOOK
from auth1.hooks.config import NAMES, Hook
from auth1.hooks.schemas import HookAnswer
from tests.hooks.conftest import NewUser
from tests.hooks.user import ALLOW, HookUser, outcome
from tests.support.process import until
from tests.support.providers.twilio import Request, answer, hang

LONG_S = 600.0


class Held:
    """A hook that allows when it is released."""

    def __init__(self) -> None:
        self.released = asyncio.Event()

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        await self.released.wait()
        await ALLOW(request, writer)


async def hook_of(user: HookUser, name: str, timeout_s: float) -> Hook:
    """Return a hook of a user's tenant, with another timeout."""
    tenant = await user.api.services.tenants.find(crypto.digest(user.api_key))
    assert tenant is not None
    hook: Hook = getattr(tenant.hooks, name)
    return Hook(hook.name, hook.url, hook.on_error, round(timeout_s * 1000), hook.revision, hook.secret)


def begin(user: HookUser, hook: Hook, time_s: float = LONG_S) -> "asyncio.Task[object]":
    call = user.api.services.hooks.call(str(user.tenant["tenant_id"]), hook, {}, time_s)
    return asyncio.create_task(call)


async def test_slow_hooks_of_two_tenants_leave_slots_to_another(new_user: NewUser) -> None:
    held, greedy, other = Held(), [await new_user(), await new_user()], await new_user()
    tasks = []
    for user in greedy:
        for name in NAMES:
            await user.set_hook(name, held)
            hook = await hook_of(user, name, LONG_S)
            tasks += [begin(user, hook) for _ in range(MAX_CALLS_OF_A_HOOK)]
    await until(lambda: sum(len(user.calls(name)) for user in greedy for name in NAMES) == MAX_CALLS * 3 // 4)
    await other.set_hook("before_send", ALLOW)

    allowed = await begin(other, await hook_of(other, "before_send", LONG_S))

    assert isinstance(allowed, HookAnswer)
    assert not any(task.done() for task in tasks)
    held.released.set()
    assert all(isinstance(result, HookAnswer) for result in await asyncio.gather(*tasks))


@pytest.mark.parametrize("on_error", ["allow", "deny"])
async def test_request_without_a_slot_is_503_and_opens_no_breaker(
    user: HookUser, monkeypatch: pytest.MonkeyPatch, on_error: str
) -> None:
    monkeypatch.setattr(caller, "MAX_CALLS_OF_A_HOOK", 1)
    held = Held()
    await user.set_hook("before_send", held, on_error=on_error, timeout_in=0.2)
    holder = begin(user, await hook_of(user, "before_send", LONG_S))
    await until(lambda: len(user.calls("before_send")) == 1)

    responses = await asyncio.gather(*(user.request() for _ in range(MAX_FAILURES + 1)))

    assert {outcome(response) for response in responses} == {(503, "unavailable")}
    assert {response.headers["retry-after"] for response in responses} == {"1"}
    held.released.set()
    assert isinstance(await holder, HookAnswer)
    user.behave("before_send", ALLOW)
    assert outcome(await user.request()) == (200, "")
    assert len(user.calls("before_send")) == 2


async def test_timeout_after_a_long_wait_is_no_error_of_the_hook(
    user: HookUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "MAX_CALLS_OF_A_HOOK", 1)
    held = Held()
    await user.set_hook("before_send", held)
    hook = await hook_of(user, "before_send", LONG_S)
    holder = begin(user, hook)
    await until(lambda: len(user.calls("before_send")) == 1)
    started, waiting = time.monotonic(), begin(user, hook, time_s=1.0)
    await until(lambda: time.monotonic() - started > 0.3)
    user.behave("before_send", hang)
    held.released.set()

    assert await waiting == "at_capacity"
    assert isinstance(await holder, HookAnswer)


async def test_waiting_calls_follow_on_error_once_the_breaker_opens(
    user: HookUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(caller, "MAX_CALLS_OF_A_HOOK", 1)
    await user.set_hook("before_send", answer(500, {}))
    hook = await hook_of(user, "before_send", LONG_S)

    results = await asyncio.gather(*(begin(user, hook) for _ in range(MAX_FAILURES + 2)))

    assert results == ["bad_status"] * MAX_FAILURES + ["circuit_open"] * 2
    assert len(user.calls("before_send")) == MAX_FAILURES
