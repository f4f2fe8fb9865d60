"""Add, change and remove the phone and email of a user."""

import asyncio
import json
from functools import partial

import asyncpg
import pytest

from tests.account.conftest import NewMember
from tests.account.member import IDENTIFIERS, ME, Member, new_email, outcome
from tests.conftest import new_phone


async def test_email_is_added_by_a_verified_code(member: Member) -> None:
    email = new_email()

    begun = await member.begin(email)

    assert begun.status_code == 200
    assert begun.json()["channel"] == "email"
    assert begun.json()["destination"] == "a•••@example.com"
    assert await member.owner(email) is None
    assert await member.identifiers() == [member.identifier]
    proved = await member.prove(email, challenge_id=begun.json()["challenge_id"])
    assert (proved.status_code, proved.json()) == (200, {"type": "email", "value": email})
    assert await member.identifiers() == [member.identifier, email]
    assert (await member.me()).json()["email"] == email
    [event] = await member.events("identifier.added")
    assert (event["actor"], event["subject"]) == (member.user_id, member.user_id)
    assert json.loads(event["data"]) == {"channel": "email", "challenge_id": begun.json()["challenge_id"]}
    opened = [json.loads(event["data"]) for event in await member.events("challenge.opened")]
    assert [data.get("purpose") for data in opened] == [None, "identifier"]
    status = await member.door.client.get(
        f"/api/auth/challenges/{begun.json()['challenge_id']}", headers={"x-api-key": member.key}
    )
    assert status.json()["status"] == "answered"
    user_id = member.user_id
    assert (await member.log_in(email))["user_id"] == user_id


async def test_phone_is_changed_and_the_old_one_is_released(member: Member) -> None:
    old, new, user_id = member.identifier, new_phone(), member.user_id

    await member.add(new)

    assert await member.identifiers() == [new]
    assert (await member.owner(old), await member.owner(new)) == (None, user_id)
    assert [event["type"] for event in await member.events("identifier.added", "identifier.changed")] == [
        "identifier.changed"
    ]
    assert (await member.log_in(new))["user_id"] == user_id
    stranger = await member.log_in(old)
    assert stranger["is_new_user"] is True
    assert stranger["user_id"] != user_id


async def test_identifier_change_revokes_other_sessions_and_adding_revokes_none(new_member: NewMember) -> None:
    member = await new_member()
    other = member.tokens["token"]
    await member.log_in()
    assert (await member.me(other)).status_code == 200

    email = new_email()
    await member.add(email)
    for token in (other, member.tokens["token"]):
        assert (await member.me(token)).json()["email"] == email

    await member.add(new_phone())

    assert (await member.me()).status_code == 200
    assert outcome(await member.me(other)) == (401, "session_revoked")
    [event] = await member.events("user.sessions_revoked")
    assert json.loads(event["data"]) == {"sessions": 1, "reason": "identifier_changed"}


async def test_removed_identifier_revokes_its_sessions(member: Member) -> None:
    by_phone = member.tokens["token"]
    email = new_email()
    await member.add(email)
    await member.log_in(email)
    phone = member.identifier

    removed = await member.remove("phone")

    assert removed.status_code == 204
    assert await member.identifiers() == [email]
    assert (await member.me()).json()["phone"] is None
    assert outcome(await member.me(by_phone)) == (401, "session_revoked")
    assert await member.owner(phone) is None
    [event] = await member.events("identifier.removed")
    assert json.loads(event["data"]) == {"channel": "sms"}
    assert outcome(await member.remove("phone")) == (404, "not_found")


async def test_last_identifier_cannot_be_removed(member: Member) -> None:
    assert outcome(await member.remove("phone")) == (409, "conflict")
    assert outcome(await member.remove("email")) == (404, "not_found")
    assert outcome(await member.remove("sms")) == (404, "not_found")
    assert await member.identifiers() == [member.identifier]
    assert await member.events("identifier.removed") == []


