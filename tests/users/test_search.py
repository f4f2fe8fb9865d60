"""User search: results, pagination and query plans on large tables."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import asyncpg
import msgspec
import pytest

from auth1.core.postgres import Queries, Statement
from auth1.core.postgres.queries import field_names
from auth1.dev.postgres import PostgresServer
from auth1.users import export, statements, store
from tests.conftest import new_phone
from tests.support.postgres_files import new_database
from tests.users.conftest import UserAdmin, new_email

QUERIES = Queries("users")


async def walk(admin: UserAdmin, limit: int, **query: str) -> list[str]:
    """Return all ids of a search, page by page."""
    found: list[str] = []
    more: dict[str, str] = {}
    while True:
        answer = await admin.call("GET", params={**query, **more, "limit": str(limit)})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += [user["user_id"] for user in page["data"]]
        if page["next_cursor"] is None:
            return found
        assert len(page["data"]) == limit
        more = {"cursor": page["next_cursor"]}


async def test_users_are_listed_newest_first_with_pagination(admin: UserAdmin) -> None:
    made = [(await admin.make())["user_id"] for _ in range(5)]

    for limit in (1, 2, 5, 6):
        assert await walk(admin, limit) == made[::-1]


async def test_user_is_found_by_each_identifier(admin: UserAdmin) -> None:
    phone, email = new_phone(), new_email()
    user = await admin.make(
        phone=phone, email=email, external_id="Customer-7", metadata={"plan": "pro", "tags": ["a", "b"]}
    )
    await admin.make(email=new_email(), metadata={"plan": "free"})
    wanted = [user["user_id"]]

    for query in (
        {"phone": phone},
        {"email": email.upper()},
        {"external_id": "Customer-7"},
        {"q": phone[:-1]},
        {"q": email[:10].upper()},
        {"q": "Custom"},
        {"metadata": '{"plan":"pro"}'},
        {"metadata": '{"tags":["b"]}'},
    ):
        assert await admin.find(**query) == wanted, query
    for query in (
        *({"phone": new_phone()}, {"email": new_email()}, {"external_id": "customer-7"}, {"q": "custom"}),
        *({"metadata": '{"plan":"enterprise"}'}, {"metadata": '{"plan":{"pro":true}}'}, {"q": "zzz"}),
    ):
        assert await admin.find(**query) == [], query


async def test_unencoded_plus_in_a_phone_query_is_accepted(admin: UserAdmin) -> None:
    phone = new_phone()
    user = await admin.make(phone=phone)

    for query in (f"?phone={phone}", f"?q={phone[:-1]}", f"?phone={quote(phone)}"):
        answer = await admin.call("GET", query)
        assert [one["user_id"] for one in answer.json()["data"]] == [user["user_id"]], query


async def test_prefix_search_is_ordered_and_returns_each_user_once(admin: UserAdmin) -> None:
    same = new_email()
    made = [
        await admin.make(email="walk.a@example.com", external_id="walk.c"),
        await admin.make(email="walk.b@example.com", phone=new_phone()),
        await admin.make(email=new_email(), external_id="walk.b@example.com"),
        await admin.make(email=same, external_id="walk.a"),
        await admin.make(email="walk.d@example.com", external_id="walk.d"),
        await admin.make(email=new_email(), external_id="walk.ü"),
    ]
    ids = [user["user_id"] for user in made]
    await admin.make(email="wall@example.com", external_id="WALK.a")

    for limit in (1, 2, 3, 6, 7):
        assert await walk(admin, limit, q="walk.") == [ids[n] for n in (3, 0, 1, 2, 4, 5)], limit


@pytest.mark.parametrize("recent", [2, 5000])
async def test_metadata_search_is_paginated(admin: UserAdmin, recent: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "RECENT", recent)
    made = [(await admin.make(metadata={"odd": bool(n % 2), "n": n}))["user_id"] for n in range(7)]

    assert await walk(admin, 2, metadata='{"odd":true}') == [made[5], made[3], made[1]]
    assert await walk(admin, 1, metadata='{"n":0}') == [made[0]]


@pytest.mark.parametrize(
    "query",
    [
        {"phone": "+15550000000", "email": "a@b.co"},
        {"phone": "nothing"},
        {"email": "nothing"},
        {"q": "x" * 256},
        {"q": "a\0b"},
        {"phone": ""},
        {"q": ""},
        {"metadata": ""},
        {"external_id": "a\nb"},
        {"metadata": "plan"},
        {"metadata": "[1]"},
        {"metadata": "{}"},
        {"metadata": '{"a":[{}]}'},
        {"metadata": '{"a":"\\u0000"}'},
        {"metadata": '{"a\\u0000":null}'},
        {"metadata": '{"a":1e308}'},
        {"q": "a", "cursor": "nothing"},
        {"q": "a", "cursor": "////"},
        {"limit": "0"},
        {"emial": "a@b.co"},  # a typing error must not find everybody
    ],
    ids=str,
)
async def test_invalid_search_is_rejected(admin: UserAdmin, query: dict[str, str]) -> None:
    answer = await admin.call("GET", params=query)

    assert answer.status_code == 422, answer.text


@pytest.fixture(scope="module")
async def crowd(postgres_server: PostgresServer) -> AsyncIterator[asyncpg.Connection]:
    """Return a database with 20,000 users of one tenant, as many of another, and their rows."""
    connection = await asyncpg.connect(await new_database(postgres_server, "crowd"))
    await connection.execute(
        "insert into users (tenant_id, id, external_id, metadata)"
        " select 'tn_' || n % 2, 'usr_' || lpad(n::text, 6, '0'), 'ext-' || lpad(n::text, 6, '0'),"
        " jsonb_build_object('plan', case n % 10000 when 0 then 'rare' else 'free' end, 'side', n % 2)"
        " from generate_series(1, 40000) n"
    )
    await connection.execute(
        "insert into identifiers (tenant_id, identifier, type, user_id)"
        " select tenant_id, '+1555' || substr(id, 5), 'phone', id from users"
    )
    await connection.execute(
        "insert into sessions (tenant_id, id, user_id, expires_at) select tenant_id, 'ses' || id, id, now() from users;"
        "insert into challenges (tenant_id, id, identifier, channel, expires_at)"
        " select tenant_id, 'ch' || identifier, identifier, 'sms', now() from identifiers;"
        "insert into messages (tenant_id, id, challenge_id, identifier, channel)"
        " select tenant_id, 'msg' || identifier, 'ch' || identifier, identifier, 'sms' from identifiers"
    )
    await connection.execute(
        "vacuum analyze"
    )  # as the server does it by itself, also for what GIN has not sorted in yet
    yield connection
    await connection.close()


def nodes(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [plan, *(node for inner in plan.get("Plans", []) for node in nodes(inner))]


@pytest.mark.parametrize("plan_for", ["these values", "any values"])
@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list_users", ["tn_0", "", 51]),
        ("list_users", ["tn_0", "usr_020000", 51]),
        ("export_users", ["tn_0", "usr_020000", 500]),
        ("find_user_by_identifier", ["tn_0", "+1555020000"]),
        ("find_user_by_external_id", ["tn_0", "ext-020000"]),
        ("find_users", ["tn_0", ["usr_020000", "usr_020002"]]),
        ("find_users_by_prefix", ["tn_0", *("+", "+\U0010ffff") * 2, "", 0, 51]),
        ("find_users_by_prefix", ["tn_0", *("ext", "ext\U0010ffff") * 2, "ext-020000", 1, 51]),
        ("find_recent_users_by_metadata", ["tn_0", '{"plan":"free"}', "", 2000, 51]),
        ("find_users_by_metadata", ["tn_0", '{"plan":"rare"}', "", 51]),
        ("find_users_by_metadata", ["tn_0", '{"side":1}', "", 51]),  # which all of another tenant's have
        ("lock_owners", ["tn_0", ["+1555020000", "unknown"], ["ext-020000", "ext-unknown"]]),
        ("export_sessions", ["tn_0", "usr_020000", 1001]),
        ("export_challenges", ["tn_0", ["+1555020000"], 1001]),
        ("export_messages", ["tn_0", ["+1555020000"], 1001]),
        ("export_events", ["tn_0", ["usr_020000", "ses_1"], 1001]),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
async def test_no_search_reads_a_whole_table(
    crowd: asyncpg.Connection, name: str, arguments: list[object], plan_for: str
) -> None:
    # PostgreSQL makes a plan for any values when it expects no better one of the values that come.
    mode = "force_custom_plan" if plan_for == "these values" else "force_generic_plan"
    statement: Statement[Any, Any] = getattr(statements, name.upper(), None) or getattr(export, name.upper())
    named = dict(zip(field_names(statement.params), arguments, strict=True))
    values = ", ".join(literal(named[parameter]) for parameter in QUERIES[name].parameters)
    await crowd.execute(f"set plan_cache_mode = {mode}; prepare search as {QUERIES[name].text}")
    text = await crowd.fetchval(f"explain (analyze, format json, timing off) execute search ({values})")
    await crowd.execute("deallocate search")

    plan = nodes(msgspec.json.decode(text)[0]["Plan"])
    whole = [node["Relation Name"] for node in plan if node["Node Type"] == "Seq Scan"]
    assert [table for table in whole if not table.startswith("events")] == []  # of which the partitions are empty
    touched = [(node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"] for node in plan]
    assert max(touched) <= 3000, "it reads as far as its page goes"


def literal(value: object) -> str:
    """Return a value as an SQL literal."""
    text = "{" + ",".join(map(str, value)) + "}" if isinstance(value, list) else str(value)
    return f"'{text}'"
