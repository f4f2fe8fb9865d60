"""The access of applications to an account: consents and live grants are listed, and end together."""

import asyncio
import secrets
from datetime import timedelta

import asyncpg
import pytest

from auth1.applications import service
from auth1.applications.consents import end_consent, list_consents
from auth1.applications.records import NewApplication
from auth1.errors import NotFound
from auth1.events.log import EventContext
from auth1.tenants.settings import OPERATOR, TenantAdmin
from tests.support.api_client import ApiClient

CONTEXT = EventContext("usr_1")
DAY = timedelta(days=1)


class Account:
    """A user of a new tenant or of its sandbox, and two applications."""

    def __init__(self, api: ApiClient, database: asyncpg.Connection, tenant_id: str, *, sandbox: bool) -> None:
        self.api, self.database, self.user_id = api, database, f"usr_{secrets.token_hex(8)}"
        self.owner_id, self.tenant_id = tenant_id, tenant_id + (":test" if sandbox else "")
        self.first = self.second = ""

    async def register(self) -> None:
        for name in ("First", "Second"):
            uris = ["https://app.example.com/callback"]
            new = NewApplication(name=name, kind="spa", scopes=[], id_token_alg="ES256", redirect_uris=uris)
            created = await service.create_application(self.api.services, TenantAdmin(self.owner_id, OPERATOR), new)
            setattr(self, name.lower(), created.application.client_id)

    async def consent(self, client_id: str, *scopes: str) -> None:
        statement = "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, $3, $4)"
        await self.database.execute(statement, self.tenant_id, self.user_id, client_id, list(scopes))

    async def grant(self, client_id: str, *scopes: str, age: timedelta = timedelta(), life: timedelta = DAY) -> str:
        grant_id = f"gr_{secrets.token_hex(8)}"
        statement = """
            insert into grants
              (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, created_at, expires_at)
            select $1, $2, $3, $4, 'ses_1', $5, '{otp}', moment, moment, now() + $7::interval
            from (select now() - $6::interval) as creation(moment)
        """
        values = (self.tenant_id, grant_id, client_id, self.user_id, list(scopes), age, life)
        await self.database.execute(statement, *values)
        return grant_id

    async def listed(self) -> list[tuple[str, str, list[str]]]:
        found = await list_consents(self.api.services.postgres, self.tenant_id, self.user_id)
        return [(consent.client_id, consent.name, consent.scopes) for consent in found]

    async def end(self, client_id: str) -> list[str]:
        """End a consent; return the types of the events."""
        events = await end_consent(self.api.services.postgres, self.tenant_id, self.user_id, client_id, CONTEXT)
        return [event.type for event in events]

    async def is_revoked(self, grant_id: str) -> bool:
        revoked = "select revoked_at is not null from grants where tenant_id = $1 and id = $2"
        return bool(await self.database.fetchval(revoked, self.tenant_id, grant_id))


@pytest.fixture(params=[False, True], ids=["tenant", "sandbox"])
async def account(request: pytest.FixtureRequest, api: ApiClient, database: asyncpg.Connection) -> Account:
    account = Account(api, database, (await api.tenant())["tenant_id"], sandbox=request.param)
    await account.register()
    return account


async def test_consents_and_live_grants_are_listed(account: Account) -> None:
    assert await account.listed() == []

    await account.consent(account.first, "openid", "email")
    await account.grant(account.second, "openid", "phone")
    await account.grant(account.second, "openid", "email")

    assert await account.listed() == [
        (account.first, "First", ["email", "openid"]),
        (account.second, "Second", ["email", "openid", "phone"]),
    ]


async def test_times_of_a_consent_are_those_of_its_grants(account: Account) -> None:
    await account.consent(account.first, "openid")
    await account.grant(account.second, "openid", age=timedelta(hours=2))
    await account.grant(account.second, "openid", age=timedelta(hours=1))

    unused, used = await list_consents(account.api.services.postgres, account.tenant_id, account.user_id)

    assert unused.last_used_at is None
    assert used.last_used_at is not None
    assert used.last_used_at - used.granted_at >= timedelta(hours=1)
    assert used.granted_at < unused.granted_at


async def test_expired_and_revoked_grants_are_not_listed(account: Account) -> None:
    await account.grant(account.first, "openid", life=-DAY)
    grant_id = await account.grant(account.second, "openid")
    await account.database.execute("update grants set revoked_at = now() where id = $1", grant_id)

    assert await account.listed() == []


