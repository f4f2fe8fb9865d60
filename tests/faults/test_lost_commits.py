"""The database commits and the connection is lost before its reply: each effect happens once."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from tests.conftest import new_phone
from tests.faults.conftest import Launcher
from tests.faults.relay import Relay
from tests.support.elapsed import end_resend_delay
from tests.support.process import Auth1, until
from tests.support.providers.twilio import TwilioServer

OPEN_CHALLENGE = "open_challenges("  # parts of the statements that no other statement has
ANSWER_CHALLENGE = "submit_codes("
RECORD_DELIVERY = "record_deliveries("
PROVE_IDENTIFIER = "prove_identifier("
CHANGE_METADATA = "as merged"
CLAIM_KEY = "insert into idempotency as k"
RELEASE_KEY = "delete from idempotency"
EMAIL = {"email": "user@example.com"}


@pytest.fixture(scope="module")
async def relay(own_database_url: str) -> AsyncIterator[Relay]:
    async with Relay(own_database_url) as relay:
        yield relay


@pytest.fixture(scope="module")
async def server(module_launcher: Launcher, relay: Relay) -> AsyncIterator[Auth1]:
    async with module_launcher(DATABASE_URL=relay.url) as running:
        yield running


async def count(database: asyncpg.Connection, table: str, phone: str) -> int:
    by = {
        "messages": "identifier = $1",
        "challenges": "identifier = $1",
        "sessions": "user_id = (select user_id from identifiers where identifier = $1)",
        "users": "id = (select user_id from identifiers where identifier = $1)",
    }
    return int(await database.fetchval(f"select count(*) from {table} where {by[table]}", phone))


async def test_lost_commit_of_a_code_request_creates_one_row_and_one_message(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    lost = relay.lose_answer(OPEN_CHALLENGE)

    requested = await server.ask(phone, key)

    assert lost.caught.is_set()
    assert (requested.status_code, requested.json()["status"]) == (200, "sent"), requested.text
    assert len(carrier.sent_to(phone)) == 1
    assert await count(database, "messages", phone) == 1
    assert await count(database, "challenges", phone) == 1
    row = await database.fetchrow("select * from identifiers where identifier = $1", phone)
    assert row is not None
    assert (len(row["sent_at"]), row["challenge_ids"]) == (1, [requested.json()["challenge_id"]])
    opened = "select count(*) from events where type = 'challenge.opened' and subject = $1"
    assert await database.fetchval(opened, requested.json()["challenge_id"]) == 1

    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


async def test_lost_commit_counts_once_and_keeps_the_idempotency_key(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant(messages_per_day=2)
    headers = {"x-api-key": tenant["api_key"], "idempotency-key": "one"}
    assert (await server.ask(new_phone(), tenant["api_key"])).status_code == 200, "the budget has its row"
    lost = relay.lose_answer(OPEN_CHALLENGE)

    requested = await server.client.post("/api/auth/request", json={"phone": phone}, headers=headers)

    assert lost.caught.is_set()
    assert requested.status_code == 200, requested.text
    assert (
        await server.client.post("/api/auth/request", json={"phone": phone}, headers=headers)
    ).text == requested.text
    assert len(carrier.sent_to(phone)) == 1
    assert await database.fetchval("select messages from budgets where tenant_id = $1", tenant["tenant_id"]) == 2
    assert await database.fetchval("select sum(messages) from spending where tenant_id = $1", tenant["tenant_id"]) == 2


async def test_lost_commit_of_a_resend_creates_one_message(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    await end_resend_delay(database, phone)
    relay.lose_answer(OPEN_CHALLENGE)

    requested = await server.ask(phone, key)

    assert (requested.status_code, requested.json()["resend_after"]) == (200, 60)
    first, again = carrier.sent_to(phone)
    assert first == again
    assert await count(database, "messages", phone) == 2
    assert await database.fetchval("select sends from identifiers where identifier = $1", phone) == 2


async def test_lost_commit_of_a_verification_creates_one_session(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    for is_new_user, sessions in ((True, 1), (False, 2)):
        await server.ask(phone, key)
        lost = relay.lose_answer(ANSWER_CHALLENGE)

        answered = await server.answer(phone, carrier.code_for(phone), key)

        assert lost.caught.is_set()
        assert answered.status_code == 200, answered.text
        assert answered.json()["is_new_user"] is is_new_user
        assert await count(database, "sessions", phone) == sessions
        assert await count(database, "users", phone) == 1
        session = await database.fetchval("select user_id from sessions where id = $1", answered.json()["session_id"])
        assert session == answered.json()["user_id"]


async def test_lost_commit_of_a_wrong_code_spends_one_attempt(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    await server.ask(phone, key)
    wrong = f"{(int(carrier.code_for(phone)) + 1) % 1_000_000:06}"
    lost = relay.lose_answer(ANSWER_CHALLENGE)

    answered = await server.answer(phone, wrong, key)

    assert lost.caught.is_set()
    assert (answered.status_code, answered.json()["code"]) == (400, "invalid_code"), answered.text
    assert answered.json()["attempts_remaining"] == 4
    assert await database.fetchval("select code_attempts from identifiers where identifier = $1", phone) == 1
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200


async def test_lost_commit_of_a_banned_user_is_rejected(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    key = tenant["api_key"]
    await server.ask(phone, key)
    user_id = (await server.answer(phone, carrier.code_for(phone), key)).json()["user_id"]
    ban = f"/api/admin/tenants/{tenant['tenant_id']}/users/{user_id}/ban"
    assert (await server.operator("POST", ban, {})).status_code == 200
    await server.ask(phone, key)
    lost = relay.lose_answer(ANSWER_CHALLENGE)

    answered = await server.answer(phone, carrier.code_for(phone), key)

    assert lost.caught.is_set()
    assert (answered.status_code, answered.json()["code"]) == (403, "user_banned")
    assert await count(database, "sessions", phone) == 1


async def test_lost_commit_of_a_delivery_record_changes_nothing(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    lost = relay.lose_answer(RECORD_DELIVERY)

    requested = await server.ask(phone, key)

    assert lost.caught.is_set()
    assert (requested.status_code, requested.json()["status"]) == (200, "sent")
    assert await database.fetchval("select state from messages where identifier = $1", phone) == "sent"
    assert len(carrier.sent_to(phone)) == 1


async def test_lost_commit_of_a_proof_changes_the_number_once(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    key = (await server.tenant())["api_key"]
    tokens = []
    for _ in range(2):
        await server.ask(phone, key)
        tokens.append((await server.answer(phone, carrier.code_for(phone), key)).json()["token"])
    other, mine = ({"x-api-key": key, "authorization": f"Bearer {token}"} for token in tokens)
    new = new_phone()
    path = "/api/auth/me/identifiers"
    assert (await server.client.get("/api/auth/me", headers=other)).status_code == 200
    assert (await server.client.post(path, json={"phone": new}, headers=mine)).status_code == 200
    lost = relay.lose_answer(PROVE_IDENTIFIER)

    proof = {"phone": new, "code": carrier.code_for(new)}
    proved = await server.client.post(f"{path}/verify", json=proof, headers=mine)

    assert lost.caught.is_set()
    assert (proved.status_code, proved.json()) == (200, {"type": "phone", "value": new})
    assert (await server.client.get("/api/auth/me", headers=mine)).json()["phone"] == new
    assert (await server.client.get("/api/auth/me", headers=other)).status_code == 401
    changed = "select count(*) from events where type = 'identifier.changed' and subject = $1"
    assert await database.fetchval(changed, await owner_of(database, new)) == 1


async def owner_of(database: asyncpg.Connection, phone: str) -> str:
    return str(await database.fetchval("select user_id from identifiers where identifier = $1", phone))


async def test_statement_lost_before_execution_is_retried(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection
) -> None:
    key = (await server.tenant())["api_key"]
    phone = new_phone()
    relay.hold(OPEN_CHALLENGE).cut()
    relay.hold(ANSWER_CHALLENGE).cut()

    assert (await server.ask(phone, key)).status_code == 200
    assert (await server.answer(phone, carrier.code_for(phone), key)).status_code == 200

    assert len(carrier.sent_to(phone)) == 1
    assert await count(database, "sessions", phone) == 1


async def log_in(server: Auth1, carrier: TwilioServer, tenant: dict[str, Any], phone: str) -> dict[str, str]:
    """Return the headers of a new session."""
    key = tenant["api_key"]
    assert (await server.ask(phone, key)).status_code == 200
    token = (await server.answer(phone, carrier.code_for(phone), key)).json()["token"]
    return {"x-api-key": key, "authorization": f"Bearer {token}"}


async def test_lost_commit_of_metadata_is_found_and_logged_once(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    session = await log_in(server, carrier, tenant, phone)
    lost = relay.lose_answer(CHANGE_METADATA)

    changed = await server.client.patch("/api/auth/me", json={"user_metadata": {"a": 1}}, headers=session)

    assert lost.caught.is_set()
    assert (changed.status_code, changed.json()["user_metadata"]) == (200, {"a": 1}), changed.text
    events = await database.fetch(
        "select id from events where tenant_id = $1 and type = 'user.updated'", tenant["tenant_id"]
    )
    assert len(events) == 1
    await until(lambda: events[0]["id"] in server.text())
    assert server.text().count(events[0]["id"]) == 1, "the event is in the log"


async def test_lost_commit_of_metadata_keeps_a_later_change(
    server: Auth1, relay: Relay, carrier: TwilioServer, database: asyncpg.Connection, phone: str
) -> None:
    tenant = await server.tenant()
    session = await log_in(server, carrier, tenant, phone)
    held = relay.hold_answer(CHANGE_METADATA)
    first = asyncio.create_task(
        server.client.patch("/api/auth/me", json={"user_metadata": {"a": 1, "b": 1}}, headers=session)
    )
    await held.caught.wait()
    later = await server.client.patch("/api/auth/me", json={"user_metadata": {"a": 2}}, headers=session)
    held.cut()

    assert (later.status_code, later.json()["user_metadata"]) == (200, {"a": 2, "b": 1}), later.text
    changed = await first
    assert (changed.status_code, changed.json()["user_metadata"]) == (200, {"a": 2, "b": 1}), changed.text
    stored = "select user_metadata::text from users where tenant_id = $1"
    assert json.loads(await database.fetchval(stored, tenant["tenant_id"])) == {"a": 2, "b": 1}


async def test_lost_commit_of_an_idempotency_key_runs_the_request_once(server: Auth1, relay: Relay) -> None:
    tenant = await server.tenant()
    headers = {"x-api-key": tenant["secret_key"], "idempotency-key": "one"}
    lost = relay.lose_answer(CLAIM_KEY)

    created = await server.client.post("/api/tenant/users", json={"external_id": "1", **EMAIL}, headers=headers)
    repeated = await server.client.post("/api/tenant/users", json={"external_id": "1", **EMAIL}, headers=headers)

    assert lost.caught.is_set()
    assert created.status_code == 201, created.text
    assert (repeated.status_code, repeated.text) == (201, created.text)
    assert repeated.headers["idempotent-replayed"] == "true"


async def test_lost_commit_of_a_released_key_returns_the_error_of_the_request(server: Auth1, relay: Relay) -> None:
    tenant = await server.tenant()
    headers = {"x-api-key": tenant["secret_key"], "idempotency-key": "one"}
    lost = relay.lose_answer(RELEASE_KEY)

    rejected = await server.client.post("/api/tenant/users", json={"phone": "+1"}, headers=headers)
    created = await server.client.post("/api/tenant/users", json=EMAIL, headers=headers)

    assert lost.caught.is_set()
    assert (rejected.status_code, rejected.json()["code"]) == (422, "invalid_phone"), rejected.text
    assert created.status_code == 201, created.text
