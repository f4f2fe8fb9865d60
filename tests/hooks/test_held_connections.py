"""A hook that hangs holds neither a connection to PostgreSQL nor a lock, and its time counts in the deadline."""

import asyncio
import time

import asyncpg
import pytest

from auth1.hooks.caller import MAX_CALLS_OF_A_HOOK
from tests.conftest import Started
from tests.hooks.conftest import ALLOWED
from tests.hooks.user import HookServer, HookUser, outcome
from tests.support.api_client import ApiClient
from tests.support.process import until
from tests.support.providers.twilio import TwilioServer, hang

LOGINS = 20
BUSY = """
select (select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()
        and state <> 'idle') as statements,
  (select count(*) from pg_locks l join pg_stat_activity a using (pid)
   where a.datname = current_database() and l.pid <> pg_backend_pid()) as locks
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
    first = users[0]
    codes = [] if hook == "before_send" else [await user.requested() for user in users]
    await first.set_hook(hook, hang, on_error="allow", timeout_in=0.2)
    started = time.monotonic()
    tasks = [asyncio.create_task(user.verify(codes[n]) if codes else user.request()) for n, user in enumerate(users)]

    async def all_wait() -> bool:
        return len(first.calls(hook)) == MAX_CALLS_OF_A_HOOK  # the others wait for these

    await until(all_wait)
    row = await first.database.fetchrow(BUSY)
    statement = time.monotonic()
    shown = await first.call_tenant("GET", f"/hooks/{hook}")
    statement_s = time.monotonic() - statement
    responses = await asyncio.gather(*tasks)

    assert row is not None
    assert tuple(row) == (0, 0)
    assert shown.status_code == 200
    assert statement_s < 0.2 * 5
    assert {outcome(response) for response in responses} == {(200, "")}
    assert time.monotonic() - started >= 0.2 * 5


async def test_hook_takes_no_more_than_the_time_of_its_request(
    start_app: Started, twilio_server: TwilioServer, hook_server: HookServer, database: asyncpg.Connection
) -> None:
    api = await start_app(TIMEOUT_SCALE="1", **ALLOWED)
    user = HookUser([api], await api.tenant(), twilio_server, hook_server, database)
    code = await user.requested()
    for hook in ("before_user_created", "before_token"):
        await user.set_hook(hook, hang, on_error="allow", timeout_in=1)

    started = time.monotonic()
    response = await user.verify(code)

    assert outcome(response) == (200, "")
    assert 1 < time.monotonic() - started < 2
