"""A hook that hangs or is broken holds no connection to PostgreSQL and no lock; its time counts in the deadline."""

import asyncio

import asyncpg
import pytest

from auth1.hooks.caller import MAX_CALLS_OF_A_HOOK
from tests.conftest import Started
from tests.hooks.conftest import ALLOWED
from tests.hooks.test_calls import BROKEN
from tests.hooks.user import ALLOW, HookServer, HookUser, outcome
from tests.support.api_client import ApiClient
from tests.support.process import until
from tests.support.providers.twilio import Request, TwilioServer, answer, hang

LOGINS = 20
OPEN_TRANSACTIONS = """
select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
  and xact_start is not null
"""


@pytest.fixture(scope="module")
async def small_api(start_app: Started) -> ApiClient:
    """Return an application with two connections."""
    return await start_app(DATABASE_POOL_SIZE="2", **ALLOWED)


@pytest.fixture
async def users(
    small_api: ApiClient, twilio_server: TwilioServer, hook_server: HookServer, database: asyncpg.Connection
) -> list[HookUser]:
    """Return users of one tenant."""
    tenant = await small_api.tenant()
    users = [HookUser([small_api], tenant, twilio_server, hook_server, database) for _ in range(LOGINS)]
    for user in users:
        user.paths = users[0].paths
    return users


@pytest.mark.parametrize("hook", ["before_send", "before_user_created", "before_token"])
async def test_hanging_hook_holds_no_connection_and_no_lock(users: list[HookUser], hook: str) -> None:
    first, released = users[0], asyncio.Event()

    async def wait(request: Request, writer: asyncio.StreamWriter) -> None:
        await released.wait()
        await ALLOW(request, writer)

    codes = [] if hook == "before_send" else [await user.requested() for user in users]
    await first.set_hook(hook, wait, on_error="allow", timeout_in=1)
    tasks = [asyncio.create_task(user.verify(codes[n]) if codes else user.request()) for n, user in enumerate(users)]

    async def all_wait() -> bool:
        return len(first.calls(hook)) == MAX_CALLS_OF_A_HOOK  # the others wait for these

    async def is_idle() -> bool:
        return bool(await first.database.fetchval(OPEN_TRANSACTIONS) == 0)  # background jobs have short ones

    await until(all_wait)
    await until(is_idle)
    shown = await first.call_tenant("GET", f"/hooks/{hook}")
    released.set()
    responses = await asyncio.gather(*tasks)

    assert shown.status_code == 200
    assert {outcome(response) for response in responses} == {(200, "")}


@pytest.mark.parametrize("fault", ["answers 10 MB", "knows another decision", "redirects"])
async def test_logins_at_once_follow_on_error_when_the_hook_is_broken(users: list[HookUser], fault: str) -> None:
    codes = [await user.requested() for user in users]
    behaviour = BROKEN.get(fault, answer(307, {"decision": "deny"}, {"location": "http://127.0.0.1:9/"}))
    await users[0].set_hook("before_token", behaviour, on_error="allow", timeout_in=1)

    responses = await asyncio.gather(*(user.verify(code) for user, code in zip(users, codes, strict=True)))

    assert {outcome(response) for response in responses} == {(200, "")}


async def test_hook_takes_no_more_than_the_time_of_its_request(
    start_app: Started, twilio_server: TwilioServer, hook_server: HookServer, database: asyncpg.Connection
) -> None:
    api = await start_app(TIMEOUT_SCALE="3", **ALLOWED)
    user = HookUser([api], await api.tenant(), twilio_server, hook_server, database)
    code = await user.requested()
    for hook in ("before_user_created", "before_token"):
        await user.set_hook(hook, hang, on_error="allow", timeout_in=1)

    response = await user.verify(code)

    assert outcome(response) == (200, "")  # not 503: the second hook gets less than its timeout
