"""Refresh tokens, userinfo, introspection and revocation of what users granted."""

import asyncio

import pytest

from tests.oauth.conftest import NewLoginApp, error
from tests.oauth.login_app import LoginApp

ROTATED_EARLIER = """
update grants set rotated_at = array(select at - interval '31 s' from unnest(rotated_at) as at) where client_id = $1
"""


async def test_refresh_rotates_the_token_and_renews_the_others(login_app: LoginApp) -> None:
    first = await login_app.tokens()
    second = (await login_app.refresh(first["refresh_token"])).json()

    claims = await login_app.verify(second["id_token"], login_app.client_id)
    before = await login_app.verify(first["id_token"], login_app.client_id)
    assert second["refresh_token"] != first["refresh_token"]
    assert "nonce" not in claims
    assert [claims[name] for name in ("sub", "sid", "auth_time", "iss", "aud")] == [
        before[name] for name in ("sub", "sid", "auth_time", "iss", "aud")
    ]
    assert (await login_app.userinfo(second["access_token"])).status_code == 200


async def test_exchanged_token_gets_the_live_one_within_the_grace(login_app: LoginApp) -> None:
    token = (await login_app.tokens())["refresh_token"]

    answers = await asyncio.gather(*(login_app.refresh(token) for _ in range(20)))

    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


