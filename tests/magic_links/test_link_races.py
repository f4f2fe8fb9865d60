"""Races of a code, a link and their redemptions: at most one session is created."""

from collections import Counter
from collections.abc import Awaitable
from typing import Any

import asyncpg
import httpx
import pytest

from auth1.core.crypto import digest
from auth1.core.ids import new_id
from auth1.core.postgres import Queries
from auth1.dev.postgres import PostgresServer
from auth1.magic_links import store
from auth1.magic_links.store import Confirmed, ConfirmLink
from tests.magic_links.user import (
    CALLBACK,
    LinkUser,
    at_a_barrier,
    code_in,
    is_expired_page,
    is_rejected,
    new_address,
    pkce,
    sessions_of,
)
from tests.support.api_client import ApiClient
from tests.support.elapsed import end_resend_delay
from tests.support.providers.smtp import SmtpServer


async def test_one_of_fifty_concurrent_confirmations_succeeds(user: LinkUser) -> None:
    await user.ask(redirect_to=CALLBACK, code_challenge=pkce()[1])
    path = user.path

    answers = await at_a_barrier(50, lambda: user.confirm(path))

    assert Counter(answer.status_code for answer in answers) == Counter({303: 1, 400: 49})


@pytest.mark.parametrize("by_code", [True, False])
async def test_one_of_fifty_concurrent_redemptions_creates_a_session(
    user: LinkUser, database: asyncpg.Connection, by_code: bool
) -> None:
    verifier, challenge = pkce()
    requested = await user.ask(**({"redirect_to": CALLBACK, "code_challenge": challenge} if by_code else {}))
    confirmed = await user.confirm()

    answers = await at_a_barrier(
        50, lambda: user.exchange(code_in(confirmed), verifier) if by_code else user.redeem(requested)
    )

    assert Counter(answer.status_code for answer in answers) == Counter({200: 1, 400: 49})
    assert await sessions_of(database, user) == 1


async def test_redirecting_link_rejects_the_challenge_grant(user: LinkUser, database: asyncpg.Connection) -> None:
    verifier, challenge = pkce()
    requested = await user.ask(redirect_to=CALLBACK, code_challenge=challenge) | {"challenge_secret": "guessed"}
    assert is_rejected(await user.redeem(requested), 400, "no_active_challenge")  # not `authorization_pending`
    code = code_in(await user.confirm())

    answers = await at_a_barrier(10, lambda: user.redeem(requested), lambda: user.exchange(code, verifier))

    assert Counter(answer.status_code for answer in answers) == Counter({400: len(answers) - 1, 200: 1})
    assert all(is_rejected(answer, 400, "no_active_challenge") for answer in answers[::2])
    assert await sessions_of(database, user) == 1


async def test_secret_of_an_older_release_redeems_no_redirecting_link(
    user: LinkUser, database: asyncpg.Connection
) -> None:
    verifier, challenge = pkce()
    requested = await user.ask(redirect_to=CALLBACK, code_challenge=challenge) | {"challenge_secret": "older"}
    older = "update links set secret_digest = $1 where tenant_id = $2"
    await database.execute(older, digest("older"), user.tenant["tenant_id"])
    code = code_in(await user.confirm())

    assert is_rejected(await user.redeem(requested), 400, "no_active_challenge")

    assert (await user.exchange(code, verifier)).status_code == 200


async def test_code_and_link_together_create_one_session(
    mail_api: ApiClient, mail_server: SmtpServer, database: asyncpg.Connection
) -> None:
    for _ in range(10):
        tenant = await mail_api.tenant()
        user = LinkUser([mail_api], tenant, mail_server, new_address())
        requested = await user.ask(mode="both")
        code, path = user.mail.code, user.path

        async def by_link(
            user: LinkUser = user, path: str = path, requested: dict[str, Any] = requested
        ) -> httpx.Response:
            await user.confirm(path)
            return await user.redeem(requested)

        async def by_code(user: LinkUser = user, code: str = code) -> httpx.Response:
            return await user.verify(code)

        answers = await at_a_barrier(4, by_link, by_code)

        assert Counter(answer.status_code for answer in answers)[200] == 1
        assert await sessions_of(database, user) == 1


