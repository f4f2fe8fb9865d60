"""Add, change and remove the phone and email of a user."""

import asyncio
import json
from functools import partial

import asyncpg
import pytest

from tests.account.conftest import NewUser
from tests.account.user import IDENTIFIERS, ME, AccountUser, new_email, outcome
from tests.api.test_proof import solve
from tests.conftest import new_phone


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


async def test_code_is_valid_only_in_the_requesting_session(user: AccountUser) -> None:
    email = new_email()
    first = dict(user.tokens)
    await user.begin(email)
    second = dict(await user.log_in())

    assert outcome(await user.prove(email)) == (400, "no_active_challenge")
    user.tokens = first
    assert (await user.prove(email)).status_code == 200
    assert second["user_id"] == first["user_id"]


async def test_code_of_another_purpose_is_rejected(user: AccountUser) -> None:
    email = new_email()
    named = {"email": email}
    assert (await user.begin(email)).status_code == 200
    code = user.code(email)

    login = await user.api.post("/api/auth/verify", {**named, "code": code}, user.api_key)

    assert outcome(login) == (400, "no_active_challenge")
    await user.wait(email)
    assert (await user.api.post("/api/auth/request", named, user.api_key)).status_code == 200
    login_code = user.code(email)
    assert outcome(await user.prove(email, login_code)) == (400, "invalid_code")
    login = await user.api.post("/api/auth/verify", {**named, "code": code}, user.api_key)
    assert outcome(login) == (400, "invalid_code")
    login = await user.api.post("/api/auth/verify", {**named, "code": login_code}, user.api_key)
    assert login.json()["is_new_user"] is True


async def test_codes_of_two_purposes_are_independent(user: AccountUser) -> None:
    phone = new_phone()
    requested = await user.api.post("/api/auth/request", {"phone": phone}, user.api_key)
    login_code, challenge_id = user.code(phone), requested.json()["challenge_id"]
    await user.wait(phone)
    assert (await user.begin(phone)).status_code == 200
    adding_code = user.code(phone)

    # Attempts on the code for adding are counted on that code alone.
    for _ in range(5):
        await user.prove(phone, f"{(int(adding_code) + 1) % 1_000_000:06}")
    assert outcome(await user.prove(phone, adding_code)) == (429, "too_many_attempts")

    answer = {"phone": phone, "code": login_code, "challenge_id": challenge_id}
    verified = await user.api.post("/api/auth/verify", answer, user.api_key)
    assert (verified.status_code, verified.json()["is_new_user"]) == (200, True)


async def test_wrong_codes_are_counted_as_in_a_login(user: AccountUser) -> None:
    email = new_email()
    begun = await user.begin(email)
    right = user.code(email)
    wrong = f"{(int(right) + 1) % 10**6:06d}"

    answers = [await user.prove(email, wrong) for _ in range(5)]

    assert [answer.json()["attempts_remaining"] for answer in answers] == [4, 3, 2, 1, 0]
    assert {outcome(answer) for answer in answers} == {(400, "invalid_code")}
    assert outcome(await user.prove(email, right)) == (429, "too_many_attempts")
    assert await user.owner(email) is None
    # A named challenge has its own attempts.
    named = {"challenge_id": begun.json()["challenge_id"]}
    assert (await user.prove(email, wrong, **named)).json()["attempts_remaining"] == 4
    assert (await user.prove(email, right, **named)).status_code == 200
    assert len(await user.events("challenge.attempt_failed")) == 6


async def test_code_is_valid_once(user: AccountUser) -> None:
    email = new_email()
    await user.add(email)

    assert outcome(await user.prove(email)) == (400, "no_active_challenge")


async def test_own_identifier_is_rejected_as_a_conflict(user: AccountUser) -> None:
    sent = len(user.twilio.sent_to(user.identifier))

    assert outcome(await user.begin(user.identifier)) == (409, "conflict")
    assert len(user.twilio.sent_to(user.identifier)) == sent