async def test_access_of_other_users_is_not_listed(account: Account) -> None:
    await account.consent(account.first, "openid")
    await account.grant(account.second, "openid")
    own, account.user_id = account.user_id, "usr_other"

    assert await account.listed() == []
    for client_id in (account.first, account.second):
        with pytest.raises(NotFound):
            await account.end(client_id)
    account.user_id = own
    assert len(await account.listed()) == 2


async def test_ended_consent_revokes_the_grants_of_its_application(account: Account) -> None:
    await account.consent(account.first, "openid")
    ended = [await account.grant(account.first, "openid") for _ in range(2)]
    kept = await account.grant(account.second, "openid")

    assert await account.end(account.first) == ["consent.revoked"]

    assert [await account.is_revoked(grant_id) for grant_id in (*ended, kept)] == [True, True, False]
    assert [client_id for client_id, _, _ in await account.listed()] == [account.second]
    data = "select data::text from events where tenant_id = $1 and type = 'consent.revoked'"
    expected = f'{{"grants": 2, "client_id": "{account.first}"}}'
    assert await account.database.fetchval(data, account.tenant_id) == expected
    with pytest.raises(NotFound):
        await account.end(account.first)


async def test_grants_of_a_first_party_application_end_without_a_consent(account: Account) -> None:
    grant_id = await account.grant(account.first, "openid")

    assert await account.end(account.first) == ["consent.revoked"]

    assert await account.is_revoked(grant_id)


async def test_codes_end_with_the_consent(account: Account) -> None:
    await account.consent(account.first, "openid")
    statement = """
        insert into logins (tenant_id, id, browser_digest, client_id, user_id, step, code_number, code_expires_at)
        values ($1, $2, '', $3, $4, 'done', 1, now() + interval '1 minute')
    """
    for login_id, client_id in (("li_1", account.first), ("li_2", account.second)):
        await account.database.execute(statement, account.tenant_id, login_id, client_id, account.user_id)

    await account.end(account.first)

    live = "select id from logins where tenant_id = $1 and code_expires_at > now()"
    assert [row["id"] for row in await account.database.fetch(live, account.tenant_id)] == ["li_2"]


async def test_grant_of_a_redemption_under_way_ends_with_the_consent(account: Account) -> None:
    """A redemption holds the lock of its login until it commits the grant."""
    await account.consent(account.first, "openid")
    login = """
        insert into logins (tenant_id, id, browser_digest, client_id, user_id, step, code_number, code_expires_at)
        values ($1, 'li_1', '', $2, $3, 'done', 1, now() + interval '1 minute')
    """
    await account.database.execute(login, account.tenant_id, account.first, account.user_id)

    async with account.database.transaction():
        await account.database.execute("select from logins where tenant_id = $1 for no key update", account.tenant_id)
        grant_id = await account.grant(account.first, "openid")
        ending = asyncio.create_task(account.end(account.first))
        waiting = (
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%logins%')"
        )
        while not await account.database.fetchval(waiting):
            assert not ending.done()
            await account.database.execute("select pg_stat_clear_snapshot()")  # else a transaction reads it only once
        redeemed = "update logins set redeemed_at = now(), grant_id = $2 where tenant_id = $1"
        await account.database.execute(redeemed, account.tenant_id, grant_id)

    assert await ending == ["consent.revoked"]
    assert await account.is_revoked(grant_id)


async def test_grant_of_a_login_that_was_done_meanwhile_ends_with_the_consent(account: Account) -> None:
    """The removal has found no login. The redemption holds the lock of the consent until it commits the grant."""
    await account.consent(account.first, "openid")

    async with account.database.transaction():
        await account.database.execute("select from consents where tenant_id = $1 for share", account.tenant_id)
        ending = asyncio.create_task(account.end(account.first))
        waiting = (
            "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%consents%')"
        )
        while not await account.database.fetchval(waiting):
            assert not ending.done()
            await account.database.execute("select pg_stat_clear_snapshot()")  # else a transaction reads it only once
        grant_id = await account.grant(account.first, "openid")

    assert await ending == ["consent.revoked"]
    assert await account.is_revoked(grant_id)


async def test_consent_that_ends_twice_at_once_writes_one_event(account: Account) -> None:
    await account.consent(account.first, "openid")
    await account.grant(account.first, "openid")

    ended = await asyncio.gather(*(account.end(account.first) for _ in range(5)), return_exceptions=True)

    assert ended.count(["consent.revoked"]) == 1
    assert sum(isinstance(one, NotFound) for one in ended) == 4
