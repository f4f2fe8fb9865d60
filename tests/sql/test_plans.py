"""How the statements of the main job find their rows once the tables are large."""

import re

import asyncpg

from auth1.core.ids import new_id
from auth1.core.postgres import Queries

FILL = """insert into messages (tenant_id, id, challenge_id, identifier, channel, state, provider)
          select $1, 'msg_' || n, 'ch_' || n, '+15551234567', 'sms', 'sent', 'twilio'
          from generate_series(1, 20000) as n"""


async def test_a_delivery_is_written_to_its_message_and_none_of_those_that_others_are_trying_is_read(
    connection: asyncpg.Connection,
) -> None:
    statement = Queries("messaging")["record_delivery"].text
    transaction = connection.transaction()
    await transaction.start()
    await connection.execute(FILL, new_id("tn"))
    await connection.execute("analyze messages")
    await connection.execute(f"set local plan_cache_mode = force_generic_plan; prepare record_it as {statement}")

    values = ", ".join(["null"] * max(map(int, re.findall(r"\$(\d+)", statement))))
    plan = "\n".join(row[0] for row in await connection.fetch(f"explain execute record_it ({values})"))

    await connection.execute("deallocate record_it")
    await transaction.rollback()
    assert "using messages_pkey on messages m " in plan, plan
    assert "messages_trying" not in plan, plan