async def test_identifier_conflict_is_reported_after_the_correct_code_only(new_user: NewUser) -> None:
    owner, user = await new_user(), await new_user()
    unused_phone = new_phone()
    await user.wait(owner.identifier)

    begun = {phone: await user.begin(phone) for phone in (owner.identifier, unused_phone)}
    wrong = {phone: await user.prove(phone, "0" * 6 if user.code(phone) != "0" * 6 else "1" * 6) for phone in begun}

    for answers in (begun, wrong):
        known, unknown = (answers[phone].json() for phone in (owner.identifier, unused_phone))
        ids = ("challenge_id", "destination", "request_id")
        assert {k: v for k, v in known.items() if k not in ids} == {k: v for k, v in unknown.items() if k not in ids}
    taken = await user.prove(owner.identifier)
    assert outcome(taken) == (409, "conflict")
    assert await user.owner(owner.identifier) == owner.user_id
    assert await user.identifiers() == [user.identifier]
    assert outcome(await user.prove(owner.identifier)) == (400, "no_active_challenge")
    assert [event["subject"] for event in await user.events("identifier.conflict")] == [user.user_id]
    assert (await owner.me()).json()["phone"] == owner.identifier


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


async def test_adding_a_number_does_not_exhaust_its_owners_login_limit(new_user: NewUser) -> None:
    owner, user = await new_user(), await new_user()
    spent = 0
    for _ in range(6):
        await user.wait(owner.identifier)
        spent += (await user.begin(owner.identifier)).status_code == 200

    # The owner's login was one of 5 an hour; of the other four one may be spent by others.
    assert spent == 1
    for _ in range(3):
        assert (await owner.log_in())["user_id"] == owner.user_id
    await owner.wait(owner.identifier)
    full = await owner.api.post("/api/auth/request", {"phone": owner.identifier}, owner.api_key)
    assert outcome(full) == (429, "rate_limited")


async def test_user_may_request_ten_identifier_codes_an_hour(user: AccountUser) -> None:
    answers = [await user.begin(new_email()) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert outcome(answers[-1]) == (429, "rate_limited")
    assert int(answers[-1].headers["retry-after"]) > 60


async def test_country_and_fraud_rules_apply_as_in_a_login(new_user: NewUser, user: AccountUser) -> None:
    path = f"/api/admin/tenants/{user.tenant['tenant_id']}"
    assert outcome(await user.begin("+448081570123")) == (403, "request_blocked")
    assert (await user.api.admin("PATCH", path, {"settings": {"allowed_countries": ["US"]}})).status_code == 200
    assert outcome(await user.begin("+447700900123")) == (403, "country_not_allowed")
    assert (await user.api.admin("PATCH", path, {"settings": {"require_challenge_id": True}})).status_code == 200
    email = new_email()
    begun = await user.begin(email)
    assert outcome(await user.prove(email)) == (422, "validation_failed")
    assert (await user.prove(email, challenge_id=begun.json()["challenge_id"])).status_code == 200


async def test_resend_sends_the_same_code_after_the_delay(user: AccountUser) -> None:
    phone = new_phone()
    begun = await user.begin(phone)
    code = user.code(phone)
    assert outcome(await user.begin(phone)) == (429, "resend_too_soon")
    await user.wait(phone)

    again = await user.begin(phone, challenge_id=begun.json()["challenge_id"])

    assert again.json()["challenge_id"] == begun.json()["challenge_id"]
    assert user.code(phone) == code
    assert len(user.twilio.sent_to(phone)) == 2
    assert (await user.prove(phone)).status_code == 200


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


async def test_number_that_needs_a_proof_is_added_with_one(new_user: NewUser) -> None:
    user, phone = await new_user("test_key"), "+15005550006"
    required = await user.begin(phone)
    assert outcome(required) == (403, "proof_required")

    begun = await user.call("POST", IDENTIFIERS, {"phone": phone, "proof": solve(required.json()["proof"])})

    assert begun.status_code == 200
    assert (await user.prove(phone)).status_code == 200
    assert phone in await user.identifiers()


async def test_idempotency_key_replays_only_in_its_session(new_user: NewUser) -> None:
    user = await new_user()
    phone = new_phone()
    repeats = [await user.begin(phone, idempotency_key="k-1") for _ in range(2)]

    assert repeats[0].status_code == 200
    assert repeats[0].json() == repeats[1].json()
    assert len(user.twilio.sent_to(phone)) == 1
    other = await new_user()
    assert outcome(await other.begin(phone, idempotency_key="k-1")) == (429, "resend_too_soon")


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
