"""Insert rows of old logins."""

import asyncpg

CHALLENGE = """
insert into challenges (tenant_id, id, identifier, channel, expires_at)
values ($1, $2, '+15551234567', 'sms', now() - $3::text::interval)
"""
MESSAGE = """
insert into messages (tenant_id, id, challenge_id, identifier, channel, created_at, state)
values ($1, $2, 'ch_1', '+15551234567', 'sms', now() - $3::text::interval, $4)
"""
USER = "insert into users (tenant_id, id) values ($1, $2) on conflict do nothing"
SESSION = """
insert into sessions (tenant_id, id, user_id, expires_at, revoked_at)
values ($1, $2, $3, now() - $4::text::interval, now() - $5::text::interval)
"""
LINK = """
insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, secret_digest, with_code, expires_at)
values ($1, $2, 'ch_1', 'a@b.co', sha256(convert_to($1 || $2, 'UTF8')), '\\x00', false, now() - $3::text::interval)
"""
IDENTIFIER = """
insert into identifiers (tenant_id, identifier, type, user_id, sent_at, wrong_at, unnamed_locked_until)
values ($1, $2, 'phone', $3, array_remove(array[now() - $4::text::interval], null),
  array_remove(array[now() - $5::text::interval], null), now() - $6::text::interval)
"""

LOGIN = """
insert into logins (tenant_id, id, browser_digest, expires_at, code_number)
values ($1, $2, convert_to($5, 'UTF8'), now() - $3::text::interval, $4)
"""
GRANT = """
insert into grants (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at,
  revoked_at)
values ($1, $2, 'app_1', 'usr_1', 'ses_1', '{}', '{}', now(), now() - $3::text::interval, now() - $4::text::interval)
"""
CONSENT = """
insert into consents (tenant_id, user_id, client_id, scopes, revoked_at)
values ($1, $2, 'app_1', '{}', now() - $3::text::interval)
"""
APPLICATION = """
insert into applications (tenant_id, id, name, kind) values ($1, 'app_1', 'Shop', 'web') on conflict do nothing
"""
IDEMPOTENCY = """
insert into idempotency (tenant_id, route, digest, body_digest, claim_id, claimed_at)
values ($1, $2, '\\x00', '\\x00', 'msg_1', now() - $3::text::interval)
"""
SPENDING = """
insert into spending (tenant_id, day, country, channel, slot, messages, microdollars)
values ($1, (now() at time zone 'UTC')::date - $3::text::interval, $2, 'sms', 1, 1, 10000)
"""
BUDGET = "insert into budgets (tenant_id, day, messages, microdollars) values ($1, now(), 1, 10000)"


async def make_challenge(connection: asyncpg.Connection, tenant: str, name: str, age: str) -> None:
    await connection.execute(CHALLENGE, tenant, name, age)


async def make_message(connection: asyncpg.Connection, tenant: str, name: str, age: str, state: str) -> None:
    await connection.execute(MESSAGE, tenant, name, age, state)


async def make_link(connection: asyncpg.Connection, tenant: str, name: str, age: str) -> None:
    await connection.execute(LINK, tenant, name, age)


async def make_session(
    connection: asyncpg.Connection, tenant: str, name: str, expired: str, revoked: str | None
) -> None:
    await connection.execute(USER, tenant, "usr_1")
    await connection.execute(SESSION, tenant, name, "usr_1", expired, revoked)


async def make_identifier(
    connection: asyncpg.Connection,
    tenant: str,
    name: str,
    sent: str | None,
    wrong: str | None,
    locked: str | None,
    user: str | None,
) -> None:
    if user is not None:
        await connection.execute(USER, tenant, user)
    await connection.execute(IDENTIFIER, tenant, name, user, sent, wrong, locked)


async def make_idempotency(connection: asyncpg.Connection, tenant: str, name: str, age: str) -> None:
    await connection.execute(IDEMPOTENCY, tenant, name, age)


async def make_spending(connection: asyncpg.Connection, tenant: str, name: str, age: str) -> None:
    await connection.execute(SPENDING, tenant, name, age)


async def make_hosted_login(
    connection: asyncpg.Connection, tenant: str, name: str, expired: str, code: int, browser: str = "1"
) -> None:
    await connection.execute(LOGIN, tenant, name, expired, code, browser)


async def make_grant(connection: asyncpg.Connection, tenant: str, name: str, expired: str, revoked: str | None) -> None:
    await connection.execute(APPLICATION, tenant)
    await connection.execute(GRANT, tenant, name, expired, revoked)


async def make_consent(connection: asyncpg.Connection, tenant: str, name: str, revoked: str | None) -> None:
    await connection.execute(APPLICATION, tenant)
    await connection.execute(CONSENT, tenant, name, revoked)
