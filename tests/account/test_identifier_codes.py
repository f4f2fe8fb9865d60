"""The code that adds or changes an identifier: its session, purpose, attempts, resends and limits."""

from tests.account.conftest import NewUser
from tests.account.user import IDENTIFIERS, AccountUser, new_email, outcome
from tests.api.test_proof import solve
from tests.conftest import new_phone


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
