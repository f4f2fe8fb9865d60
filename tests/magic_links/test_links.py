"""Links in emails: confirmed, redeemed, and rejected."""

import base64
import secrets
from collections import Counter
from typing import Any

import asyncpg
import jwt
import pytest

from auth1.core.ids import new_id
from tests.conftest import new_phone
from tests.magic_links.user import (
    APP_URL,
    CALLBACK,
    LinkUser,
    code_in,
    is_rejected,
    new_address,
    pkce,
    sessions_of,
)


async def test_requesting_tab_is_logged_in_when_the_link_is_confirmed(user: LinkUser) -> None:
    requested = await user.ask()
    assert len(base64.urlsafe_b64decode(requested["challenge_secret"] + "=")) == 32
    assert "verification code" not in user.mail.part("plain")

    pending = await user.redeem(requested)
    assert is_rejected(pending, 400, "authorization_pending")
    assert int(pending.headers["retry-after"]) >= 1

    confirmed = await user.confirm()
    assert confirmed.status_code == 200
    assert "Return to the tab or app where you started." in confirmed.text

    redeemed = await user.redeem(requested)
    assert redeemed.status_code == 200, redeemed.text
    answer = redeemed.json()
    assert set(answer) == {
        *("verified", "token", "token_type", "expires_in", "refresh_token", "user_id", "session_id", "is_new_user")
    }
    claims = jwt.decode(
        answer["token"],
        user.tenant["jwt_secret"],
        algorithms=["HS256"],
        audience=user.tenant["tenant_id"],
        issuer=APP_URL,
    )
    assert (claims["sub"], claims["sid"]) == (answer["user_id"], answer["session_id"])
    assert (claims["amr"], claims["email"]) == (["otp"], user.email)
    assert answer["is_new_user"] is True


async def test_link_and_code_log_in_the_same_user(user: LinkUser, database: asyncpg.Connection) -> None:
    requested = await user.ask(mode="both")
    await user.confirm()
    by_link = (await user.redeem(requested)).json()
    await user.ask(mode="code")
    by_code = (await user.verify(user.mail.code)).json()

    assert by_link["user_id"] == by_code["user_id"]
    assert (by_link["is_new_user"], by_code["is_new_user"]) == (True, False)
    events = await database.fetch(
        "select type from events where tenant_id = $1 and subject in ($2, $3)",
        *(user.tenant["tenant_id"], requested["challenge_id"], by_link["user_id"]),
    )
    assert Counter(row["type"] for row in events) == Counter(
        ["challenge.opened", "link.confirmed", "challenge.answered", "user.created"]
    )


@pytest.mark.parametrize("mode", ["link", "both"])
async def test_link_mode_is_rejected_for_a_phone(user: LinkUser, mode: str) -> None:
    answer = await user.api.post("/api/auth/request", {"phone": new_phone(), "mode": mode}, user.tenant["api_key"])

    assert is_rejected(answer, 422, "validation_failed")
    assert answer.json()["errors"][0]["field"] == "mode"


async def test_code_mode_returns_no_challenge_secret(user: LinkUser) -> None:
    assert "challenge_secret" not in await user.ask(mode="code")
    assert "http" not in user.mail.part("plain")


async def test_link_uses_app_url_for_any_host_header(user: LinkUser) -> None:
    headers = {"host": "evil.example.net", "x-forwarded-host": "evil.example.net", "x-forwarded-proto": "http"}
    body = {"email": user.email, "mode": "link"}
    requested = await user.api.client.post(
        "/api/auth/request", json=body, headers=headers | {"x-api-key": user.tenant["api_key"]}
    )

    assert requested.status_code == 200, requested.text
    assert user.mail.link.startswith(APP_URL + "/api/auth/link/")
    assert b"evil" not in user.mail.raw
    page = await user.open(host="evil.example.net")
    assert "evil" not in page.text + page.headers["content-security-policy"]


async def test_redemption_with_a_wrong_secret_is_rejected(user: LinkUser) -> None:
    requested = await user.ask()
    await user.confirm()

    for wrong in (
        requested | {"challenge_secret": secrets.token_urlsafe(32)},
        requested | {"challenge_secret": requested["challenge_secret"] + "="},
        requested | {"challenge_id": new_id("ch")},
    ):
        assert is_rejected(await user.redeem(wrong), 400, "no_active_challenge")

    assert (await user.redeem(requested)).status_code == 200


