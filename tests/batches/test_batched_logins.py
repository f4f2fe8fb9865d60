"""Steps of hosted logins share statements, and keep browsers and tenants apart."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from auth1.core.crypto import digest
from auth1.core.ids import new_id
from auth1.core.postgres import Postgres
from auth1.hosted import store
from auth1.hosted.records import Completion, Login, LoginKey, SentCode
from auth1.identifiers import IdentifierType, stored_identifier
from auth1.oauth.authorization.logins import NewLogin, start_login, start_pushed_login
from auth1.oauth.authorization.requests import AuthorizationRequest, Prompt, encode_request
from tests.batches.conftest import BatchUser, NewPostgres, count, new_users, open_all, verdicts
from tests.faults.relay import Relay

CLIENT = "app_1"
ASKS = AuthorizationRequest(client_id=CLIENT, redirect_uri="https://app.example.com/callback", scopes=["openid"])
WAITS_FOR_LOCK = """
select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%complete_logins%')
"""
STEPS = ("start_logins(", "record_sent_codes(", "complete_logins(")


@dataclass
class Visitor:
    """A browser at a login of its own, and the user that logs in."""

    user: BatchUser
    user_id: str = ""
    secret: str = field(default_factory=lambda: new_id("li"))
    login_id: str = field(default_factory=lambda: new_id("li"))
    new_secret: str = field(default_factory=lambda: new_id("li"))

    @property
    def key(self) -> LoginKey:
        return LoginKey(self.user.tenant_id, self.login_id, digest(self.secret))

    @property
    def new_key(self) -> LoginKey:
        return self.key._replace(browser_digest=digest(self.new_secret))

    async def start(self, postgres: Postgres, asks: AuthorizationRequest = ASKS) -> bool:
        return await start_login(postgres, NewLogin(*self.key, CLIENT, encode_request(asks), "start"))

    async def find(self, postgres: Postgres) -> Login | None:
        return await store.find_login(postgres, self.key)

    async def send(self, postgres: Postgres) -> bool:
        return await store.record_sent(
            postgres, self.key, SentCode(stored_identifier("phone", self.user.phone), None, 6, 30)
        )

    async def complete(self, postgres: Postgres, adding: IdentifierType | None = None) -> bool:
        completion = Completion(
            digest(self.new_secret), self.user.phone, "sms", self.user_id, self.user.session_id, ["otp", "sms"], adding
        )
        return await store.complete_login(postgres, self.key, completion)


async def new_visitors(postgres: Postgres, database: asyncpg.Connection, number: int) -> list[Visitor]:
    """Return browsers at the step `start` of a new tenant, whose users have opened their sessions."""
    users = new_users(number)
    tenant_id = users[0].tenant_id
    await database.execute("insert into tenants (id, slug, name) values ($1, $1, 'Test')", tenant_id)
    await database.execute(
        "insert into applications (tenant_id, id, name, kind, redirect_uris, first_party)"
        " values ($1, $2, 'Notes', 'web', $3, true)",
        *(tenant_id, CLIENT, [ASKS.redirect_uri]),
    )
    await open_all(postgres, users)
    results = await asyncio.gather(*(user.submit(postgres) for user in users))
    assert verdicts(results) == ["ok"] * number
    visitors = [Visitor(user, result.user_id or "") for user, result in zip(users, results, strict=True)]
    assert await asyncio.gather(*(visitor.start(postgres) for visitor in visitors)) == [True] * number
    return visitors


async def visitors_with_code(postgres: Postgres, database: asyncpg.Connection, number: int) -> list[Visitor]:
    """Return browsers at the step `code`."""
    visitors = await new_visitors(postgres, database, number)
    assert await asyncio.gather(*(visitor.send(postgres) for visitor in visitors)) == [True] * number
    return visitors


async def rows(database: asyncpg.Connection, visitors: list[Visitor]) -> list[asyncpg.Record]:
    """Return the rows of logins, in the order of their visitors."""
    query = "select * from logins where tenant_id = $1"
    found = {row["id"]: row for row in await database.fetch(query, visitors[0].user.tenant_id)}
    return [found[visitor.login_id] for visitor in visitors]


@pytest.mark.parametrize("act", [Visitor.start, Visitor.find, Visitor.send])
async def test_steps_of_one_moment_share_a_statement(
    postgres: Postgres, database: asyncpg.Connection, act: Callable[[Visitor, Postgres], Awaitable[object]]
) -> None:
    visitors = await new_visitors(postgres, database, 20)
    before = postgres.round_trips

    results = await asyncio.gather(*(act(visitor, postgres) for visitor in visitors))

    assert postgres.round_trips - before == 1
    assert all(results)


async def test_completions_of_one_moment_share_a_statement(postgres: Postgres, database: asyncpg.Connection) -> None:
    visitors = await visitors_with_code(postgres, database, 20)
    before = postgres.round_trips

    assert all(await asyncio.gather(*(visitor.complete(postgres) for visitor in visitors)))

    assert postgres.round_trips - before == 1
    for visitor, row in zip(visitors, await rows(database, visitors), strict=True):
        assert (row["step"], row["user_id"], row["session_id"]) == ("done", visitor.user_id, visitor.user.session_id)
        assert (row["browser_digest"], row["code_number"]) == (digest(visitor.new_secret), 1)
    kinds = "select array_agg(distinct kind) from sessions where tenant_id = $1"
    assert await database.fetchval(kinds, visitors[0].user.tenant_id) == ["browser"]


async def test_login_of_another_browser_or_tenant_is_untouched_in_a_shared_batch(
    postgres: Postgres, database: asyncpg.Connection
) -> None:
    [owner, other] = await visitors_with_code(postgres, database, 2)
    [stranger] = await new_visitors(postgres, database, 1)
    thief = Visitor(other.user, other.user_id, other.secret, owner.login_id)
    neighbour = Visitor(stranger.user, stranger.user_id, owner.secret, owner.login_id)

    async def all_of(act: Callable[[Visitor], Awaitable[object]]) -> list[bool]:
        return [bool(one) for one in await asyncio.gather(*(act(one) for one in (thief, owner, neighbour)))]

    assert await all_of(lambda one: one.find(postgres)) == [False, True, False]
    assert await all_of(lambda one: one.send(postgres)) == [False, True, False]
    assert await all_of(lambda one: one.complete(postgres)) == [False, True, False]
    [row] = await rows(database, [owner])
    assert (row["user_id"], row["browser_digest"]) == (owner.user_id, digest(owner.new_secret))


async def test_tabs_that_complete_a_login_at_two_workers_complete_it_once(
    new_postgres: NewPostgres, database: asyncpg.Connection
) -> None:
    pools = [await new_postgres(), await new_postgres()]
    hot, *others = await visitors_with_code(pools[0], database, 9)
    tabs = [Visitor(hot.user, hot.user_id, hot.secret, hot.login_id) for _ in range(16)]

    results = await asyncio.gather(
        *(tab.complete(pools[n % 2]) for n, tab in enumerate(tabs)),
        *(visitor.complete(pools[n % 2]) for n, visitor in enumerate(others)),
    )

    assert Counter(results) == {True: 1 + len(others), False: 15}
    [row] = await rows(database, [hot])
    [winner] = [tab for tab, won in zip(tabs, results, strict=False) if won]
    assert (row["browser_digest"], row["code_number"]) == (digest(winner.new_secret), 1)


async def test_completion_replaces_the_cookie_in_all_logins_of_its_browser(
    postgres: Postgres, database: asyncpg.Connection
) -> None:
    [one, other] = await visitors_with_code(postgres, database, 2)
    tab = Visitor(one.user, one.user_id, one.secret)
    await tab.start(postgres)

    assert all(await asyncio.gather(one.complete(postgres), other.complete(postgres)))

    [row] = await rows(database, [tab])
    assert (row["browser_digest"], row["step"]) == (digest(one.new_secret), "start")
    assert await tab.find(postgres) is None
    assert await store.find_login(postgres, tab.key._replace(browser_digest=digest(one.new_secret))) is not None


@pytest.mark.parametrize("table", ["logins", "users", "sessions"])
async def test_held_lock_stalls_no_other_completion(
    postgres: Postgres, database: asyncpg.Connection, table: str
) -> None:
    visitors = await visitors_with_code(postgres, database, 8)
    held = visitors[3]
    row_id = {"logins": held.login_id, "users": held.user_id, "sessions": held.user.session_id}[table]

    async with database.transaction():
        await database.execute(f"select from {table} where id = $1 for update", row_id)
        stalled = asyncio.create_task(held.complete(postgres))
        before = postgres.round_trips
        others = await asyncio.gather(*(one.complete(postgres) for one in visitors if one is not held))
        assert others == [True] * 7
        assert postgres.round_trips - before <= 2, "the batch, and the one that waits"
        assert not stalled.done()
    assert await stalled


async def test_held_lock_stalls_no_other_code_that_was_sent(postgres: Postgres, database: asyncpg.Connection) -> None:
    visitors = await new_visitors(postgres, database, 8)

    async with database.transaction():
        await database.execute("select from logins where id = $1 for update", visitors[3].login_id)
        stalled = asyncio.create_task(visitors[3].send(postgres))
        before = postgres.round_trips
        others = await asyncio.gather(*(one.send(postgres) for one in visitors if one is not visitors[3]))
        assert others == [True] * 7
        assert postgres.round_trips - before <= 2, "the batch, and the one that waits"
        assert not stalled.done()
    assert await stalled


async def test_completion_waits_for_no_login_that_began_after_its_locks(
    postgres: Postgres, database: asyncpg.Connection, observer: asyncpg.Connection
) -> None:
    """A redemption may hold such a login while it waits for the session, which the completion holds."""
    [visitor] = await visitors_with_code(postgres, database, 1)
    earlier, held = (Visitor(visitor.user, visitor.user_id, visitor.secret) for _ in range(2))
    assert await earlier.start(postgres)
    session = database.transaction()
    await session.start()
    await database.execute("select from sessions where id = $1 for update", visitor.user.session_id)
    completed = asyncio.create_task(visitor.complete(postgres))
    while not await observer.fetchval(WAITS_FOR_LOCK):
        assert not completed.done()
    assert await held.start(postgres)

    async with observer.transaction():
        await observer.execute("select from logins where id = $1 for update", held.login_id)
        await session.commit()
        assert await completed

    digests = [row["browser_digest"] for row in await rows(database, [visitor, earlier, held])]
    assert digests == [digest(visitor.new_secret), digest(visitor.new_secret), digest(visitor.secret)]


@pytest.mark.parametrize("change", ["step = 'start'", "step = 'done'", "step = 'refused'", "expires_at = now()"])
async def test_login_that_waits_for_no_user_is_not_completed(
    postgres: Postgres, database: asyncpg.Connection, change: str
) -> None:
    over, other = await visitors_with_code(postgres, database, 2)
    await database.execute(f"update logins set {change} where id = $1", over.login_id)

    results = await asyncio.gather(*(visitor.complete(postgres) for visitor in (over, other)))

    assert results == [False, True]
    [row] = await rows(database, [over])
    assert (row["session_id"], row["browser_digest"]) == (None, digest(over.secret))


async def test_user_that_is_erased_meanwhile_is_not_completed(postgres: Postgres, database: asyncpg.Connection) -> None:
    erased, other = await visitors_with_code(postgres, database, 2)
    await database.execute("delete from users where id = $1", erased.user_id)

    results = await asyncio.gather(*(visitor.complete(postgres) for visitor in (erased, other)))

    assert results == [False, True]
    [row] = await rows(database, [erased])
    assert (row["step"], row["user_id"]) == ("code", None)


async def test_login_that_continues_a_session_locks_its_user_alone(
    postgres: Postgres, database: asyncpg.Connection
) -> None:
    visitors = await new_visitors(postgres, database, 3)
    asks, before = encode_request(ASKS), postgres.round_trips
    logins = [
        NewLogin(*visitor.key._replace(login_id=new_id("li")), CLIENT, asks, "done", visitor.user_id, "ses_1")
        for visitor in visitors
    ]
    logins[0] = logins[0]._replace(user_id="usr_unknown")

    assert await asyncio.gather(*(start_login(postgres, login) for login in logins)) == [False, True, True]
    assert postgres.round_trips - before == 3
    assert await count(database, "logins", visitors[0].user.tenant_id) == 5


@pytest.mark.parametrize("committed", [True, False])
@pytest.mark.parametrize("step", STEPS)
async def test_lost_connection_of_a_batch_moves_each_login_once(
    new_postgres: NewPostgres, relay: Relay, database: asyncpg.Connection, step: str, committed: bool
) -> None:
    postgres = await new_postgres(relay.url)
    visitors = await visitors_with_code(postgres, database, 8)
    if step == "start_logins(":
        visitors = [Visitor(visitor.user, visitor.user_id) for visitor in visitors]
    lost = relay.hold_answer(step) if committed else relay.hold(step)
    lost.cut()
    act = {"start_logins(": Visitor.start, "record_sent_codes(": Visitor.send, "complete_logins(": Visitor.complete}

    results = await asyncio.gather(*(act[step](visitor, postgres) for visitor in visitors))

    assert lost.caught.is_set()
    assert results == [True] * 8
    found = await rows(database, visitors)
    expected = {"start_logins(": "start", "record_sent_codes(": "code", "complete_logins(": "done"}
    assert [row["step"] for row in found] == [expected[step]] * 8
    assert {row["code_number"] for row in found} == {int(step == "complete_logins(")}


@pytest.mark.parametrize("committed", [True, False])
async def test_lost_connection_begins_the_login_of_a_pushed_request_once(
    new_postgres: NewPostgres, relay: Relay, database: asyncpg.Connection, committed: bool
) -> None:
    postgres = await new_postgres(relay.url)
    [visitor] = await new_visitors(postgres, database, 1)
    pushed = visitor.key._replace(login_id=new_id("li"))
    insert = "insert into logins (tenant_id, id, browser_digest, client_id) values ($1, $2, '', $3)"
    await database.execute(insert, pushed.tenant_id, pushed.login_id, CLIENT)
    login = NewLogin(*pushed, CLIENT, encode_request(ASKS), "done", visitor.user_id, visitor.user.session_id)
    lost = relay.hold_answer("start_logins(") if committed else relay.hold("start_logins(")
    lost.cut()

    assert await start_pushed_login(postgres, login)

    assert lost.caught.is_set()
    stranger = login._replace(browser_digest=b"stranger", session_id=new_id("ses"))
    assert not await start_pushed_login(postgres, stranger)
    row = await database.fetchrow("select * from logins where id = $1", pushed.login_id)
    assert row is not None
    assert (row["step"], row["browser_digest"], row["code_number"]) == ("done", pushed.browser_digest, 1)


@pytest.mark.parametrize("number", [1, 8])
@pytest.mark.parametrize("step", STEPS)
async def test_step_that_is_executed_after_its_deadline_changes_nothing(
    postgres: Postgres, database: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch, step: str, number: int
) -> None:
    """The browser got a 503, so it has no cookie that the step would write."""
    visitors = await new_visitors(postgres, database, number)
    acts = {"start_logins(": Visitor.start, "record_sent_codes(": Visitor.send, "complete_logins(": Visitor.complete}
    if step == "complete_logins(":
        await asyncio.gather(*(visitor.send(postgres) for visitor in visitors))
    acting = [Visitor(one.user, one.user_id) for one in visitors] if step == "start_logins(" else visitors
    before = await rows(database, visitors)
    past = datetime.now(UTC) - timedelta(hours=1)
    monkeypatch.setattr(postgres, "before_deadline", lambda request, time_s: request._replace(deadline=past))

    results = await asyncio.gather(*(acts[step](one, postgres) for one in acting), return_exceptions=True)

    assert {str(result) for result in results} == {"the deadline of the request has passed"}
    assert await rows(database, visitors) == before
    assert await count(database, "logins", visitors[0].user.tenant_id) == number


@pytest.mark.parametrize(
    ("change", "prompt", "adding", "step"),
    [
        ("", [], None, "done"),
        ("", [], "email", "profile"),
        ("", ["consent"], None, "consent"),
        ("update applications set first_party = false", [], None, "consent"),
        ("update applications set disabled_at = now()", [], None, "consent"),
        ("consent to openid", [], None, "done"),
        ("consent to email", [], None, "consent"),
    ],
)
async def test_completed_login_goes_on_with_the_step_that_is_still_required(
    postgres: Postgres,
    database: asyncpg.Connection,
    change: str,
    prompt: list[Prompt],
    adding: IdentifierType | None,
    step: str,
) -> None:
    [visitor] = await new_visitors(postgres, database, 1)
    tenant_id = visitor.user.tenant_id
    if change.startswith("update"):
        await database.execute(f"{change} where tenant_id = $1", tenant_id)
    elif change:
        await database.execute("update applications set first_party = false where tenant_id = $1", tenant_id)
        await database.execute(
            "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, $3, $4)",
            *(tenant_id, visitor.user_id, CLIENT, [change.rpartition(" ")[2]]),
        )
    request = AuthorizationRequest(client_id=CLIENT, redirect_uri=ASKS.redirect_uri, scopes=["openid"], prompt=prompt)
    visitor.login_id = new_id("li")
    await visitor.start(postgres, request)
    await visitor.send(postgres)

    assert await visitor.complete(postgres, adding)

    [row] = await rows(database, [visitor])
    assert (row["step"], row["adding"], row["code_number"]) == (step, adding, int(step == "done"))
    login = await store.find_login(postgres, visitor.new_key)
    assert login is not None
    assert login.has_code == (step == "done")


@pytest.mark.parametrize(
    "change",
    [
        "update logins set code_expires_at = now() + interval '29 s'",
        "update logins set redeemed_at = now()",
        "update logins set expires_at = now()",
        "update logins set step = 'expired'",
        "update applications set redirect_uris = '{https://app.example.com/other}'",
        "update applications set disabled_at = now()",
        "delete from applications",
    ],
)
async def test_code_is_not_shown_after_a_change(postgres: Postgres, database: asyncpg.Connection, change: str) -> None:
    [visitor] = await visitors_with_code(postgres, database, 1)
    await visitor.complete(postgres)
    before = await store.find_login(postgres, visitor.new_key)
    await database.execute(f"{change} where tenant_id = $1", visitor.user.tenant_id)
    after = await store.find_login(postgres, visitor.new_key)

    assert before is not None
    assert after is not None
    assert (before.has_code, after.has_code) == (True, False)
