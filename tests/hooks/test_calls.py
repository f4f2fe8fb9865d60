"""Calls of hooks: signed, bounded, and decided by `on_error` when the answer is not as documented."""

import asyncio
import json
import time
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from auth1.core.circuit_breaker import MAX_FAILURES
from auth1.hooks.answers import MAX_ANSWER_BYTES
from tests.hooks.conftest import NewUser
from tests.hooks.user import ALLOW, HookServer, HookUser, deciding, outcome
from tests.support.providers.twilio import Behaviour, Request, answer, hang, hang_up

TIMEOUT_S, SCALE = 0.05, 5


async def send_endlessly(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer 10 MB that begin like an allow."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10000000\r\n\r\n" + json.dumps({"decision": "allow"}).encode())
    for _ in range(100):
        writer.write(b" " * 100_000)
        await writer.drain()


async def send_slowly(request: Request, writer: asyncio.StreamWriter) -> None:
    """Answer an allow, one byte at a time."""
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\n")
    for byte in b'{"decision":"allow"}':
        await asyncio.sleep(TIMEOUT_S)
        writer.write(bytes([byte]))


BROKEN: dict[str, Behaviour] = {
    "hangs": hang,
    "closes": hang_up,
    "answers slowly": send_slowly,
    "answers 10 MB": send_endlessly,
    "answers 500": answer(500, {"decision": "allow"}),
    "answers no JSON": answer(200, b"allow"),
    "answers no UTF-8": answer(200, b'{"decision":"allow","reason":"\xff"}'),
    "answers deep JSON": answer(200, b'{"decision":"allow","claims":{"a":' + b"[" * 3000 + b"]" * 900),
    "answers nothing": answer(200, b""),
    "answers a list": answer(200, ["allow"]),
    "knows another decision": deciding("maybe"),
    "decides nothing": answer(200, {"reason": "none"}),
    "has a reason of the wrong type": deciding("allow", reason=7),
    "has claims of the wrong type": deciding("allow", claims=["admin"]),
    "caches for too long": deciding("allow", cache_for=61),
    "caches for a text": deciding("allow", cache_for="60"),
    "has a reason that is too long": deciding("deny", reason="a" * 201),
    "answers too much": deciding("allow", padding="a" * MAX_ANSWER_BYTES),
}


@pytest.mark.parametrize("on_error", ["allow", "deny"])
@pytest.mark.parametrize("fault", BROKEN)
async def test_broken_hook_decides_nothing(user: HookUser, fault: str, on_error: str) -> None:
    await user.set_hook("before_send", BROKEN[fault], on_error=on_error, timeout_in=TIMEOUT_S)
    started = time.monotonic()

    response = await user.request()

    assert outcome(response) == ((200, "") if on_error == "allow" else (403, "hook_denied"))
    assert len(user.calls("before_send")) == 1
    if fault in ("hangs", "answers slowly"):
        assert time.monotonic() - started >= TIMEOUT_S * SCALE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_redirect_of_a_hook_is_not_followed(user: HookUser, status: int) -> None:
    connections: list[object] = []
    async with await asyncio.start_server(lambda *_: connections.append(_), "127.0.0.1", 0) as canary:
        location = f"http://127.0.0.1:{canary.sockets[0].getsockname()[1]}/"
        await user.set_hook("before_send", answer(status, {"decision": "allow"}, {"location": location}))
        response = await user.request()

    assert outcome(response) == (403, "hook_denied")
    assert connections == []


async def test_call_is_signed_like_a_webhook(user: HookUser) -> None:
    saved = await user.set_hook("before_send")
    await user.request()

    [call] = user.calls("before_send")
    body = Webhook(saved["secret"]).verify(call.body, call.headers)
    assert body["type"] == "before_send"
    assert call.method == "POST"
    assert call.headers["content-type"] == "application/json"
    for damaged in (call.body + b" ", call.body[:-1]):
        with pytest.raises(WebhookVerificationError):
            Webhook(saved["secret"]).verify(damaged, call.headers)


async def test_both_secrets_sign_during_the_overlap(user: HookUser) -> None:
    first = await user.set_hook("before_send")
    second = await user.set_hook("before_send", rotate_secret=True)
    await user.request()
    third = await user.set_hook("before_send", rotate_secret=True, grace_in=0)
    await user.request()

    overlap, after = user.calls("before_send")
    for secret in (first, second):
        assert Webhook(secret["secret"]).verify(overlap.body, overlap.headers)
    assert Webhook(third["secret"]).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(second["secret"]).verify(after.body, after.headers)


async def test_each_call_has_an_id_of_its_own(user: HookUser) -> None:
    await user.set_hook("before_send")
    await user.request()
    await user.request()

    ids = [call.headers["webhook-id"] for call in user.calls("before_send")]
    assert len(set(ids)) == 2


async def test_circuit_breaker_opens_after_failures_and_closes_after_a_change(user: HookUser) -> None:
    await user.set_hook("before_send", answer(500, {}), on_error="deny")
    responses = [await user.request() for _ in range(MAX_FAILURES + 3)]
    calls = len(user.calls("before_send"))
    await user.set_hook("before_send", ALLOW, timeout_in=0.9)
    changed = await user.request()

    assert {outcome(response) for response in responses} == {(403, "hook_denied")}
    assert calls == MAX_FAILURES
    assert outcome(changed) == (200, "")


async def test_failures_of_a_hook_open_no_other_breaker(new_user: NewUser) -> None:
    broken, other = await new_user(), await new_user()
    await broken.set_hook("before_send", answer(500, {}))
    await other.set_hook("before_send", ALLOW)
    for _ in range(MAX_FAILURES + 1):
        await broken.request()

    assert outcome(await other.request()) == (200, "")


async def test_unreachable_hook_decides_nothing(user: HookUser) -> None:
    async with HookServer() as gone:
        body: dict[str, Any] = {"url": f"{gone.url}/", "on_error": "deny"}
    await user.call_tenant("PUT", "/hooks/before_send", body)

    assert outcome(await user.request()) == (403, "hook_denied")