async def test_confirmed_link_invalidates_the_code_and_vice_versa(user: LinkUser) -> None:
    requested = await user.ask(mode="both")
    code = user.mail.code
    assert (await user.confirm()).status_code == 200
    assert is_rejected(await user.verify(code), 400, "no_active_challenge")
    assert is_rejected(await user.verify(code, challenge_id=requested["challenge_id"]), 400, "no_active_challenge")

    again = await user.ask(mode="both")
    assert (await user.verify(user.mail.code)).status_code == 200
    assert is_expired_page(await user.open())
    assert is_expired_page(await user.confirm())
    assert is_rejected(await user.redeem(again), 400, "no_active_challenge")


async def test_confirming_creates_no_session(user: LinkUser, database: asyncpg.Connection) -> None:
    await user.ask()

    await user.confirm()

    assert await sessions_of(database, user) == 0
    assert await database.fetchval("select count(*) from users where tenant_id = $1", user.tenant["tenant_id"]) == 0


async def test_confirming_one_of_two_links_ends_both(user: LinkUser, database: asyncpg.Connection) -> None:
    first = await user.ask()
    first_path = user.path
    await end_resend_delay(database, user.email)
    second = await user.ask()
    second_path = user.path
    assert first_path != second_path

    assert (await user.confirm(first_path)).status_code == 200

    assert is_expired_page(await user.confirm(second_path))
    assert is_rejected(await user.redeem(second), 400, "no_active_challenge")
    assert (await user.redeem(first)).status_code == 200


async def test_confirmation_with_a_lost_commit_is_found_again(user: LinkUser, database: asyncpg.Connection) -> None:
    await user.ask()
    postgres, token_digest = user.api.services.postgres, digest(user.path.rpartition("/")[2])
    event_ids = [new_id("evt") for _ in range(3)]

    def confirm(grant_digest: bytes, event_id: str) -> Awaitable[Confirmed | None]:
        return store.confirm_link(postgres, ConfirmLink(token_digest, grant_digest, event_id, "link", None, None))

    first = await confirm(b"mine", event_ids[0])
    again = await confirm(b"mine", event_ids[1])
    other = await confirm(b"another's", event_ids[2])

    assert first is not None
    assert again is not None
    assert again[:-1] == first[:-1]
    assert other is None
    found = await database.fetch("select id from events where id = any($1::text[])", event_ids)
    assert [row["id"] for row in found] == event_ids[:1]


async def test_redemption_with_a_lost_commit_is_found_again(user: LinkUser, database: asyncpg.Connection) -> None:
    requested = await user.ask()
    await user.confirm()
    redeemed = (await user.redeem(requested)).json()
    [(subject, event_id)] = await database.fetch(
        "select subject, id from events where tenant_id = $1 and type = 'challenge.answered'",
        user.tenant["tenant_id"],
    )

    found = await user.api.services.postgres.row(
        Queries("links")["find_redemption"], user.tenant["tenant_id"], event_id, "evt_none"
    )

    assert found is not None
    assert tuple(found)[:-1] == ("ok", subject, user.email, redeemed["user_id"], True)
    assert event_id in found["events"]


async def test_confirmations_and_logins_do_not_deadlock(user: LinkUser, postgres_server: PostgresServer) -> None:
    beginning = postgres_server.log.stat().st_size
    for _ in range(5):
        requested = await user.ask(mode="both")
        code, path = user.mail.code, user.path

        async def confirm(path: str = path) -> httpx.Response:
            return await user.confirm(path)

        async def verify(code: str = code) -> httpx.Response:
            return await user.verify(code)

        async def redeem(requested: dict[str, Any] = requested) -> httpx.Response:
            return await user.redeem(requested)

        await at_a_barrier(5, confirm, verify, redeem)

    assert b"deadlock detected" not in postgres_server.log.read_bytes()[beginning:]
