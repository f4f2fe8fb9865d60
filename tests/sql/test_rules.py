"""The rules of the SQL functions, each called by itself with row literals, at their boundaries.

`now()` is the same throughout a statement, so a boundary is exact to the microsecond.
"""

from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from tests.sql.test_functions import new_phones, open_all, opening, submission, submit_all

MICROSECOND = "interval '1 microsecond'"
HOUR_AGO, DAY_AGO = "now() - interval '1 hour'", "now() - interval '1 day'"
NULL_TIME = "null::timestamptz"


def times(number: int, oldest: str, step: str = "interval '1 second'") -> str:
    """Return an array of times, newest first, of which the last is `oldest`."""
    return f"array(select {oldest} + n * {step} from generate_series({number} - 1, 0, -1) as n)"


def live_code(
    mac: str = "'right'",
    box: str = "'box'",
    expires_at: str = "now() + interval '5 minutes'",
    attempts: int = 0,
    attempts_max: int = 5,
    challenge_ids: str = "array['ch_new', 'ch_old']",
    challenge_attempts: str = "array[0, 0]",
) -> str:
    """Return the literal of a code."""
    fields = (mac, box, expires_at, attempts, attempts_max, challenge_ids, challenge_attempts)
    return f"row({', '.join(str(one) for one in fields)})::live_code"


NO_CODE = "row(null, null, null, null, null, null, null)::live_code"


async def judge(
    rules: asyncpg.Connection,
    code: str,
    *,
    submitted: str = "wrong",
    challenge_id: str | None = None,
    wrong_at: str = "'{}'",
    locked_until: str = NULL_TIME,
    resend_at: str = NULL_TIME,
) -> Any:
    sql = f"""select verdict, place, attempts_remaining, extract(epoch from retry_at - now())::float8 as retry_after
        from judge_attempt({code}, {wrong_at}::timestamptz[], {locked_until}, {resend_at}, $1, $2)"""
    return await rules.fetchrow(sql, [b"of another secret", submitted.encode()], challenge_id)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        pytest.param(NO_CODE, "none", id="no code"),
        pytest.param(live_code(expires_at="now()"), "none", id="expires now"),
        pytest.param(live_code(expires_at=f"now() - {MICROSECOND}"), "none", id="expired by a microsecond"),
        pytest.param(live_code(expires_at=f"now() + {MICROSECOND}"), "ok", id="valid for a microsecond"),
        pytest.param(live_code(expires_at="null"), "none", id="without an expiry"),
        pytest.param(live_code(attempts=4), "ok", id="at the last attempt"),
        pytest.param(live_code(attempts=5), "exhausted", id="after the last attempt"),
        pytest.param(live_code(attempts_max=0), "exhausted", id="attempts lowered to none"),
        pytest.param(live_code(mac="''"), "wrong", id="suppressed code"),
    ],
)
async def test_right_code_is_judged_by_expiry_and_attempts(rules: asyncpg.Connection, code: str, expected: str) -> None:
    assert (await judge(rules, code, submitted="right"))["verdict"] == expected


@pytest.mark.parametrize(
    ("attempts", "expected", "remaining"), [(0, "wrong", 4), (3, "wrong", 1), (4, "wrong", 0), (5, "exhausted", 0)]
)
async def test_wrong_code_leaves_one_attempt_less(
    rules: asyncpg.Connection, attempts: int, expected: str, remaining: int
) -> None:
    judged = await judge(rules, live_code(attempts=attempts))

    assert (judged["verdict"], judged["attempts_remaining"]) == (expected, remaining)


@pytest.mark.parametrize(
    ("challenge_id", "counts", "expected", "place"),
    [
        ("ch_new", "array[4, 5]", "ok", 1),
        ("ch_old", "array[4, 5]", "exhausted", 2),
        ("ch_other", "array[0, 0]", "none", None),
        (None, "array[5, 5]", "ok", None),
    ],
)
async def test_named_challenge_has_attempts_of_its_own(
    rules: asyncpg.Connection, challenge_id: str | None, counts: str, expected: str, place: int | None
) -> None:
    judged = await judge(rules, live_code(challenge_attempts=counts), submitted="right", challenge_id=challenge_id)

    assert (judged["verdict"], judged["place"]) == (expected, place)


