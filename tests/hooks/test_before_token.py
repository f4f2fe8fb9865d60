"""before_token decides about access tokens at login and at refresh, and adds claims to them."""

import asyncio

import pytest

from auth1.challenges import store
from auth1.core.postgres import Postgres
from auth1.errors import Unavailable
from auth1.hooks.answers import MAX_CLAIMS_BYTES, RESERVED_CLAIMS
from auth1.sessions.tokens import Claims
from tests.hooks.conftest import NewUser
from tests.hooks.user import ALLOW, DENY, HookUser, claims_of, deciding, outcome
from tests.support.providers.twilio import answer

HOOK = "before_token"


async def test_claims_are_added_at_login_and_at_refresh(user: HookUser) -> None:
    await user.set_hook(HOOK, deciding("allow", claims={"role": "admin", "teams": [1, {"name": "Ärzte"}]}))
    tokens = await user.log_in()
    user.behave(HOOK, deciding("allow", claims={"role": "reader"}))
    refreshed = await user.refresh(tokens)
    user.behave(HOOK, ALLOW)
    last = await user.refresh(refreshed.json())

    first = claims_of(tokens)
    assert (first["role"], first["teams"]) == ("admin", [1, {"name": "Ärzte"}])
    assert (first["sub"], first["sid"]) == (tokens["user_id"], tokens["session_id"])
    assert claims_of(refreshed.json())["role"] == "reader"
    assert "role" not in claims_of(last.json())


async def test_repeat_of_an_unanswered_login_calls_the_hook_again(
    user: HookUser, monkeypatch: pytest.MonkeyPatch
) -> None:
    await user.set_hook(HOOK, deciding("allow", claims={"role": "admin"}))
    code = await user.requested()
    submit_code = store.submit_code

    async def lose_answer(postgres: Postgres, request: store.SubmitCode) -> store.CodeResult:
        result = await submit_code(postgres, request)
        if result.verdict == "ok":
            raise Unavailable
        return result

    with monkeypatch.context() as patch:
        patch.setattr(store, "submit_code", lose_answer)
        assert (await user.verify(code)).status_code == 503

    user.behave(HOOK, DENY)
    assert (await user.verify(code)).status_code == 403
    user.behave(HOOK, deciding("allow", claims={"role": "reader"}))
    response = await user.verify(code)
    assert response.status_code == 200, response.text
    assert claims_of(response.json())["role"] == "reader"


async def test_token_with_claims_of_a_hook_is_accepted(user: HookUser) -> None:
    await user.set_hook(HOOK, deciding("allow", claims={"role": "admin", "a": "x" * 1900}))
    tokens = await user.log_in()

    headers = {"x-api-key": user.api_key, "authorization": f"Bearer {tokens['token']}"}
    me = await user.api.client.get("/api/auth/me", headers=headers)

    assert (me.status_code, me.json()["user_id"]) == (200, tokens["user_id"])


async def test_claims_of_a_hook_never_replace_those_of_auth1(user: HookUser) -> None:
    await user.set_hook(HOOK, ALLOW)
    forged = dict.fromkeys(RESERVED_CLAIMS, "forged") | {"role": "admin"}
    user.behave(HOOK, deciding("allow", claims=forged))

    claims = claims_of(await user.log_in())

    assert "forged" not in claims.values()
    assert claims["role"] == "admin"
    assert claims["phone_number"] == user.phone


def test_every_claim_of_auth1_is_reserved() -> None:
    assert set(Claims.__struct_fields__) <= RESERVED_CLAIMS


@pytest.mark.parametrize(("size", "status"), [(MAX_CLAIMS_BYTES, 200), (MAX_CLAIMS_BYTES + 1, 403)])
async def test_claims_have_at_most_2_kib(user: HookUser, size: int, status: int) -> None:
    await user.set_hook(HOOK, deciding("allow", claims={"a": "x" * (size - len('{"a":""}'))}))

    response = await user.verify(await user.requested())

    assert response.status_code == status


