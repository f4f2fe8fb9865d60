"""Add, change and remove the phone and email of a user."""

import asyncio
import json
from functools import partial

import asyncpg
import pytest

from tests.account.conftest import NewUser
from tests.account.user import IDENTIFIERS, ME, AccountUser, new_email, outcome
from tests.conftest import new_phone


async def test_email_is_added_by_a_verified_code(user: AccountUser) -> None:
    email = new_email()

    begun = await user.begin(email)

    assert begun.status_code == 200
    assert begun.json()["channel"] == "email"
    assert begun.json()["destination"] == "a•••@example.com"
    assert await user.owner(email) is None
    assert await user.identifiers() == [user.identifier]
    proved = await user.prove(email, challenge_id=begun.json()["challenge_id"])
    assert (proved.status_code, proved.json()) == (200, {"type": "email", "value": email})
    assert await user.identifiers() == [user.identifier, email]
    assert (await user.me()).json()["email"] == email
    [event] = await user.events("identifier.added")
    assert (event["actor"], event["subject"]) == (user.user_id, user.user_id)
    assert json.loads(event["data"]) == {"channel": "email", "challenge_id": begun.json()["challenge_id"]}
    opened = [json.loads(event["data"]) for event in await user.events("challenge.opened")]
    assert [data.get("purpose") for data in opened] == [None, "identifier"]
    status = await user.api.client.get(
        f"/api/auth/challenges/{begun.json()['challenge_id']}", headers={"x-api-key": user.api_key}
    )
    assert status.json()["status"] == "answered"
    user_id = user.user_id
    assert (await user.log_in(email))["user_id"] == user_id


async def test_list_of_identifiers_has_pages(user: AccountUser) -> None:
    email = new_email()
    await user.begin(email)
    await user.prove(email)
    first = (await user.call("GET", f"{IDENTIFIERS}?limit=1")).json()
    second = (await user.call("GET", f"{IDENTIFIERS}?limit=1&cursor={first['next_cursor']}")).json()

    assert [one["value"] for one in first["data"] + second["data"]] == [user.identifier, email]
    assert second["next_cursor"] is None
    for wrong in ("limit=0", "cursor=%00", "page=1"):
        assert outcome(await user.call("GET", f"{IDENTIFIERS}?{wrong}")) == (422, "validation_failed")


async def test_phone_is_changed_and_the_old_one_is_released(user: AccountUser) -> None:
    old, new, user_id = user.identifier, new_phone(), user.user_id

    await user.add(new)

    assert await user.identifiers() == [new]
    assert (await user.owner(old), await user.owner(new)) == (None, user_id)
    assert [event["type"] for event in await user.events("identifier.added", "identifier.changed")] == [
        "identifier.changed"
    ]
    assert (await user.log_in(new))["user_id"] == user_id
    stranger = await user.log_in(old)
    assert stranger["is_new_user"] is True
    assert stranger["user_id"] != user_id


async def test_identifier_change_revokes_other_sessions_and_adding_revokes_none(new_user: NewUser) -> None:
    user = await new_user()
    other = user.tokens["token"]
    await user.log_in()
    assert (await user.me(other)).status_code == 200

    email = new_email()
    await user.add(email)
    for token in (other, user.tokens["token"]):
        assert (await user.me(token)).json()["email"] == email

    await user.add(new_phone())

    assert (await user.me()).status_code == 200
    assert outcome(await user.me(other)) == (401, "session_revoked")
    [event] = await user.events("user.sessions_revoked")
    assert json.loads(event["data"]) == {"sessions": 1, "reason": "identifier_changed"}


async def test_removed_identifier_revokes_its_sessions(user: AccountUser) -> None:
    by_phone = user.tokens["token"]
    email = new_email()
    await user.add(email)
    await user.log_in(email)
    phone = user.identifier

    removed = await user.remove("phone")

    assert removed.status_code == 204
    assert await user.identifiers() == [email]
    assert (await user.me()).json()["phone"] is None
    assert outcome(await user.me(by_phone)) == (401, "session_revoked")
    assert await user.owner(phone) is None
    [event] = await user.events("identifier.removed")
    assert json.loads(event["data"]) == {"channel": "sms"}
    assert outcome(await user.remove("phone")) == (404, "not_found")


async def test_last_identifier_cannot_be_removed(user: AccountUser) -> None:
    assert outcome(await user.remove("phone")) == (409, "conflict")
    assert outcome(await user.remove("email")) == (404, "not_found")
    assert outcome(await user.remove("sms")) == (404, "not_found")
    assert await user.identifiers() == [user.identifier]
    assert await user.events("identifier.removed") == []


async def test_identifier_changes_require_a_login_within_five_minutes(user: AccountUser) -> None:
    email, other = new_email(), new_email()
    await user.add(email)
    user.age(290)
    assert (await user.begin(other)).status_code == 200
    user.age(20)

    rejected = [await user.begin(new_phone()), await user.remove("phone")]

    assert {outcome(answer) for answer in rejected} == {(403, "reauthentication_required")}
    assert (await user.me()).status_code == 200
    # What was begun in time may be finished: its code is of no use in any other session.
    assert (await user.prove(other)).status_code == 200
    await user.log_in()
    assert (await user.remove("email")).status_code == 204


async def test_own_identifier_is_rejected_as_a_conflict(user: AccountUser) -> None:
    sent = len(user.twilio.sent_to(user.identifier))

    assert outcome(await user.begin(user.identifier)) == (409, "conflict")
    assert len(user.twilio.sent_to(user.identifier)) == sent