async def test_confirmed_link_is_rejected_at_another_tenant(user: LinkUser) -> None:
    requested = await user.ask()
    await user.confirm()
    other_address = LinkUser([user.api], user.tenant, user.server, new_address())
    verifier, challenge = pkce()
    await other_address.ask(redirect_to=CALLBACK, code_challenge=challenge)
    code = code_in(await other_address.confirm())
    other = await user.api.tenant()

    for key in (other["api_key"], other["secret_key"], user.tenant["test_key"]):
        assert is_rejected(await user.redeem(requested, key), 400, "no_active_challenge")
        assert is_rejected(await user.exchange(code, verifier, key), 400, "no_active_challenge")

    assert (await user.redeem(requested)).status_code == 200
    assert (await user.exchange(code, verifier)).status_code == 200


async def test_ban_is_reported_at_redemption_only(user: LinkUser, database: asyncpg.Connection) -> None:
    await user.ask(mode="both")
    login = (await user.verify(user.mail.code)).json()
    await user.api.ban(user.tenant, login["user_id"])

    requested = await user.ask()
    assert (await user.confirm()).status_code == 200

    assert is_rejected(await user.redeem(requested), 403, "user_banned")
    assert is_rejected(await user.redeem(requested), 400, "no_active_challenge")
    assert await sessions_of(database, user) == 1


async def test_known_and_unknown_addresses_get_the_same_responses(user: LinkUser) -> None:
    known = await user.ask()
    await user.confirm()
    await user.redeem(known)
    stranger = LinkUser([user.api], user.tenant, user.server, new_address())

    seen = []
    for who in (user, stranger):
        requested = await who.request()
        pending = await who.redeem(requested.json())
        page, confirmed = await who.open(), await who.confirm()
        varying = {"challenge_id": "", "challenge_secret": "", "destination": ""}
        seen.append(
            (
                requested.json() | varying,
                pending.json() | {"request_id": ""},
                page.text,
                confirmed.text,
                set(requested.json()),
            )
        )
    assert seen[0] == seen[1]


async def test_no_link_token_secret_or_code_is_stored_or_logged(user: LinkUser, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    stranger = LinkUser([user.api], user.tenant, user.server, new_address())
    requested = await stranger.ask(mode="both")
    await user.ask(mode="both", redirect_to=CALLBACK, code_challenge=challenge)
    link = user.path
    await user.open()
    code = code_in(await user.confirm())
    await user.exchange(code, verifier)

    tables = ("links", "identifiers", "challenges", "messages", "events", "sessions")
    rows = [await database.fetch(f"select t::text from {table} t") for table in tables]
    everything = "\n".join(row[0] for found in rows for row in found) + await user.api.log()
    for secret in (link.rpartition("/")[2], requested["challenge_secret"], code, verifier):
        assert secret not in everything
        assert secret.encode().hex() not in everything


async def test_outbox_resends_the_same_link(user: LinkUser, database: asyncpg.Connection) -> None:
    requested = await user.ask()
    first = user.mail
    await database.execute(
        "update messages set state = 'queued', trying = null, provider = null, attention_at = now()"
        " where tenant_id = $1",
        user.tenant["tenant_id"],
    )

    await user.api.services.outbox.run_once()

    assert user.mail is not first
    assert user.mail.part("plain") == first.part("plain")
    await user.confirm()
    assert (await user.redeem(requested)).status_code == 200


@pytest.mark.parametrize(
    "grant",
    [
        {},
        {"grant_type": "password"},
        {"grant_type": "challenge"},
        {"grant_type": "authorization_code", "code": "x"},
        {"grant_type": "authorization_code", "code": "x", "code_verifier": "short"},
        {"grant_type": "challenge", "challenge_id": "ch_x", "challenge_secret": "x"},
    ],
)
async def test_invalid_grant_is_rejected(user: LinkUser, grant: dict[str, Any]) -> None:
    assert is_rejected(await user.token(**grant), 422, "validation_failed")


async def test_sandbox_sends_no_email_and_accepts_the_code(user: LinkUser) -> None:
    key = user.tenant["test_key"]
    requested = await user.api.post("/api/auth/request", {"email": user.email, "mode": "both"}, key)

    assert requested.status_code == 200
    assert is_rejected(await user.redeem(requested.json(), key), 400, "authorization_pending")
    answered = await user.api.post("/api/auth/verify", {"email": user.email, "code": "000000"}, key)
    assert answered.status_code == 200
    assert is_rejected(await user.redeem(requested.json(), key), 400, "no_active_challenge")
    assert user.server.sent_to(user.email) == []


async def test_redirecting_link_has_no_challenge_secret(user: LinkUser) -> None:
    requested = await user.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])

    assert "challenge_secret" not in requested
