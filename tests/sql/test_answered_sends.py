"""The numbers of answered codes and of unanswered sends of an identifier."""

from typing import Any

import asyncpg

from auth1.core.ids import new_id
from tests.sql.test_functions import delivery, new_phones, open_all, opening, record_all, submission, submit_all

COUNTS = "select answered, unanswered from identifiers where tenant_id = $1"


async def counts(connection: asyncpg.Connection, tenant: str) -> tuple[int, int]:
    row = await connection.fetchrow(COUNTS, tenant)
    assert row is not None
    return row["answered"], row["unanswered"]


async def send(connection: asyncpg.Connection, tenant: str, phone: str, times: int = 1, **values: Any) -> None:
    """Send codes without waits."""
    for _ in range(times):
        values = {"first_wait": 0, "sends_per_hour": 100} | values
        [opened] = await open_all(connection, opening(tenant, phone, **values))
        assert opened["verdict"] in ("opened", "repeated")


async def test_sends_are_unanswered_until_a_right_code(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)

    await send(connection, tenant, phone)
    assert await counts(connection, tenant) == (0, 1)
    await send(connection, tenant, phone)
    assert await counts(connection, tenant) == (0, 2)

    assert await submit_all(connection, submission(tenant, phone, b"wrong")) == ["wrong"]
    assert await counts(connection, tenant) == (0, 2)
    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]
    assert await counts(connection, tenant) == (1, 0)


async def test_right_code_settles_at_most_two_sends(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)

    await send(connection, tenant, phone, 5)
    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]

    assert await counts(connection, tenant) == (1, 3)


async def test_right_code_after_an_hour_settles_one_send(connection: asyncpg.Connection) -> None:
    """The identifier's earlier sends belong to other logins."""
    tenant, [phone] = new_id("tn"), new_phones(1)
    await send(connection, tenant, phone, 3)
    await connection.execute(
        "update identifiers set sent_at = array[now() - interval '2 hours'], code_mac = null where tenant_id = $1",
        tenant,
    )

    await send(connection, tenant, phone)
    assert await submit_all(connection, submission(tenant, phone)) == ["ok"]

    assert await counts(connection, tenant) == (1, 3)


async def test_refunded_send_is_not_counted(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)
    message_id = new_id("msg")
    await send(connection, tenant, phone)
    await send(connection, tenant, phone, message_id=message_id, provider="twilio")

    assert await record_all(connection, delivery(tenant, message_id, state="failed", refunds_send=True)) == {message_id}

    assert await counts(connection, tenant) == (0, 1)


async def test_suppressed_send_is_not_counted(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)

    await send(connection, tenant, phone, 2, is_suppressed=True)

    assert await counts(connection, tenant) == (0, 0)


async def test_code_of_another_purpose_is_not_counted_as_answered_by_sending(connection: asyncpg.Connection) -> None:
    tenant, [phone] = new_id("tn"), new_phones(1)

    await send(connection, tenant, phone, purpose="identifier:ses_1")
    await send(connection, tenant, phone, purpose="identifier:ses_1")

    assert await counts(connection, tenant) == (0, 2)
