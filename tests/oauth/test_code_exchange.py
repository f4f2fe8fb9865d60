"""The exchange of authorization codes: tokens and their claims, each rejection, and races."""

import asyncio
import base64
import hashlib
import time
from typing import Any

import asyncpg
import jwt
import pytest

from auth1.core.crypto import digest
from auth1.oauth.authorization import codes
from auth1.oauth.tokens.derived_tokens import CODE
from auth1.oauth.tokens.grants import MAX_GRANTS
from tests.oauth.conftest import NewLoginApp, error
from tests.oauth.login_app import BROWSER, REDIRECT_URI, VERIFIER, LoginApp


def half_hash(token: str, algorithm: str) -> str:
    whole = hashlib.new(algorithm, token.encode()).digest()
    return base64.urlsafe_b64encode(whole[: len(whole) // 2]).rstrip(b"=").decode()


@pytest.mark.parametrize(("alg", "algorithm"), [("RS256", "sha256"), ("ES256", "sha256"), ("EdDSA", "sha512")])
async def test_id_token_has_the_claims_of_the_login(new_login_app: NewLoginApp, alg: str, algorithm: str) -> None:
    app = await new_login_app(alg=alg)
    tokens = await app.tokens()

    claims = await app.verify(tokens["id_token"], app.client_id)

    now = time.time()
    assert (claims["sub"], claims["sid"], claims["nonce"]) == (app.user_id, app.session_id, "nonce")
    assert (claims["acr"], claims["amr"]) == ("urn:auth1:aal1", ["otp", "sms"])
    assert claims["at_hash"] == half_hash(tokens["access_token"], algorithm)
    assert claims["exp"] - claims["iat"] == 600
    assert now - 120 < claims["auth_time"] < now - 50
    assert (claims["email"], claims["email_verified"]) == (app.email, True)
    assert (claims["phone_number"], claims["phone_number_verified"]) == (app.phone, True)
    assert jwt.get_unverified_header(tokens["id_token"])["alg"] == alg


async def test_token_response_has_its_fields(login_app: LoginApp) -> None:
    response = await login_app.redeem(await login_app.code())
    body = response.json()

    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "id_token", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert body["scope"] == "openid profile email phone offline_access"
    assert response.headers["cache-control"] == "no-store"


async def test_access_token_names_user_session_and_grant(login_app: LoginApp) -> None:
    tokens = await login_app.tokens()

    claims = await login_app.verify(tokens["access_token"], login_app.url)

    assert (claims["sub"], claims["sid"], claims["client_id"]) == (
        *(login_app.user_id, login_app.session_id),
        login_app.client_id,
    )
    assert claims["gid"].startswith("gr_")
    assert "email" not in claims


async def test_profile_claims_are_texts_and_users_do_not_set_their_username(login_app: LoginApp) -> None:
    claims = await login_app.verify((await login_app.tokens())["id_token"], login_app.client_id)

    assert (claims["name"], claims["preferred_username"], "locale" in claims) == ("Ada", "ada", False)


async def test_claims_follow_the_scopes(login_app: LoginApp) -> None:
    tokens = await login_app.tokens(scopes=["openid", "email"])

    claims = await login_app.verify(tokens["id_token"], login_app.client_id)

    assert claims["email"] == login_app.email
    assert {"phone_number", "name"}.isdisjoint(claims)
    assert "refresh_token" not in tokens


async def test_without_openid_there_is_no_id_token(login_app: LoginApp) -> None:
    tokens = await login_app.tokens(scopes=["email"])

    assert "id_token" not in tokens
    assert error(await login_app.userinfo(tokens["access_token"])) == (403, "insufficient_scope")


async def test_id_token_without_a_nonce_in_the_request_has_none(login_app: LoginApp) -> None:
    claims = await login_app.verify((await login_app.tokens(nonce=None))["id_token"], login_app.client_id)

    assert "nonce" not in claims


@pytest.mark.parametrize("kind", ["spa", "native"])
async def test_public_client_exchanges_without_a_secret(new_login_app: NewLoginApp, kind: str) -> None:
    app = await new_login_app(kind=kind)

    tokens = await app.tokens(scopes=["openid"])

    assert set(tokens) >= {"id_token", "refresh_token"}


async def test_client_with_a_secret_may_not_omit_it(login_app: LoginApp) -> None:
    form = {"grant_type": "authorization_code", "code": await login_app.code(), "redirect_uri": REDIRECT_URI}
    form |= {"code_verifier": VERIFIER, "client_id": login_app.client_id}
    response = await login_app.api.client.post(f"{login_app.path}/token", data=form)

    assert error(response) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code_verifier": "w" * 43}, "invalid_grant"),
        ({"code_verifier": None}, "invalid_grant"),
        ({"code_verifier": "short"}, "invalid_request"),
        ({"redirect_uri": "https://app.example.com/callback"}, "invalid_grant"),
        ({"redirect_uri": "\0"}, "invalid_grant"),
        ({"redirect_uri": None}, "invalid_request"),
        ({"code": "auth1_oc_unknown"}, "invalid_grant"),
        ({"code": None}, "invalid_request"),
    ],
)
async def test_wrong_exchange_leaves_the_code_usable(
    login_app: LoginApp, changes: dict[str, str | None], expected: str
) -> None:
    code = await login_app.code()

    assert error(await login_app.redeem(code, **changes)) == (400, expected)
    assert (await login_app.redeem(code)).status_code == 200


