"""The SQL rules of the next code and of a tenant's budget, called with row literals."""

import json
from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from tests.sql.test_functions import BOX, MAC, new_phones, open_all, opening
from tests.sql.test_rules import MICROSECOND, NO_CODE, live_code

OTHER_SECRET = b"othr" + b"b" * 36
OLD = "'\\x6f6c64'::bytea"  # the MAC of the live code


def live(**changes: Any) -> str:
    """Return the literal of a live code that the accepted secret encrypted."""
    fields: dict[str, Any] = {"mac": OLD, "box": f"'{BOX.decode()}'::bytea"}
    return live_code(**(fields | changes))


async def next_code(rules: asyncpg.Connection, code: str, **request: Any) -> Any:
    sql = f"""select c.*, extract(epoch from c.expires_at - now())::float8 as seconds
        from next_code({code}, $1::open_challenge) as c"""
    return await rules.fetchrow(sql, opening("tn_1", "+15550100", challenge_id="ch_3", **request))


@pytest.mark.parametrize(
    ("code", "is_new"),
    [
        pytest.param(NO_CODE, True, id="no code"),
        pytest.param(live(), False, id="live code"),
        pytest.param(
            live(expires_at=f"now() + interval '2 minutes' + {MICROSECOND}"), False, id="over two minutes left"
        ),
        pytest.param(live(expires_at="now() + interval '2 minutes'"), True, id="two minutes left"),
        pytest.param(live(expires_at=f"now() - {MICROSECOND}"), True, id="expired by a microsecond"),
        pytest.param(live(attempts=4), False, id="one attempt left"),
        pytest.param(live(attempts=5), True, id="no attempt left"),
        pytest.param(live(box=f"'{OTHER_SECRET.decode()}'::bytea"), True, id="encrypted under a withdrawn secret"),
        pytest.param(live(mac="''::bytea"), True, id="suppressed code for a user"),
    ],
)
async def test_live_code_is_sent_again_while_it_is_usable(rules: asyncpg.Connection, code: str, is_new: bool) -> None:
    result = await next_code(rules, code)

    assert (result["mac"], result["attempts"] == 0) == (MAC, True) if is_new else result["mac"] == b"old"
    assert (result["seconds"] == 600) is is_new


async def test_suppressed_request_gets_a_code_that_matches_nothing(rules: asyncpg.Connection) -> None:
    first = await next_code(rules, NO_CODE, is_suppressed=True)
    again = await next_code(rules, live(mac="''::bytea"), is_suppressed=True)
    replaced = await next_code(rules, live(), is_suppressed=True)

    assert [one["mac"] for one in (first, again, replaced)] == [b""] * 3
    assert [one["seconds"] for one in (first, again, replaced)] == [600, 300, 600]


@pytest.mark.parametrize(
    ("code", "repeat_id", "challenges", "attempts"),
    [
        pytest.param(NO_CODE, None, ["ch_3"], [0], id="no code"),
        pytest.param(live(expires_at="now()"), "ch_old", ["ch_3"], [0], id="expired code"),
        pytest.param(live(), None, ["ch_3", "ch_new", "ch_old"], [0, 1, 2], id="live code"),
        pytest.param(live(attempts=5), None, ["ch_3", "ch_new", "ch_old"], [0, 1, 2], id="replaced code"),
        pytest.param(live(), "ch_old", ["ch_new", "ch_old"], [1, 2], id="repeated challenge"),
        pytest.param(
            live(), "ch_other", ["ch_3", "ch_new", "ch_old"], [0, 1, 2], id="repeated challenge of another code"
        ),
        pytest.param(
            live(challenge_attempts="array[1, 5]"),
            "ch_old",
            ["ch_3", "ch_new", "ch_old"],
            [0, 1, 5],
            id="repeated challenge without attempts",
        ),
    ],
)
async def test_code_keeps_the_challenges_of_the_live_one(
    rules: asyncpg.Connection, code: str, repeat_id: str | None, challenges: list[str], attempts: list[int]
) -> None:
    code = code.replace("array[0, 0]", "array[1, 2]")

    result = await next_code(rules, code, repeat_id=repeat_id)

    assert (result["challenge_ids"], result["challenge_attempts"]) == (challenges, attempts)