async def test_call_describes_the_login_and_the_refresh(user: HookUser) -> None:
    await user.set_hook(HOOK)
    tokens = await user.log_in()
    await user.refresh(tokens)

    login, refresh = (body["data"] for body in user.bodies(HOOK))
    claims = claims_of(tokens)
    common = {
        "tenant_id": user.tenant_id,
        "identifier": user.phone,
        "channel": "sms",
        "country": "US",
        "user_id": tokens["user_id"],
        "session_id": tokens["session_id"],
        "claims": {name: value for name, value in claims.items() if name not in ("iat", "exp", "jti")},
        "network": "127.0.0.0/24",
    }
    for data, grant, is_new_user in ((login, "login", True), (refresh, "refresh", False)):
        assert data.pop("request_id").startswith("req_")
        assert data == common | {"grant": grant, "is_new_user": is_new_user}


@pytest.mark.parametrize("is_known", [False, True])
async def test_denied_login_leaves_no_session_and_a_valid_code(user: HookUser, is_known: bool) -> None:
    if is_known:
        await user.log_in()
    sessions, users = await user.count("sessions"), await user.count("users")
    await user.set_hook(HOOK, DENY)
    code = await user.requested()

    denied = await user.verify(code)
    left = (await user.count("sessions"), await user.count("users"))
    user.behave(HOOK, ALLOW)
    allowed = await user.verify(code)

    assert outcome(denied) == (403, "hook_denied")
    assert left == (sessions, users)
    assert allowed.status_code == 200


async def test_both_hooks_decide_about_a_sign_up(user: HookUser) -> None:
    await user.set_hook("before_user_created")
    await user.set_hook(HOOK, DENY)
    code = await user.requested()
    denied = await user.verify(code)
    user.behave("before_user_created", DENY)
    user.behave(HOOK, ALLOW)
    denied_before = await user.verify(code)

    assert outcome(denied) == outcome(denied_before) == (403, "hook_denied")
    assert len(user.calls("before_user_created")) == 2
    assert len(user.calls(HOOK)) == 1
    assert await user.count("users") == 0


async def test_denied_refresh_does_not_use_up_the_refresh_token(user: HookUser) -> None:
    await user.set_hook(HOOK)
    tokens = await user.log_in()
    user.behave(HOOK, DENY)
    denied = [await user.refresh(tokens) for _ in range(3)]
    refreshes = "select refreshes from sessions where tenant_id = $1"
    rotated = await user.database.fetchval(refreshes, user.tenant_id)
    user.behave(HOOK, ALLOW)
    allowed = await user.refresh(tokens)

    assert {outcome(response) for response in denied} == {(403, "hook_denied")}
    assert rotated == 0
    assert allowed.status_code == 200
    assert (await user.refresh(allowed.json())).status_code == 200


async def test_reused_refresh_token_is_detected_without_a_call(user: HookUser) -> None:
    await user.set_hook(HOOK)
    tokens = await user.log_in()
    await user.refresh(tokens)
    past = "update sessions set refreshed_at = now() - interval '31 s', rotated_at = array[now() - interval '31 s']"
    await user.database.execute(f"{past} where tenant_id = $1", user.tenant_id)
    calls = len(user.calls(HOOK))
    user.behave(HOOK, DENY)

    reused, revoked = await user.refresh(tokens), await user.refresh(tokens)

    assert [outcome(reused), outcome(revoked)] == [(401, "token_reused"), (401, "session_revoked")]
    assert len(user.calls(HOOK)) == calls


async def test_parallel_refreshes_get_the_same_token(user: HookUser) -> None:
    await user.set_hook(HOOK)
    tokens = await user.log_in()

    responses = await asyncio.gather(*(user.refresh(tokens) for _ in range(4)))

    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["refresh_token"] for response in responses}) == 1


@pytest.mark.parametrize("on_error", ["allow", "deny"])
async def test_broken_hook_lets_tokens_go_without_claims_or_denies(user: HookUser, on_error: str) -> None:
    await user.set_hook(HOOK, deciding("allow", claims={"role": "admin"}), on_error=on_error)
    tokens = await user.log_in()
    user.behave(HOOK, answer(500, {}))

    response = await user.refresh(tokens)

    if on_error == "allow":
        assert "role" not in claims_of(response.json())
    else:
        assert outcome(response) == (403, "hook_denied")


async def test_claims_of_another_tenant_are_never_added(new_user: NewUser) -> None:
    user, other = await new_user(), await new_user()
    await user.set_hook(HOOK, deciding("allow", claims={"role": "admin"}))

    assert "role" not in claims_of(await other.log_in())
