"""Erasing one's own account: no personal data is left, and the same phone becomes a new user."""

import asyncpg

from auth1 import retention
from tests.account.conftest import NewUser
from tests.account.user import ME, AccountUser, outcome
from tests.support.dump import dump

OF_APPLICATIONS = (
    "insert into logins (tenant_id, id, browser_digest, user_id) values ($1, 'li_1', '', $2)",
    """insert into grants (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at)
       values ($1, 'gr_1', 'app_1', $2, 'ses_1', '{}', '{}', now(), now() + interval '1 day')""",
    "insert into consents (tenant_id, user_id, client_id, scopes) values ($1, $2, 'app_1', '{}')",
)


async def test_erased_account_is_removed_everywhere(user: AccountUser, database: asyncpg.Connection) -> None:
    other_device, token = await user.log_in(), user.tokens["token"]
    erased = user.user_id
    assert (await user.me()).status_code == 200

    answer = await user.call("DELETE", ME, token=token)

    assert answer.status_code == 204
    assert outcome(await user.me(other_device["token"])) == (401, "session_revoked")
    grant = {"grant_type": "refresh_token", "refresh_token": other_device["refresh_token"]}
    assert outcome(await user.api.post("/api/auth/token", grant, user.api_key)) == (401, "session_revoked")
    [row] = (await dump(database, user.identifier)).splitlines()  # of the phone what was sent to it, and nothing else
    assert erased not in row
    assert erased in await dump(database)  # events keep the id, which refers to no user
    types = await database.fetch("select type from events where tenant_id = $1 and actor = $2", user.tenant_id, erased)
    assert [row["type"] for row in types] == ["user.erased"]

    again = await user.log_in()
    assert again["is_new_user"] is True
    assert again["user_id"] != erased


async def test_erasure_removes_hosted_logins_grants_and_consents(
    user: AccountUser, database: asyncpg.Connection
) -> None:
    for statement in OF_APPLICATIONS:
        await database.execute(statement, user.tenant_id, user.user_id)
    unfinished = "insert into logins (tenant_id, id, browser_digest, identifier) values ($1, 'li_2', '', $2)"
    await database.execute(unfinished, user.tenant_id, user.identifier)

    assert (await user.call("DELETE", ME)).status_code == 204

    for table in ("logins", "grants", "consents"):
        assert await database.fetchval(f"select count(*) from {table} where tenant_id = $1", user.tenant_id) == 0


async def test_erasure_waits_for_a_step_of_a_hosted_login(user: AccountUser, database: asyncpg.Connection) -> None:
    await database.execute(OF_APPLICATIONS[0], user.tenant_id, user.user_id)

    async with database.transaction():
        await database.execute("select from logins where tenant_id = $1 for update", user.tenant_id)
        busy = await user.call("DELETE", ME)
    erased = await user.call("DELETE", ME)

    assert (outcome(busy), erased.status_code) == ((503, "unavailable"), 204)


async def test_erasing_an_account_does_not_reset_the_send_limit(
    user: AccountUser, database: asyncpg.Connection
) -> None:
    for _ in range(4):
        assert (await user.call("DELETE", ME)).status_code == 204
        await user.log_in()
    assert (await user.call("DELETE", ME)).status_code == 204
    await user.wait(user.identifier)

    sixth = await user.api.post("/api/auth/request", {"phone": user.identifier}, user.api_key)

    assert outcome(sixth) == (429, "rate_limited")
    later = "update identifiers set sent_at = array[now() - interval '3 days'] where identifier = $1"
    await database.execute(later, user.identifier)
    await retention.run_once(user.api.services)
    assert user.identifier not in await dump(database)


async def test_erasing_requires_a_recent_login(user: AccountUser) -> None:
    user.age(301)
    rejected = await user.call("DELETE", ME)

    assert outcome(rejected) == (403, "reauthentication_required")
    assert (await user.me()).status_code == 200
    await user.log_in()
    assert (await user.call("DELETE", ME)).status_code == 204


async def test_erasing_a_sandbox_account_keeps_the_live_account(user: AccountUser, new_user: NewUser) -> None:
    sandbox = await new_user("test_key", identifier=user.identifier)

    assert (await sandbox.call("DELETE", ME)).status_code == 204

    assert outcome(await sandbox.me()) == (401, "session_revoked")
    assert (await user.me()).status_code == 200