async def test_code_of_another_client_stays_usable(login_app: LoginApp, new_login_app: NewLoginApp) -> None:
    code, other = await login_app.code(), await new_login_app(tenant=login_app.tenant)

    assert error(await other.redeem(code)) == (400, "invalid_grant")
    assert (await login_app.redeem(code)).status_code == 200


async def test_verifier_for_a_request_without_challenge_is_rejected(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(require_pkce=False)
    code = await app.code(code_challenge=None)

    assert error(await app.redeem(code)) == (400, "invalid_grant")
    assert (await app.redeem(code, code_verifier=None)).status_code == 200


async def test_code_is_invalid_at_the_sandbox_and_another_tenant(
    login_app: LoginApp, new_login_app: NewLoginApp
) -> None:
    code, other = await login_app.code(), await new_login_app()

    assert error(await other.redeem(code)) == (400, "invalid_grant")
    login_app.sandbox = True
    assert error(await login_app.redeem(code)) == (400, "invalid_grant")


async def test_sandbox_marks_its_tokens(new_login_app: NewLoginApp) -> None:
    app = await new_login_app(sandbox=True)
    tokens = await app.tokens()

    for token, audience in ((tokens["id_token"], app.client_id), (tokens["access_token"], app.url)):
        assert (await app.verify(token, audience))["test"] is True


@pytest.mark.parametrize(
    "change",
    [
        "update logins set code_expires_at = now() where id = $1",
        "update logins set step = 'consent' where id = $1",
        "update sessions set revoked_at = now() where id = (select session_id from logins where id = $1)",
        "update sessions set expires_at = now() where id = (select session_id from logins where id = $1)",
        "update users set banned_until = 'infinity' where id = (select user_id from logins where id = $1)",
        "update applications set disabled_at = now() where id = (select client_id from logins where id = $1)",
        "delete from logins where id = $1",
    ],
)
async def test_code_of_an_ended_login_gives_no_tokens(login_app: LoginApp, change: str) -> None:
    login_id = await login_app.login()
    code = await login_app.code(login_id)
    await login_app.database.execute(change, login_id)

    response = await login_app.redeem(code)

    assert error(response) in [(400, "invalid_grant"), (401, "invalid_client")]
    assert await grants_of(login_app) == []


async def test_second_use_of_a_code_revokes_the_tokens(login_app: LoginApp) -> None:
    code = await login_app.code()
    tokens = (await login_app.redeem(code)).json()
    assert (await login_app.userinfo(tokens["access_token"])).status_code == 200

    assert error(await login_app.redeem(code)) == (400, "invalid_grant")

    assert not await login_app.is_active(tokens["access_token"])
    assert error(await login_app.userinfo(tokens["access_token"])) == (401, "invalid_token")
    assert error(await login_app.refresh(tokens["refresh_token"])) == (400, "invalid_grant")
    events = await events_of(login_app)
    assert events == [("grant.created", None), ("grant.revoked", "code_reused")]


async def test_second_use_with_a_wrong_verifier_revokes_nothing(login_app: LoginApp) -> None:
    code = await login_app.code()
    tokens = (await login_app.redeem(code)).json()

    assert error(await login_app.redeem(code, code_verifier="w" * 43)) == (400, "invalid_grant")
    assert await login_app.is_active(tokens["access_token"])


async def test_session_has_a_limited_number_of_grants_of_an_application(
    login_app: LoginApp, new_login_app: NewLoginApp
) -> None:
    """A ban ends all grants of a session in one statement: thousands of them made it fail."""
    other = await new_login_app(tenant=login_app.tenant)
    await other.tokens()
    first, unused = await login_app.tokens(), await login_app.tokens()
    copies = """
    insert into grants
      (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at, created_at)
    select tenant_id, $2 || id || n, client_id, user_id, $3, scopes, amr, authenticated_at, expires_at, created_at
    from (select * from grants where client_id = $1 order by id limit 1) as g cross join generate_series(1, $4) as n
    """
    await login_app.database.execute(copies, other.client_id, "", login_app.session_id, MAX_GRANTS)
    await login_app.database.execute(copies, login_app.client_id, "gr_", login_app.session_id, MAX_GRANTS - 1)
    await login_app.database.execute(copies, login_app.client_id, "", "ses_other", MAX_GRANTS)
    await login_app.database.execute(
        "update grants set created_at = now() - interval '1 hour' where client_id = $1 and id not like 'gr_gr_%'",
        login_app.client_id,
    )
    live = (await login_app.refresh(first["refresh_token"])).json()

    new = await login_app.tokens()

    count = "select count(*) from grants where client_id = $1 and session_id = $2"
    assert await login_app.database.fetchval(count, login_app.client_id, login_app.session_id) == MAX_GRANTS
    assert await login_app.database.fetchval(count, login_app.client_id, "ses_other") == MAX_GRANTS
    assert await login_app.database.fetchval(count, other.client_id, login_app.session_id) == MAX_GRANTS
    active = [await login_app.is_active(tokens["access_token"]) for tokens in (live, new, unused)]
    assert active == [True, True, False]
    reasons = "select data ->> 'reason' as reason from events where tenant_id = $1 and type = 'grant.revoked'"
    revoked = await login_app.database.fetch(reasons, login_app.tenant_id)
    assert [row["reason"] for row in revoked] == ["replaced"] * 2


@pytest.mark.parametrize("end", ["revoked_at = now()", "expires_at = now() - interval '1 s'"])
async def test_grants_that_have_ended_do_not_replace_a_live_one(login_app: LoginApp, end: str) -> None:
    live = await login_app.tokens()
    copies = """
    insert into grants
      (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at, created_at)
    select tenant_id, id || n, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at, created_at
    from (select * from grants where client_id = $1) as g cross join generate_series(1, $2) as n
    """
    await login_app.database.execute(copies, login_app.client_id, MAX_GRANTS)
    times = f"update grants set created_at = now() + interval '1 s', {end} where client_id = $1 and id <> $2"
    first = "select min(id) from grants where client_id = $1"
    live_id = await login_app.database.fetchval(first, login_app.client_id)
    await login_app.database.execute(times, login_app.client_id, live_id)

    new = await login_app.tokens()

    assert [await login_app.is_active(tokens["access_token"]) for tokens in (live, new)] == [True, True]
    count = "select count(*) from grants where client_id = $1"
    assert await login_app.database.fetchval(count, login_app.client_id) == MAX_GRANTS
    revoked = "select count(*) from events where tenant_id = $1 and type = 'grant.revoked'"
    assert await login_app.database.fetchval(revoked, login_app.tenant_id) == 0


async def test_code_does_not_outlive_the_consent(login_app: LoginApp) -> None:
    """The removal finds no login that a concurrent statement is completing: its code comes afterwards."""
    consented = await login_app.code()
    ended = "update consents set revoked_at = now() where tenant_id = $1"
    await login_app.database.execute(ended, login_app.tenant_id)

    assert error(await login_app.redeem(consented)) == (400, "invalid_grant")
    assert await grants_of(login_app) == []

    await login_app.change(first_party=True)
    assert (await login_app.redeem(consented)).status_code == 200


async def test_exchange_waits_for_the_removal_of_its_consent(login_app: LoginApp, database_url: str) -> None:
    code = await login_app.code()
    waits = (
        "select exists (select from pg_stat_activity where wait_event_type = 'Lock' and query like '%redeem_code(%')"
    )
    observer = await asyncpg.connect(database_url)
    try:
        async with login_app.database.transaction():
            ended = "update consents set revoked_at = now() where tenant_id = $1"
            await login_app.database.execute(ended, login_app.tenant_id)
            exchange = asyncio.create_task(login_app.redeem(code))
            while not await observer.fetchval(waits):
                assert not exchange.done()
        assert error(await exchange) == (400, "invalid_grant")
    finally:
        await observer.close()
    assert await grants_of(login_app) == []


async def test_fifty_exchanges_of_a_code_make_one_grant_which_they_revoke(login_app: LoginApp) -> None:
    code = await login_app.code()

    answers = await asyncio.gather(*(login_app.redeem(code) for _ in range(50)))

    assert sorted(answer.status_code for answer in answers) == [200, *[400] * 49]
    [grant] = await grants_of(login_app)
    assert grant["revoked_at"] is not None
    [tokens] = [answer.json() for answer in answers if answer.status_code == 200]
    assert not await login_app.is_active(tokens["access_token"])


async def test_logout_in_a_race_with_the_exchange_ends_the_grant(login_app: LoginApp) -> None:
    for _ in range(5):
        await login_app.open_session()
        code = await login_app.code(scopes=["openid"])
        end = "update sessions set revoked_at = now() where tenant_id = $1 and id = $2"

        answer, _ = await asyncio.gather(
            login_app.redeem(code), login_app.database.execute(end, login_app.tenant_id, login_app.session_id)
        )

        if answer.status_code == 200:
            assert error(await login_app.userinfo(answer.json()["access_token"])) == (401, "invalid_token")


async def test_repeated_response_has_the_same_code_until_it_ends(login_app: LoginApp) -> None:
    login_id = await login_app.login()
    first, second = await login_app.code(login_id), await login_app.code(login_id)
    ending = "update logins set code_expires_at = now() + interval '29 s' where id = $1"
    await login_app.database.execute(ending, login_id)
    third = await login_app.code(login_id)

    assert first == second != third
    assert error(await login_app.redeem(first)) == (400, "invalid_grant")
    assert (await login_app.redeem(third)).status_code == 200
    issuer = await login_app.issuer()
    assert await codes.issue_code(login_app.api.services, issuer, login_id, BROWSER) is None


@pytest.mark.parametrize(
    "change",
    [
        "update logins set step = 'start' where id = $1",
        "update logins set expires_at = now() where id = $1",
        "update logins set session_id = null where id = $1",
        "update applications set redirect_uris = '{}' where id = (select client_id from logins where id = $1)",
        "update applications set disabled_at = now() where id = (select client_id from logins where id = $1)",
    ],
)
async def test_login_that_ended_gets_no_code(login_app: LoginApp, change: str) -> None:
    login_id = await login_app.login()
    await login_app.database.execute(change, login_id)

    assert await codes.issue_code(login_app.api.services, await login_app.issuer(), login_id, BROWSER) is None


async def test_login_of_another_browser_gets_no_response(login_app: LoginApp) -> None:
    login_id, issuer = await login_app.login(), await login_app.issuer()
    services, other = login_app.api.services, digest("another browser")

    assert await codes.issue_code(services, issuer, login_id, other) is None
    assert await codes.deny(services, issuer, login_id, other, "access_denied") is None


async def test_response_keeps_the_query_of_the_redirect_uri(login_app: LoginApp) -> None:
    login_id, issuer = await login_app.login(state="a b&c"), await login_app.issuer()

    response = await codes.deny(login_app.api.services, issuer, login_id, BROWSER, "access_denied")

    assert response is not None
    iss = issuer.url.replace(":", "%3A").replace("/", "%2F")
    assert response.location() == f"{REDIRECT_URI}&error=access_denied&state=a+b%26c&iss={iss}"


def test_code_is_bound_to_tenant_login_and_number(login_app: LoginApp) -> None:
    keyring, login_id = login_app.api.services.keyring, "li_01kf0fv2qd8x7r3n5w1mzt9c4h"
    code = CODE.make(keyring, "tn_1", login_id, 1)

    assert CODE.read(keyring, "tn_1", code) == (login_id, 1)
    assert CODE.read(keyring, "tn_2", code) is None
    assert CODE.read(keyring, "tn_1", code.replace("_1_", "_2_")) is None
    assert CODE.read(keyring, "tn_1", code.replace("_oc_", "_ort_")) is None


async def grants_of(app: LoginApp) -> list[asyncpg.Record]:
    rows: list[asyncpg.Record] = await app.database.fetch("select * from grants where client_id = $1", app.client_id)
    return rows


async def events_of(app: LoginApp) -> list[tuple[str, Any]]:
    rows = await app.database.fetch(
        "select type, data ->> 'reason' as reason from events where tenant_id = $1 and actor = $2 order by id",
        *(app.tenant_id, app.client_id),
    )
    return [(row["type"], row["reason"]) for row in rows]