async def test_spent_code_does_not_exhaust_the_named_challenge(rules: asyncpg.Connection) -> None:
    code = live_code(attempts=5, challenge_attempts="array[5, 0]")

    assert (await judge(rules, code, submitted="right"))["verdict"] == "exhausted"
    assert (await judge(rules, code, submitted="right", challenge_id="ch_old"))["verdict"] == "ok"


@pytest.mark.parametrize(
    ("wrong_at", "unnamed", "remaining"),
    [
        pytest.param(times(24, f"{HOUR_AGO} + {MICROSECOND}"), "wrong", 0, id="24 in the hour"),
        pytest.param(times(23, f"{HOUR_AGO} + {MICROSECOND}"), "wrong", 1, id="23 in the hour"),
        pytest.param(times(25, f"{HOUR_AGO} + {MICROSECOND}"), "locked", 0, id="exactly 25 in the hour"),
        pytest.param(times(25, HOUR_AGO), "wrong", 0, id="the oldest of 25 an hour ago"),
        pytest.param(times(25, f"{HOUR_AGO} - interval '1 day'"), "wrong", 4, id="25 on the day before"),
    ],
)
async def test_25_wrong_codes_an_hour_lock_callers_that_name_no_challenge(
    rules: asyncpg.Connection, wrong_at: str, unnamed: str, remaining: int
) -> None:
    judged = await judge(rules, live_code(), wrong_at=wrong_at)
    named = await judge(rules, live_code(), wrong_at=wrong_at, challenge_id="ch_old")

    assert (judged["verdict"], judged["attempts_remaining"]) == (unnamed, remaining)
    assert (named["verdict"], named["attempts_remaining"]) == ("wrong", 4)


@pytest.mark.parametrize(
    ("locked_until", "expected"),
    [
        ("now() + interval '24 hours'", "locked"),
        (f"now() + {MICROSECOND}", "locked"),
        ("now()", "ok"),
        (f"now() - {MICROSECOND}", "ok"),
    ],
)
async def test_lock_of_24_hours_ends_to_the_microsecond(
    rules: asyncpg.Connection, locked_until: str, expected: str
) -> None:
    judged = await judge(rules, live_code(), submitted="right", locked_until=locked_until)
    named = await judge(rules, live_code(), submitted="right", locked_until=locked_until, challenge_id="ch_new")

    assert (judged["verdict"], named["verdict"]) == (expected, "ok")


@pytest.mark.parametrize(
    ("code", "wrong_at", "locked_until", "retry_after"),
    [
        pytest.param(live_code(attempts=5), "'{}'", NULL_TIME, 30, id="exhausted: until a code may be sent"),
        pytest.param(
            live_code(), times(25, "now() - interval '50 minutes'"), NULL_TIME, 600, id="budget: its oldest entry"
        ),
        pytest.param(
            live_code(),
            times(25, "now() - interval '50 minutes'"),
            "now() + interval '24 hours'",
            86400,
            id="both: the later one",
        ),
    ],
)
async def test_rejected_attempt_says_when_waiting_helps(
    rules: asyncpg.Connection, code: str, wrong_at: str, locked_until: str, retry_after: int
) -> None:
    judged = await judge(
        rules, code, wrong_at=wrong_at, locked_until=locked_until, resend_at="now() + interval '30 seconds'"
    )

    assert judged["retry_after"] == retry_after


@pytest.mark.parametrize(("kept", "names_challenge", "expected"), [(0, False, 1), (25, False, 25), (25, True, 25)])
async def test_last_25_wrong_codes_without_a_challenge_are_kept(
    rules: asyncpg.Connection, kept: int, names_challenge: bool, expected: int
) -> None:
    before = times(kept, "now() - interval '50 minutes'")
    sql = f"""select cardinality(next_wrong_at) as number, next_wrong_at[1] = now() as is_counted
        from after_wrong_code({before}::timestamptz[], 0, null, $1)"""

    row: Any = await rules.fetchrow(sql, names_challenge)

    assert (row["number"], row["is_counted"]) == (expected, not names_challenge)


@pytest.mark.parametrize(
    ("streak", "expected", "locked_s"), [(0, 1, 60), (98, 99, 60), (99, 0, 86400)], ids=["1st", "99th", "100th"]
)
async def test_100th_wrong_code_in_a_row_locks_and_begins_a_new_streak(
    rules: asyncpg.Connection, streak: int, expected: int, locked_s: int
) -> None:
    sql = """select next_streak, extract(epoch from next_locked_until - now())::int as locked_s
        from after_wrong_code('{}', $1, now() + interval '1 minute', true)"""

    row: Any = await rules.fetchrow(sql, streak)

    assert (row["next_streak"], row["locked_s"]) == (expected, locked_s)