async def test_identifier_changes_require_a_login_within_five_minutes(member: Member) -> None:
    email, other = new_email(), new_email()
    await member.add(email)
    member.age(290)
    assert (await member.begin(other)).status_code == 200
    member.age(20)

    refused = [await member.begin(new_phone()), await member.remove("phone")]

    assert {outcome(answer) for answer in refused} == {(403, "reauthentication_required")}
    assert (await member.me()).status_code == 200
    # What was begun in time may be finished: its code is of no use in any other session.
    assert (await member.prove(other)).status_code == 200
    await member.log_in()
    assert (await member.remove("email")).status_code == 204


async def test_code_is_valid_only_in_the_requesting_session(member: Member) -> None:
    email = new_email()
    first = dict(member.tokens)
    await member.begin(email)
    second = dict(await member.log_in())

    assert outcome(await member.prove(email)) == (400, "no_active_challenge")
    member.tokens = first
    assert (await member.prove(email)).status_code == 200
    assert second["user_id"] == first["user_id"]


async def test_code_of_another_purpose_is_rejected(member: Member) -> None:
    email = new_email()
    named = {"email": email}
    assert (await member.begin(email)).status_code == 200
    code = member.code(email)

    login = await member.door.post("/api/auth/verify", {**named, "code": code}, member.key)

    assert outcome(login) == (400, "no_active_challenge")
    await member.wait(email)
    assert (await member.door.post("/api/auth/request", named, member.key)).status_code == 200
    login_code = member.code(email)
    assert outcome(await member.prove(email, login_code)) == (400, "invalid_code")
    login = await member.door.post("/api/auth/verify", {**named, "code": code}, member.key)
    assert outcome(login) == (400, "invalid_code")
    login = await member.door.post("/api/auth/verify", {**named, "code": login_code}, member.key)
    assert login.json()["is_new_user"] is True


async def test_codes_of_two_purposes_are_independent(member: Member) -> None:
    phone = new_phone()
    asked = await member.door.post("/api/auth/request", {"phone": phone}, member.key)
    login_code, challenge_id = member.code(phone), asked.json()["challenge_id"]
    await member.wait(phone)
    assert (await member.begin(phone)).status_code == 200
    adding_code = member.code(phone)

    # Attempts on the code for adding are counted on that code alone.
    for _ in range(5):
        await member.prove(phone, f"{(int(adding_code) + 1) % 1_000_000:06}")
    assert outcome(await member.prove(phone, adding_code)) == (429, "too_many_attempts")

    answer = {"phone": phone, "code": login_code, "challenge_id": challenge_id}
    verified = await member.door.post("/api/auth/verify", answer, member.key)
    assert (verified.status_code, verified.json()["is_new_user"]) == (200, True)


async def test_wrong_codes_are_counted_as_in_a_login(member: Member) -> None:
    email = new_email()
    begun = await member.begin(email)
    right = member.code(email)
    wrong = f"{(int(right) + 1) % 10**6:06d}"

    answers = [await member.prove(email, wrong) for _ in range(5)]

    assert [answer.json()["attempts_remaining"] for answer in answers] == [4, 3, 2, 1, 0]
    assert {outcome(answer) for answer in answers} == {(400, "invalid_code")}
    assert outcome(await member.prove(email, right)) == (429, "too_many_attempts")
    assert await member.owner(email) is None
    # Whoever names the challenge has attempts of its own.
    named = {"challenge_id": begun.json()["challenge_id"]}
    assert (await member.prove(email, wrong, **named)).json()["attempts_remaining"] == 4
    assert (await member.prove(email, right, **named)).status_code == 200
    assert len(await member.events("challenge.attempt_failed")) == 6


async def test_code_is_valid_once(member: Member) -> None:
    email = new_email()
    await member.add(email)

    assert outcome(await member.prove(email)) == (400, "no_active_challenge")


async def test_own_identifier_is_rejected_as_a_conflict(member: Member) -> None:
    sent = len(member.twilio.sent_to(member.identifier))

    assert outcome(await member.begin(member.identifier)) == (409, "conflict")
    assert len(member.twilio.sent_to(member.identifier)) == sent