async def test_code_keeps_its_ten_newest_challenges(rules: asyncpg.Connection) -> None:
    ids = ", ".join(f"'ch_{number}'" for number in range(100, 110))
    code = live(challenge_ids=f"array[{ids}]", challenge_attempts="array_fill(1, array[10])")

    result = await next_code(rules, code)

    assert result["challenge_ids"] == ["ch_3", *(f"ch_{number}" for number in range(100, 109))]
    assert result["challenge_attempts"] == [0, *[1] * 9]


async def charge(
    rules: asyncpg.Connection, *, spent: int = 0, sent: int = 1, rejection: str | None = None, marks: str = "{}"
) -> tuple[Any, Any]:
    """Charge a message of 7,900 microdollars; return the event, and the row with its messages, money and marks."""
    tenant = new_id("tn")
    await rules.execute("insert into budgets values ($1, current_date - 1, 90, 90)", tenant)
    request = opening(
        tenant, "+15550100", budget_microdollars=100_000, budget_soft_microdollars=80_000, budget_messages=10
    )
    budget = f"row('{tenant}', current_date, 3, {spent}, '{marks}')::budgets"
    sql = f"select e.id, e.type, e.data from charge_budget({budget}, $1, $2, $3) as e"
    event = await rules.fetchrow(sql, request, sent, rejection)
    stored = "select day = current_date as today, messages, microdollars, told from budgets where tenant_id = $1"
    return event, await rules.fetchrow(stored, tenant)


@pytest.mark.parametrize(
    ("spent", "marks", "is_reported"),
    [(72_099, "{}", False), (72_100, "{}", True), (80_000, "{}", True), (80_000, "{soft}", False)],
)
async def test_soft_mark_of_a_budget_is_reported_once(
    rules: asyncpg.Connection, spent: int, marks: str, is_reported: bool
) -> None:
    event, row = await charge(rules, spent=spent, marks=marks)

    assert (event["type"] == "budget.reached") is is_reported
    assert (row["today"], row["messages"], row["microdollars"]) == (True, 4, spent + 7900)
    assert (row["told"] == ["soft"]) is (is_reported or marks == "{soft}")


@pytest.mark.parametrize(("rejection", "name"), [("messages", "messages_per_day"), ("money", "sms_budget_per_day")])
async def test_rejected_message_costs_nothing_and_is_reported_once(
    rules: asyncpg.Connection, rejection: str, name: str
) -> None:
    event, row = await charge(rules, spent=50_000, sent=0, rejection=rejection)
    again, unchanged = await charge(rules, spent=50_000, sent=0, rejection=rejection, marks=f"{{{rejection}}}")

    data = {"mark": "hard", "budget": name, "messages": 3, "dollars": 0.05}
    assert json.loads(event["data"]) == data
    assert (row["messages"], row["microdollars"], row["told"]) == (3, 50_000, [rejection])
    assert again["id"] is None
    assert (unchanged["today"], unchanged["messages"]) == (False, 90), "the row is not written"


async def test_suppressed_message_costs_nothing(rules: asyncpg.Connection) -> None:
    event, row = await charge(rules, spent=90_000, sent=0)

    assert (event["id"], row["today"], row["messages"]) == (None, False, 90)


@pytest.mark.parametrize(
    ("messages", "microdollars", "price", "verdict"),
    [
        pytest.param(9, 92_100, 7900, "opened", id="the last message and the last cent"),
        pytest.param(10, 0, 7900, "messages", id="no message left"),
        pytest.param(0, 92_101, 7900, "money", id="a millionth too little"),
        pytest.param(0, 100_000, 0, "opened", id="a free message"),
        pytest.param(10, 100_000, 7900, "messages", id="neither left"),
    ],
)
async def test_budget_of_a_day_is_spent_to_the_last_millionth(
    connection: asyncpg.Connection, messages: int, microdollars: int, price: int, verdict: str
) -> None:
    tenant = new_id("tn")
    today = "(now() at time zone 'UTC')::date"
    await connection.execute(f"insert into budgets values ($1, {today}, $2, $3)", tenant, messages, microdollars)
    limits: dict[str, Any] = {"budget_microdollars": 100_000, "budget_messages": 10, "price_microdollars": price}

    [result] = await open_all(connection, opening(tenant, new_phones(1)[0], **limits))

    assert result["verdict"] == verdict
    assert (result["budget_after"] is not None) is (verdict != "opened")