@pytest.mark.parametrize(("unanswered", "sends", "expected"), [(5, 0, 4), (5, 1, 4), (5, 2, 3), (5, 9, 3), (1, 9, 0)])
async def test_right_code_settles_at_most_two_unanswered_sends(
    rules: asyncpg.Connection, unanswered: int, sends: int, expected: int
) -> None:
    sql = "select next_answered, next_unanswered, next_sends, next_streak from after_right_code(7, $1, $2)"

    row: Any = await rules.fetchrow(sql, unanswered, sends)

    assert tuple(row) == (8, expected, 0, 0)


async def test_100th_wrong_code_in_a_row_locks_unnamed_callers_for_24_hours(connection: asyncpg.Connection) -> None:
    tenant, [phone], challenge_id = new_id("tn"), new_phones(1), new_id("ch")
    await open_all(connection, opening(tenant, phone, challenge_id=challenge_id, attempts_max=200))
    locked = "select unnamed_locked_until - now() between interval '23:59' and interval '24:00' from identifiers"

    for number in range(100):
        assert await connection.fetchval(f"{locked} where identifier = $1", phone) is None, number
        wrong = submission(tenant, phone, b"w" * 32, challenge_id=challenge_id)
        assert await submit_all(connection, wrong) == ["wrong"]

    assert await connection.fetchval(f"{locked} where identifier = $1", phone) is True
    assert await submit_all(connection, submission(tenant, phone)) == ["locked"]
    assert await submit_all(connection, submission(tenant, phone, challenge_id=challenge_id)) == ["ok"]


HOUR, DAY = 3600, 86400


@pytest.mark.parametrize(
    ("sent_at", "per_hour", "seconds"),
    [
        pytest.param("'{}'", 2, None, id="nothing was sent"),
        pytest.param(times(1, "now()"), 2, None, id="one of two in the hour"),
        pytest.param(times(2, f"{HOUR_AGO} + {MICROSECOND}"), 2, 1e-6, id="two of two in the hour"),
        pytest.param(times(2, HOUR_AGO), 2, None, id="the older of two an hour ago"),
        pytest.param(times(2, "now()", f"-{MICROSECOND}"), 2, HOUR, id="the second of two now"),
        pytest.param(times(3, HOUR_AGO, "interval '20 minutes'"), 2, 1200, id="of three the last two count"),
        pytest.param(times(4, f"{DAY_AGO} + {MICROSECOND}", "interval '5 hours'"), 2, 1e-6, id="four in the day"),
        pytest.param(times(4, DAY_AGO, "interval '5 hours'"), 2, None, id="the oldest of four a day ago"),
        pytest.param(times(4, "now() - interval '10 minutes'"), 2, 85800, id="hour and day: the later one"),
        pytest.param(times(9, "now() - interval '10 minutes'"), 0, None, id="no limit"),
    ],
)
async def test_sends_are_limited_by_hour_and_by_day(
    rules: asyncpg.Connection, sent_at: str, per_hour: int, seconds: float | None
) -> None:
    sql = f"select extract(epoch from full_until({sent_at}::timestamptz[], $1) - now())::float8"

    assert await rules.fetchval(sql, per_hour) == pytest.approx(seconds)


FULL, FREE = times(2, "now() - interval '10 minutes'"), times(1, "now() - interval '10 minutes'")


@pytest.mark.parametrize(
    ("sent_at", "resend_at", "first_wait", "expected"),
    [
        (FREE, NULL_TIME, 30, None),
        (FREE, f"now() + {MICROSECOND}", 30, "too_soon"),
        (FREE, "now()", 30, None),
        (FREE, "now() + interval '30 seconds'", 0, None),
        (FULL, f"now() + {MICROSECOND}", 30, "full"),
        (FULL, NULL_TIME, 0, "full"),
    ],
)
async def test_send_waits_for_the_budget_and_then_for_the_resend_time(
    rules: asyncpg.Connection, sent_at: str, resend_at: str, first_wait: int, expected: str | None
) -> None:
    sql = f"select may_send({sent_at}::timestamptz[], {resend_at}, 2, $1)"

    assert await rules.fetchval(sql, first_wait) == expected