async def test_old_token_after_the_grace_revokes_the_grant(login_app: LoginApp) -> None:
    tokens = await login_app.tokens()
    live = (await login_app.refresh(tokens["refresh_token"])).json()
    await login_app.database.execute(ROTATED_EARLIER, login_app.client_id)

    assert error(await login_app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")

    assert error(await login_app.refresh(live["refresh_token"])) == (400, "invalid_grant")
    assert error(await login_app.userinfo(live["access_token"])) == (401, "invalid_token")
    reason = "select data ->> 'reason' from events where tenant_id = $1 and type = 'grant.revoked'"
    assert await login_app.database.fetchval(reason, login_app.tenant_id) == "token_reused"


async def test_refresh_token_of_another_client_is_rejected(login_app: LoginApp, new_login_app: NewLoginApp) -> None:
    token, other = (await login_app.tokens())["refresh_token"], await new_login_app(tenant=login_app.tenant)

    assert error(await other.refresh(token)) == (400, "invalid_grant")
    assert (await login_app.refresh(token)).status_code == 200


async def test_refresh_may_narrow_the_scopes_for_one_access_token(login_app: LoginApp) -> None:
    token = (await login_app.tokens())["refresh_token"]

    narrow = (await login_app.refresh(token, scope="openid email")).json()
    wide = (await login_app.refresh(narrow["refresh_token"])).json()
    wider = await login_app.refresh(wide["refresh_token"], scope="openid invoices:read")

    assert narrow["scope"] == "openid email"
    assert "phone_number" not in (await login_app.userinfo(narrow["access_token"])).json()
    assert wide["scope"] == "openid profile email phone offline_access"
    assert error(wider) == (400, "invalid_scope")


@pytest.mark.parametrize("token", ["auth1_ort_unknown", "auth1_rt_01kf0fv2qd8x7r3n5w1mzt9c4h_0_x", "\0"])
async def test_invented_refresh_token_is_rejected(login_app: LoginApp, token: str) -> None:
    assert error(await login_app.refresh(token)) == (400, "invalid_grant")


async def test_missing_refresh_token_is_an_invalid_request(login_app: LoginApp) -> None:
    assert error(await login_app.post("token", grant_type="refresh_token")) == (400, "invalid_request")


ENDINGS = {
    "grant_expired": "update grants set expires_at = now() where client_id = $1",
    "idle": "update grants set created_at = created_at - interval '400 days' where client_id = $1",
    "banned": "update users set banned_until = 'infinity' where id = (select user_id from grants where client_id = $1)",
    "tenant_ended_sessions": """
        update tenants set sessions_from = now() where id = (select tenant_id from grants where client_id = $1)""",
}
LOGOUT = "update sessions set revoked_at = now() where id = (select session_id from grants where client_id = $1)"


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
async def test_ended_grant_is_not_refreshed(login_app: LoginApp, ending: str) -> None:
    token = (await login_app.tokens())["refresh_token"]
    await login_app.database.execute(ending, login_app.client_id)

    assert error(await login_app.refresh(token)) == (400, "invalid_grant")


async def test_logout_in_a_race_with_the_refresh_ends_the_grant(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(kind="spa")
    end = "update sessions set revoked_at = now() where tenant_id = $1 and id = $2"
    for _ in range(5):
        await app.open_session()
        token = (await app.tokens(scopes=["openid"]))["refresh_token"]

        answer, _ = await asyncio.gather(app.refresh(token), app.database.execute(end, app.tenant_id, app.session_id))

        if answer.status_code == 200:
            assert error(await app.userinfo(answer.json()["access_token"])) == (401, "invalid_token")
            assert error(await app.refresh(answer.json()["refresh_token"])) == (400, "invalid_grant")


@pytest.mark.parametrize(("scopes", "survives"), [(["openid"], False), (["openid", "offline_access"], True)])
async def test_only_offline_access_survives_the_logout(
    new_login_app: NewLoginApp, scopes: list[str], survives: bool
) -> None:
    app = await new_login_app(kind="spa")
    tokens = await app.tokens(scopes=scopes)
    await app.database.execute(LOGOUT, app.client_id)

    assert ((await app.refresh(tokens["refresh_token"])).status_code == 200) is survives
    assert ((await app.userinfo(tokens["access_token"])).status_code == 200) is survives


async def test_expiry_of_the_session_does_not_end_the_grant(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(kind="spa")
    tokens = await app.tokens(scopes=["openid"])
    await app.database.execute("update sessions set expires_at = now() where id = $1", app.session_id)

    assert (await app.refresh(tokens["refresh_token"])).status_code == 200


async def test_userinfo_has_the_claims_of_the_scopes(login_app: LoginApp) -> None:
    response = await login_app.userinfo((await login_app.tokens(scopes=["openid", "email", "phone"]))["access_token"])

    assert response.json() == {
        "sub": login_app.user_id,
        "email": login_app.email,
        "email_verified": True,
        "phone_number": login_app.phone,
        "phone_number_verified": True,
    }
    assert response.headers["cache-control"] == "no-store"


async def test_userinfo_by_post_takes_the_token_in_header_or_form(login_app: LoginApp) -> None:
    token, path = (await login_app.tokens())["access_token"], f"{login_app.path}/userinfo"
    post, header = login_app.api.client.post, {"authorization": f"Bearer {token}"}

    answers = [await post(path, headers=header), await post(path, data={"access_token": token})]
    both = await post(path, data={"access_token": token}, headers=header)
    invalid = await post(path, data={"access_token": "invalid"})
    without_openid = (await login_app.tokens(scopes=["email"]))["access_token"]
    insufficient = await post(path, data={"access_token": without_openid})

    assert [answer.json()["sub"] for answer in answers] == [login_app.user_id] * 2
    assert error(both) == (400, "invalid_request")
    assert error(invalid) == (401, "invalid_token")
    assert error(insufficient) == (403, "insufficient_scope")


@pytest.mark.parametrize(("header", "named"), [(None, False), ("Bearer abc", True), ("Basic abc", True)])
async def test_userinfo_without_a_valid_token_is_unauthorized(
    login_app: LoginApp, header: str | None, named: bool
) -> None:
    headers = {"authorization": header} if header is not None else {}
    response = await login_app.api.client.get(f"{login_app.path}/userinfo", headers=headers)

    assert error(response) == (401, "invalid_token")
    assert response.headers["www-authenticate"].startswith("Bearer ")
    assert ('error="invalid_token"' in response.headers["www-authenticate"]) is named


async def test_id_token_is_no_access_token(login_app: LoginApp) -> None:
    id_token = (await login_app.tokens())["id_token"]

    assert error(await login_app.userinfo(id_token)) == (401, "invalid_token")
    assert not await login_app.is_active(id_token)


async def test_sandbox_and_tenant_do_not_accept_tokens_of_each_other(login_app: LoginApp) -> None:
    tokens = await login_app.tokens()
    login_app.sandbox = True

    assert error(await login_app.userinfo(tokens["access_token"])) == (401, "invalid_token")
    assert error(await login_app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")


async def test_web_page_of_any_origin_may_call_userinfo(login_app: LoginApp) -> None:
    headers = {"origin": "https://app.example.com", "authorization": "Bearer x"}
    response = await login_app.api.client.get(f"{login_app.path}/userinfo", headers=headers)

    assert response.headers["access-control-allow-origin"] == "*"
    assert "www-authenticate" in response.headers["access-control-expose-headers"]


async def test_introspection_describes_both_tokens(login_app: LoginApp) -> None:
    tokens = await login_app.tokens()
    access = (await login_app.post("introspect", token=tokens["access_token"])).json()
    refresh = (await login_app.post("introspect", token=tokens["refresh_token"])).json()

    for state in (access, refresh):
        assert (state["active"], state["sub"], state["client_id"]) == (True, login_app.user_id, login_app.client_id)
    assert "token_type" not in refresh


async def test_refresh_token_is_active_as_long_as_it_can_be_exchanged(login_app: LoginApp) -> None:
    idle_after = 30 * 24 * 3600
    token = (await login_app.tokens())["refresh_token"]
    state = (await login_app.post("introspect", token=token)).json()
    used_at = await login_app.database.fetchval(
        "select extract(epoch from created_at)::float8 from grants where client_id = $1", login_app.client_id
    )

    await login_app.database.execute(ENDINGS["idle"], login_app.client_id)

    assert state["exp"] == int(used_at + idle_after)
    assert not await login_app.is_active(token)
    assert error(await login_app.refresh(token)) == (400, "invalid_grant")


async def test_refresh_token_of_another_client_is_not_active(login_app: LoginApp, new_login_app: NewLoginApp) -> None:
    tokens, other = await login_app.tokens(), await new_login_app(tenant=login_app.tenant)

    assert not await other.is_active(tokens["refresh_token"])
    assert await other.is_active(tokens["access_token"])


async def test_public_client_may_not_introspect(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(kind="spa")

    assert error(await app.post("introspect", token="x")) == (401, "invalid_client")


@pytest.mark.parametrize("kind", ["web", "spa"])
async def test_revoked_refresh_token_ends_the_grant(new_login_app: NewLoginApp, kind: str) -> None:
    app = await new_login_app(kind=kind)
    tokens = await app.tokens()

    revoked = [await app.post("revoke", token=tokens["refresh_token"]) for _ in range(2)]

    assert [answer.status_code for answer in revoked] == [200, 200]
    assert error(await app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    assert error(await app.userinfo(tokens["access_token"])) == (401, "invalid_token")


async def test_revoked_access_token_leaves_the_grant(login_app: LoginApp) -> None:
    tokens = await login_app.tokens()

    assert (await login_app.post("revoke", token=tokens["access_token"])).status_code == 200

    assert error(await login_app.userinfo(tokens["access_token"])) == (401, "invalid_token")
    assert (await login_app.refresh(tokens["refresh_token"])).status_code == 200


async def test_client_does_not_revoke_the_grant_of_another(login_app: LoginApp, new_login_app: NewLoginApp) -> None:
    tokens, other = await login_app.tokens(), await new_login_app(tenant=login_app.tenant)

    assert (await other.post("revoke", token=tokens["refresh_token"])).status_code == 200
    assert (await login_app.refresh(tokens["refresh_token"])).status_code == 200


async def test_grant_types_belong_to_kinds_of_applications(login_app: LoginApp, machine_like: LoginApp) -> None:
    code = await login_app.code()

    assert error(await login_app.post("token", grant_type="client_credentials")) == (400, "unauthorized_client")
    assert error(await machine_like.redeem(code)) == (400, "unauthorized_client")
    assert error(await machine_like.refresh("auth1_ort_x")) == (400, "unauthorized_client")