async def test_identifier_conflict_is_reported_after_the_correct_code_only(new_member: NewMember) -> None:
    owner, member = await new_member(), await new_member()
    nobodys = new_phone()
    await member.wait(owner.identifier)

    begun = {phone: await member.begin(phone) for phone in (owner.identifier, nobodys)}
    wrong = {phone: await member.prove(phone, "0" * 6 if member.code(phone) != "0" * 6 else "1" * 6) for phone in begun}

    for answers in (begun, wrong):
        known, unknown = (answers[phone].json() for phone in (owner.identifier, nobodys))
        ids = ("challenge_id", "destination", "request_id")
        assert {k: v for k, v in known.items() if k not in ids} == {k: v for k, v in unknown.items() if k not in ids}
    taken = await member.prove(owner.identifier)
    assert outcome(taken) == (409, "conflict")
    assert await member.owner(owner.identifier) == owner.user_id
    assert await member.identifiers() == [member.identifier]
    assert outcome(await member.prove(owner.identifier)) == (400, "no_active_challenge")
    assert [event["subject"] for event in await member.events("identifier.conflict")] == [member.user_id]
    assert (await owner.me()).json()["phone"] == owner.identifier


async def test_unproven_address_gives_no_access(member: Member) -> None:
    victim = new_email()
    assert (await member.begin(victim)).status_code == 200
    attacker = dict(member.tokens)

    account = dict(await member.log_in(victim))

    assert account["is_new_user"] is True
    assert account["user_id"] != attacker["user_id"]
    member.tokens = attacker
    assert outcome(await member.prove(victim)) == (400, "invalid_code")
    assert (await member.me()).json()["email"] is None


async def test_adding_a_number_does_not_exhaust_its_owners_login_limit(new_member: NewMember) -> None:
    owner, member = await new_member(), await new_member()
    spent = 0
    for _ in range(6):
        await member.wait(owner.identifier)
        spent += (await member.begin(owner.identifier)).status_code == 200

    # The owner's login was one of 5 an hour; of the other four one may be spent by others.
    assert spent == 1
    for _ in range(3):
        assert (await owner.log_in())["user_id"] == owner.user_id
    await owner.wait(owner.identifier)
    full = await owner.door.post("/api/auth/request", {"phone": owner.identifier}, owner.key)
    assert outcome(full) == (429, "rate_limited")


