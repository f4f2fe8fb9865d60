"""before_send decides after the limits, and before anything is stored or sent."""

import httpx
import pytest

from tests.hooks.conftest import NewUser
from tests.hooks.user import ALLOW, DENY, HookUser, deciding, outcome

IDENTIFIERS = "/api/auth/me/identifiers"


async def test_denied_request_sends_and_stores_nothing(user: HookUser) -> None:
    await user.set_hook("before_send", DENY)

    response = await user.request()

    assert outcome(response) == (403, "hook_denied")
    assert "Not on the list" not in response.text
    assert user.twilio.sent_to(user.phone) == []
    for table in ("identifiers", "challenges", "messages"):
        assert await user.count(table) == 0


async def test_only_a_secret_key_learns_the_reason(user: HookUser) -> None:
    await user.set_hook("before_send", DENY)

    by_secret_key = await user.request(user.tenant["secret_key"])
    by_publishable_key = await user.request()

    assert by_secret_key.json()["detail"] == "Not on the list."
    assert by_publishable_key.json()["detail"] == "The application does not allow this."


async def test_call_describes_the_request(user: HookUser) -> None:
    await user.set_hook("before_send")
    response = await user.api.post(
        "/api/auth/request", {"phone": user.phone}, user.api_key, x_request_id="request-of-this-test"
    )

    [body] = user.bodies("before_send")
    assert response.status_code == 200
    assert body["type"] == "before_send"
    assert body["timestamp"].endswith("Z")
    assert body["data"] == {
        "tenant_id": user.tenant_id,
        "identifier": user.phone,
        "channel": "sms",
        "country": "US",
        "user_id": None,
        "request_id": "request-of-this-test",
        "network": "127.0.0.0/24",
        "purpose": "login",
    }


async def test_email_has_no_country(user: HookUser) -> None:
    await user.set_hook("before_send")
    await user.api.post("/api/auth/request", {"email": "ann@example.com"}, user.api_key)

    [body] = user.bodies("before_send")
    assert [body["data"][name] for name in ("identifier", "channel", "country")] == ["ann@example.com", "email", None]


async def test_request_beyond_a_limit_calls_no_hook(new_user: NewUser) -> None:
    user = await new_user(requests_per_minute=1)
    await user.set_hook("before_send")

    assert [(await user.request()).status_code for _ in range(3)] == [200, 429, 429]
    assert len(user.calls("before_send")) == 1


async def test_denied_request_is_taken_back_from_the_exposure(user: HookUser, monkeypatch: pytest.MonkeyPatch) -> None:
    await user.set_hook("before_send", DENY)
    settlements = user.api.services.exposures.settlements
    returned: list[str] = []
    monkeypatch.setattr(settlements, "returned_later", lambda policy, message: returned.append(message.identifier))

    await user.request()
    user.behave("before_send", ALLOW)
    await user.request()

    assert returned == [user.phone]


async def test_allow_is_cached_for_its_identifier_and_a_deny_never(new_user: NewUser) -> None:
    user, other = await new_user(), await new_user()
    other.tenant, other.paths = user.tenant, user.paths
    await user.set_hook("before_send", deciding("deny", cache_for=60))
    denied = [outcome(await user.request()) for _ in range(2)]
    user.behave("before_send", deciding("allow", cache_for=60))
    allowed = [outcome(await user.request()) for _ in range(3)]
    calls = len(user.calls("before_send"))
    of_other = await other.request()

    assert denied == [(403, "hook_denied")] * 2
    assert allowed == [(200, ""), (429, "resend_too_soon"), (429, "resend_too_soon")]
    assert calls == 3
    assert outcome(of_other) == (200, "")
    assert len(user.calls("before_send")) == 4


async def test_change_of_the_hook_empties_its_cache(user: HookUser) -> None:
    await user.set_hook("before_send", deciding("allow", cache_for=60))
    await user.request()
    await user.set_hook("before_send", DENY, timeout_in=0.5)

    assert outcome(await user.request()) == (403, "hook_denied")


async def test_identifier_that_is_added_calls_the_hook_with_its_user(user: HookUser) -> None:
    tokens = await user.log_in()
    await user.set_hook("before_send", DENY)
    headers = {"x-api-key": user.api_key, "authorization": f"Bearer {tokens['token']}"}
    body = {"email": f"added.{user.phone[1:]}@example.com"}

    denied = await user.api.client.post(IDENTIFIERS, json=body, headers=headers)
    user.behave("before_send", deciding("allow", cache_for=60))
    allowed = await user.api.client.post(IDENTIFIERS, json=body, headers=headers)
    login = await user.api.post("/api/auth/request", body, user.api_key)

    assert outcome(denied) == (403, "hook_denied")
    assert allowed.status_code == 200, allowed.text
    data = [call["data"] for call in user.bodies("before_send")]
    assert [(one["user_id"], one["purpose"]) for one in data] == [
        (tokens["user_id"], "identifier"),
        (tokens["user_id"], "identifier"),
        (None, "login"),  # the allow of another purpose does not count
    ]
    assert outcome(login) == (429, "resend_too_soon")


async def test_sandbox_calls_no_hook_and_has_a_number_for_it(user: HookUser) -> None:
    for hook in ("before_send", "before_user_created", "before_token"):
        await user.set_hook(hook, DENY)
    key = user.tenant["test_key"]

    denied = await user.api.post("/api/auth/request", {"phone": "+15005550008"}, key)
    requested = await user.request(key)
    verified = await user.verify("000000", key)

    assert outcome(denied) == (403, "hook_denied")
    assert (requested.status_code, verified.status_code) == (200, 200)
    assert [user.calls(hook) for hook in user.paths] == [[], [], []]


@pytest.mark.parametrize("path", ["/api/auth/request", IDENTIFIERS])
async def test_repeat_with_an_idempotency_key_calls_no_hook(user: HookUser, path: str) -> None:
    headers = {"x-api-key": user.api_key, "idempotency-key": "once"}
    if path == IDENTIFIERS:
        headers["authorization"] = "Bearer " + (await user.log_in())["token"]
    await user.set_hook("before_send")
    body = {"email": f"{user.phone[1:]}@example.com"}

    async def request(**fields: object) -> httpx.Response:
        return await user.api.client.post(path, json=body | fields, headers=headers)

    first = await request()
    user.behave("before_send", DENY)
    before = user.api.services.postgres.round_trips, user.api.services.redis.round_trips
    repeat = await request()
    after = user.api.services.postgres.round_trips, user.api.services.redis.round_trips
    reused = await request(locale="de")

    assert outcome(first) == (200, "")
    assert (repeat.content, repeat.headers["idempotent-replayed"]) == (first.content, "true")
    assert outcome(reused) == (422, "idempotency_key_reused")
    assert len(user.calls("before_send")) == 1
    # The state of the key; one round trip to Redis for the limit of the address, another for the session.
    assert after[0] - before[0] == 1
    assert after[1] - before[1] <= 2
