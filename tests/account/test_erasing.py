"""Erasing one's own account: no personal data is left, and the same phone becomes a new user."""

import asyncpg

from auth1 import retention
from tests.account.conftest import NewMember
from tests.account.member import ME, Member, outcome
from tests.api.conftest import dump


async def test_erased_account_is_removed_everywhere(member: Member, database: asyncpg.Connection) -> None:
    other_device, token = await member.log_in(), member.tokens["token"]
    erased = member.user_id
    assert (await member.me()).status_code == 200

    answer = await member.call("DELETE", ME, token=token)

    assert answer.status_code == 204
    assert outcome(await member.me(other_device["token"])) == (401, "session_revoked")
    grant = {"grant_type": "refresh_token", "refresh_token": other_device["refresh_token"]}
    assert outcome(await member.door.post("/api/auth/token", grant, member.key)) == (401, "session_revoked")
    [row] = (await dump(database, member.identifier)).splitlines()  # of the phone what was sent to it, and nothing else
    assert erased not in row
    assert erased in await dump(database)  # events keep the id, which leads to nobody any more
    types = await database.fetch(
        "select type from events where tenant_id = $1 and actor = $2", member.tenant_id, erased
    )
    assert [row["type"] for row in types] == ["user.erased"]

    again = await member.log_in()
    assert again["is_new_user"] is True
    assert again["user_id"] != erased


async def test_erasing_an_account_does_not_reset_the_send_limit(member: Member, database: asyncpg.Connection) -> None:
    for _ in range(4):
        assert (await member.call("DELETE", ME)).status_code == 204
        await member.log_in()
    assert (await member.call("DELETE", ME)).status_code == 204
    await member.wait(member.identifier)

    sixth = await member.door.post("/api/auth/request", {"phone": member.identifier}, member.key)

    assert outcome(sixth) == (429, "rate_limited")
    later = "update identifiers set sent_at = array[now() - interval '3 days'] where identifier = $1"
    await database.execute(later, member.identifier)
    await retention.run_once(member.door.services)
    assert member.identifier not in await dump(database)


async def test_erasing_requires_a_recent_login(member: Member) -> None:
    member.age(301)
    refused = await member.call("DELETE", ME)

    assert outcome(refused) == (403, "reauthentication_required")
    assert (await member.me()).status_code == 200
    await member.log_in()
    assert (await member.call("DELETE", ME)).status_code == 204


async def test_erasing_a_sandbox_account_keeps_the_live_account(member: Member, new_member: NewMember) -> None:
    sandbox = await new_member("test_key", identifier=member.identifier)

    assert (await sandbox.call("DELETE", ME)).status_code == 204

    assert outcome(await sandbox.me()) == (401, "session_revoked")
    assert (await member.me()).status_code == 200