async def test_user_may_request_ten_identifier_codes_an_hour(member: Member) -> None:
    answers = [await member.begin(new_email()) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert outcome(answers[-1]) == (429, "rate_limited")
    assert int(answers[-1].headers["retry-after"]) > 60


async def test_country_and_fraud_rules_apply_as_in_a_login(new_member: NewMember, member: Member) -> None:
    path = f"/api/admin/tenants/{member.tenant['tenant_id']}"
    assert outcome(await member.begin("+448081570123")) == (403, "request_blocked")
    assert (await member.door.admin("PATCH", path, {"settings": {"allowed_countries": ["US"]}})).status_code == 200
    assert outcome(await member.begin("+447700900123")) == (403, "country_not_allowed")
    assert (await member.door.admin("PATCH", path, {"settings": {"require_challenge_id": True}})).status_code == 200
    email = new_email()
    begun = await member.begin(email)
    assert outcome(await member.prove(email)) == (422, "validation_failed")
    assert (await member.prove(email, challenge_id=begun.json()["challenge_id"])).status_code == 200


async def test_resend_sends_the_same_code_after_the_delay(member: Member) -> None:
    phone = new_phone()
    begun = await member.begin(phone)
    code = member.code(phone)
    assert outcome(await member.begin(phone)) == (429, "resend_too_soon")
    await member.wait(phone)

    again = await member.begin(phone, challenge_id=begun.json()["challenge_id"])

    assert again.json()["challenge_id"] == begun.json()["challenge_id"]
    assert member.code(phone) == code
    assert len(member.twilio.sent_to(phone)) == 2
    assert (await member.prove(phone)).status_code == 200


async def test_sandbox_adds_test_numbers_without_sending(new_member: NewMember) -> None:
    member = await new_member("test_key", identifier="+15005550000")
    sent, received = len(member.twilio.requests), len(member.mail.received)
    email = new_email()

    await member.add(email)
    await member.add("+15005550006")

    assert await member.identifiers() == ["+15005550006", email]
    assert outcome(await member.begin("+15005550001")) == (422, "invalid_phone")
    assert outcome(await member.begin("+15005550002")) == (502, "delivery_failed")
    assert outcome(await member.begin("+15005550007")) == (422, "recipient_opted_out")
    assert outcome(await member.begin("+15005550009")) == (429, "rate_limited")
    for _ in range(12):
        assert (await member.begin("+15005550004")).status_code == 200
    assert (len(member.twilio.requests), len(member.mail.received)) == (sent, received)
    assert await member.notices() == []


async def test_idempotency_key_replays_only_in_its_session(new_member: NewMember) -> None:
    member = await new_member()
    phone = new_phone()
    repeats = [await member.begin(phone, idempotency_key="k-1") for _ in range(2)]

    assert repeats[0].status_code == 200
    assert repeats[0].json() == repeats[1].json()
    assert len(member.twilio.sent_to(phone)) == 1
    other = await new_member()
    assert outcome(await other.begin(phone, idempotency_key="k-1")) == (429, "resend_too_soon")


async def test_adding_and_proving_make_a_fixed_number_of_calls(member: Member) -> None:
    services, email = member.door.services, new_email()
    member.key = member.tenant["secret_key"]  # known to the worker, and without a slot at the door
    await member.me()
    counts = []
    for call in (partial(member.begin, email), partial(member.prove, email), partial(member.remove, "email")):
        before = (services.postgres.round_trips, services.redis.round_trips)
        assert (await call()).status_code < 300
        counts.append((services.postgres.round_trips - before[0], services.redis.round_trips - before[1]))

    # Of Redis: who calls, and the slots of a code, or the entry of the session that goes on. Such an entry is not
    # believed for a moment, in which PostgreSQL is asked who calls.
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
        ("/verify", {"email": "nobody", "code": "123456"}, "invalid_email"),
        ("/verify", {"email": "a@b.co", "code": "１２３４５６"}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": 123456}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": "123456", "challenge_id": "ch_" + "0" * 99}, "validation_failed"),
        ("/verify", {"email": "a@b.co", "code": "123456", "challenge_id": "ch_" + "0" * 26}, "no_active_challenge"),
        ("/verify", {"email": "a@b.co", "code": "123456", "user_id": "usr_1"}, "validation_failed"),
    ],
)
async def test_invalid_input_is_rejected(member: Member, path: str, body: dict[str, object], expected: str) -> None:
    answer = await member.call("POST", IDENTIFIERS + path, body)

    assert answer.json()["code"] == expected


async def test_proof_for_an_erased_or_banned_user_is_rejected(new_member: NewMember) -> None:
    for end in ("delete from users where id = $1", "update users set banned_until = 'infinity' where id = $1"):
        member, email = await new_member(), new_email()
        assert (await member.begin(email)).status_code == 200
        assert (await member.call("GET", ME)).status_code == 200  # known for half a minute
        await member.database.execute(end, member.user_id)

        assert outcome(await member.prove(email)) == (401, "session_revoked")
        assert await member.owner(email) is None


async def test_change_hidden_by_a_concurrent_tenant_change_is_rolled_back(member: Member, database_url: str) -> None:
    email, other = new_email(), new_email()
    assert (await member.begin(email)).status_code == 200
    tenant = await asyncpg.connect(database_url)

    async with tenant.transaction():
        await tenant.execute("select 1 from identifiers where user_id = $1 for no key update", member.user_id)
        proving = asyncio.create_task(member.prove(email))
        while not await member.database.fetchval(
            "select count(*) from pg_stat_activity where $1 = any(pg_blocking_pids(pid))", tenant.get_server_pid()
        ):
            assert not proving.done()
        give = "insert into identifiers (tenant_id, identifier, type, user_id) values ($1, $2, 'email', $3)"
        await tenant.execute(give, member.tenant_id, other, member.user_id)
    await tenant.close()

    assert outcome(await proving) == (503, "unavailable")
    assert (await member.owner(email), await member.owner(other)) == (None, member.user_id)
    assert (await member.prove(email)).status_code == 200
    assert (await member.owner(email), await member.owner(other)) == (member.user_id, None)