async def test_unproven_address_gives_no_access(user: AccountUser) -> None:
    victim = new_email()
    assert (await user.begin(victim)).status_code == 200
    attacker = dict(user.tokens)

    account = dict(await user.log_in(victim))

    assert account["is_new_user"] is True
    assert account["user_id"] != attacker["user_id"]
    user.tokens = attacker
    assert outcome(await user.prove(victim)) == (400, "invalid_code")
    assert (await user.me()).json()["email"] is None


async def test_sandbox_adds_test_numbers_without_sending(new_user: NewUser) -> None:
    user = await new_user("test_key", identifier="+15005550000")
    sent, received = len(user.twilio.requests), len(user.mail.received)
    email = new_email()

    await user.add(email)
    await user.add("+15005550010")

    assert await user.identifiers() == ["+15005550010", email]
    assert outcome(await user.begin("+15005550001")) == (422, "invalid_phone")
    assert outcome(await user.begin("+15005550002")) == (502, "delivery_failed")
    assert outcome(await user.begin("+15005550007")) == (422, "recipient_opted_out")
    assert outcome(await user.begin("+15005550008")) == (403, "hook_denied")
    assert outcome(await user.begin("+15005550009")) == (429, "rate_limited")
    for _ in range(12):
        assert (await user.begin("+15005550004")).status_code == 200
    assert (len(user.twilio.requests), len(user.mail.received)) == (sent, received)
    assert await user.notices() == []


async def test_adding_and_proving_make_a_fixed_number_of_calls(user: AccountUser) -> None:
    services, email = user.api.services, new_email()
    user.key = "secret_key"  # cached by the worker, and exempt from the IP rate limit
    await user.me()
    counts = []
    for call in (partial(user.begin, email), partial(user.prove, email), partial(user.remove, "email")):
        before = (services.postgres.round_trips, services.redis.round_trips)
        assert (await call()).status_code < 300
        counts.append((services.postgres.round_trips - before[0], services.redis.round_trips - before[1]))

    # Of Redis: the caller's session, and the rate limits of a code, or the cache entry of the session that continues.
    # Such an entry is not used for a moment, in which PostgreSQL returns the session.
    assert counts == [(2, 2), (1, 2), (1 + 4, 2)]


@pytest.mark.parametrize(
    ("path", "body", "expected"),
    [
        ("", {}, "validation_failed"),
        ("", {"phone": "+15551234567", "email": "a@b.co"}, "validation_failed"),
        ("", {"phone": "5551234567"}, "invalid_phone"),
        ("", {"phone": "+1555\x00"}, "invalid_phone"),
        ("", {"phone": 15551234567}, "validation_failed"),
        ("", {"email": "a\0@b.co"}, "invalid_email"),
        ("", {"email": "a" * 400 + "@b.co"}, "validation_failed"),
        ("", {"email": ["a@b.co"]}, "validation_failed"),
        ("", {"email": "a@b.co", "mode": "link"}, "validation_failed"),
        ("", {"email": "a@b.co", "locale": 1}, "validation_failed"),
        ("", {"email": "a@b.co", "challenge_id": "ch_1"}, "validation_failed"),
        ("/verify", {"email": "a@b.co"}, "validation_failed"),
        ("/verify", {"code": "123456"}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": "12\0"}, "validation_failed"),
        ("/verify", {"phone": "5551234567", "code": "123456"}, "invalid_phone"),
        ("/verify", {"email": "no one", "code": "123456"}, "invalid_email"),
        ("/verify", {"email": "a@b.co", "code": "１２３４５６"}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": 123456}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": "123456", "challenge_id": "ch_" + "0" * 99}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": "123456", "challenge_id": "ch_" + "0" * 26}, "no_active_challenge"),
        ("/verify", {"email": "a@b.co", "code": "123456", "user_id": "usr_1"}, "validation_failed"),
    ],
)
async def test_invalid_input_is_rejected(user: AccountUser, path: str, body: dict[str, object], expected: str) -> None:
    answer = await user.call("POST", IDENTIFIERS + path, body)

    assert answer.json()["code"] == expected


async def test_proof_for_an_erased_or_banned_user_is_rejected(new_user: NewUser) -> None:
    for end in ("delete from users where id = $1", "update users set banned_until = 'infinity' where id = $1"):
        user, email = await new_user(), new_email()
        assert (await user.begin(email)).status_code == 200
        assert (await user.call("GET", ME)).status_code == 200  # known for half a minute
        await user.database.execute(end, user.user_id)

        assert outcome(await user.prove(email)) == (401, "session_revoked")
        assert await user.owner(email) is None


async def test_change_hidden_by_a_concurrent_tenant_change_is_rolled_back(user: AccountUser, database_url: str) -> None:
    email, other = new_email(), new_email()
    assert (await user.begin(email)).status_code == 200
    tenant = await asyncpg.connect(database_url)

    async with tenant.transaction():
        await tenant.execute("select 1 from identifiers where user_id = $1 for no key update", user.user_id)
        proving = asyncio.create_task(user.prove(email))
        while not await user.database.fetchval(
            "select count(*) from pg_stat_activity where $1 = any(pg_blocking_pids(pid))", tenant.get_server_pid()
        ):
            assert not proving.done()
        give = "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, 'email', $3)"
        await tenant.execute(give, user.tenant_id, other, user.user_id)
    await tenant.close()

    assert outcome(await proving) == (503, "unavailable")
    assert (await user.owner(email), await user.owner(other)) == (None, user.user_id)
    assert (await user.prove(email)).status_code == 200
    assert (await user.owner(email), await user.owner(other)) == (user.user_id, None)
