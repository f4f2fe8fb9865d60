"""before_user_created decides where the code is right and the identifier has no user. A denial creates nothing."""

import asyncio
from collections.abc import Awaitable, Callable

import httpx
import pytest

from tests.hooks.conftest import NewUser
from tests.hooks.user import ALLOW, DENY, HookUser, outcome
from tests.magic_links.user import LinkUser, code_in, new_address, pkce
from tests.support.api_client import ApiClient
from tests.support.providers.smtp import SmtpServer
from tests.support.providers.twilio import Behaviour, Request

HOOK = "before_user_created"


class Gate:
    """A behaviour that waits for a number of calls, and then answers all of them."""

    def __init__(self, calls: int = 1, then: Behaviour = ALLOW) -> None:
        self.arrived = asyncio.Event()
        self.opened = asyncio.Event()
        self._missing = calls
        self._then = then

    async def __call__(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self._missing -= 1
        if self._missing <= 0:
            self.arrived.set()
        await self.opened.wait()
        await self._then(request, writer)


async def verify_during(user: HookUser, gate: Gate, code: str, act: Callable[[], Awaitable[object]]) -> httpx.Response:
    """Submit a code, act while its hook is called, and let the hook answer; return the response."""
    login = asyncio.create_task(user.verify(code))
    await gate.arrived.wait()
    await act()
    gate.opened.set()
    return await login


async def test_denied_sign_up_creates_nothing_and_leaves_a_valid_code(user: HookUser) -> None:
    await user.set_hook(HOOK, DENY)
    code = await user.requested()

    denied = [await user.verify(code) for _ in range(2)]
    left = {table: await user.count(table) for table in ("users", "sessions")}
    wrong = await user.verify(f"{(int(code) + 1) % 10**6:06}")
    user.behave(HOOK, ALLOW)
    allowed = await user.verify(code)

    assert [outcome(response) for response in denied] == [(403, "hook_denied")] * 2
    assert "Not on the list" not in denied[0].text
    assert left == {"users": 0, "sessions": 0}
    assert wrong.json()["attempts_remaining"] == 4, "a right code that was denied is no attempt"
    assert (allowed.status_code, allowed.json()["is_new_user"]) == (200, True)


async def test_hook_is_called_for_right_codes_of_new_users_only(user: HookUser) -> None:
    await user.set_hook(HOOK)
    code = await user.requested()
    await user.verify(f"{(int(code) + 1) % 10**6:06}")
    before = len(user.calls(HOOK))
    first = await user.verify(code)
    after = len(user.calls(HOOK))
    await user.log_in()

    assert (before, after, len(user.calls(HOOK))) == (0, 1, 1)
    [body] = user.bodies(HOOK)
    assert first.status_code == 200
    assert body["data"] == {
        "tenant_id": user.tenant_id,
        "identifier": user.phone,
        "channel": "sms",
        "country": "US",
        "user_id": None,
        "request_id": first.headers["x-request-id"],
        "network": "127.0.0.0/24",
    }


async def test_user_that_the_operator_creates_calls_no_hook(user: HookUser) -> None:
    await user.set_hook(HOOK, DENY)

    created = await user.call_tenant("POST", "/users", {"phone": user.phone})
    tokens = await user.log_in()

    assert created.json()["user_id"] == tokens["user_id"]
    assert user.calls(HOOK) == []


async def test_two_submissions_of_a_code_make_one_user_and_call_once_each(user: HookUser) -> None:
    gate = Gate(2)
    await user.set_hook(HOOK, gate)
    code = await user.requested()

    logins = [asyncio.create_task(user.verify(code)) for _ in range(2)]
    await gate.arrived.wait()
    gate.opened.set()
    responses = await asyncio.gather(*logins)

    assert sorted(map(outcome, responses)) == [(200, ""), (400, "no_active_challenge")]
    assert len(user.calls(HOOK)) == 2
    assert {table: await user.count(table) for table in ("users", "sessions")} == {"users": 1, "sessions": 1}


async def test_code_that_expires_during_the_call_creates_no_user(user: HookUser) -> None:
    gate = Gate()
    await user.set_hook(HOOK, gate)
    code = await user.requested()
    expire = "update identifiers set code_expires_at = now() where tenant_id = $1"

    response = await verify_during(user, gate, code, lambda: user.database.execute(expire, user.tenant_id))

    assert outcome(response) == (400, "no_active_challenge")
    assert await user.count("users") == 0


async def test_wrong_codes_during_the_call_are_counted_once(user: HookUser) -> None:
    gate = Gate()
    await user.set_hook(HOOK, gate)
    code = await user.requested()
    attempts = "select code_attempts from identifiers where tenant_id = $1"

    async def guess() -> None:
        remaining = [await user.verify(f"{(int(code) + n) % 10**6:06}") for n in range(1, 4)]
        assert [response.json()["attempts_remaining"] for response in remaining] == [4, 3, 2]

    response = await verify_during(user, gate, code, guess)

    assert response.status_code == 200
    assert await user.database.fetchval(attempts, user.tenant_id) == 4


async def test_code_that_is_exhausted_during_the_call_opens_no_session(user: HookUser) -> None:
    gate = Gate()
    await user.set_hook(HOOK, gate)
    code = await user.requested()

    async def guess() -> None:
        for number in range(1, 6):
            await user.verify(f"{(int(code) + number) % 10**6:06}")

    response = await verify_during(user, gate, code, guess)

    assert outcome(response) == (429, "too_many_attempts")
    assert await user.count("users") == 0


async def test_user_that_appears_during_the_call_is_logged_in(user: HookUser) -> None:
    gate = Gate()
    await user.set_hook(HOOK, gate)
    code = await user.requested()

    async def create() -> None:
        assert (await user.call_tenant("POST", "/users", {"phone": user.phone})).status_code == 201

    response = await verify_during(user, gate, code, create)

    assert (response.status_code, response.json()["is_new_user"]) == (200, False)
    assert await user.count("users") == 1


async def test_client_that_disconnects_during_the_call_leaves_the_code(user: HookUser) -> None:
    gate = Gate()
    await user.set_hook(HOOK, gate)
    code = await user.requested()
    login = asyncio.create_task(user.verify(code))
    await gate.arrived.wait()

    login.cancel()
    await asyncio.gather(login, return_exceptions=True)
    gate.opened.set()

    assert (await user.verify(code)).status_code == 200


@pytest.mark.parametrize("grant", ["challenge", "authorization_code"])
async def test_denied_link_creates_nothing_and_can_be_redeemed_later(
    new_user: NewUser, hooks_api: ApiClient, mail_server: SmtpServer, grant: str
) -> None:
    callback = "https://app.example.com/cb"
    owner = await new_user(redirect_uris=[callback])
    await owner.set_hook(HOOK, DENY)
    user = LinkUser([hooks_api], owner.tenant, mail_server, new_address())
    verifier, challenge = pkce()
    fields: dict[str, object] = {}
    if grant == "authorization_code":
        fields = {"redirect_to": callback, "code_challenge": challenge, "code_challenge_method": "S256"}
    requested = await user.ask(**fields)
    path = user.mail.link.removeprefix(hooks_api.settings.app_url)
    confirmed = await user.confirm(path)

    async def redeem() -> httpx.Response:
        if grant == "challenge":
            return await user.redeem(requested)
        return await user.exchange(code_in(confirmed), verifier)

    denied = await redeem()
    left = {table: await owner.count(table) for table in ("users", "sessions")}
    owner.behave(HOOK, ALLOW)
    allowed = await redeem()

    assert outcome(denied) == (403, "hook_denied")
    assert left == {"users": 0, "sessions": 0}
    assert (allowed.status_code, allowed.json()["is_new_user"]) == (200, True)
    assert [body["data"]["identifier"] for body in owner.bodies(HOOK)] == [user.email] * 2
    assert outcome(await redeem()) == (400, "no_active_challenge")


async def test_login_of_a_tenant_without_hooks_is_one_statement(user: HookUser) -> None:
    await user.set_hook("before_send")
    postgres = user.api.services.postgres

    async def trips(code: str) -> int:
        before = postgres.round_trips
        assert (await user.verify(code)).status_code == 200
        return postgres.round_trips - before

    first = await trips(await user.requested())
    await user.set_hook(HOOK)
    known = await trips(await user.requested())
    user.phone = user.phone[:-2] + f"{(int(user.phone[-2:]) + 50) % 100:02}"
    new = await trips(await user.requested())

    assert (first, known, new) == (1, 1, 2)
