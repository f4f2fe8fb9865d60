"""Hot statements find their rows by index, with any statistics of the tables.

Workers connect to a new database, whose tables were never analysed, and keep their plans while these grow.
"""

from collections.abc import Mapping
from typing import Any

import asyncpg
import pytest

from auth1.core.ids import new_id
from auth1.core.postgres.migrations import analyze
from auth1.retention import INDEXED_PURGES, TABLE_SCANS
from tests.sql.conftest import Connect, NewDatabase
from tests.sql.logins import new_login
from tests.sql.plans import Executed, PlanReader

TENANT = new_id("tn")
SIZES = {"empty": 0, "small": 20, "large": 6000, "analysed": 6000}
MODES = ("force_generic_plan", "force_custom_plan")
MOST_ROWS = 12  # that a statement of a request reads
# A few rows of each tenant, and a cache of short rows: reading these in full is the shortest way.
SMALL = {"tenants", "keys", "budgets", "spending", "message_hours", "line_types", "applications", "signing_keys"} | {
    "hosts"
}
EMPTY_HERE = {"deliveries"}  # see test_webhook_plans
FILL = """
insert into users (tenant_id, id, last_login_at) select $1, 'usr_' || n, now() from generate_series(1, $2::int) as n;
insert into identifiers (tenant_id, identifier, type, user_id)
  select $1, '+1555' || n, 'phone', 'usr_' || n from generate_series(1, $2::int) as n;
insert into sessions (tenant_id, id, user_id, expires_at)
  select $1, 'ses_' || n, 'usr_' || n, now() + interval '1 day' from generate_series(1, $2::int) as n;
insert into logins (tenant_id, id, browser_digest, user_id, identifier)
  select $1, 'li_' || n, n::text::bytea, 'usr_' || n, '+1555' || n from generate_series(1, $2::int) as n;
insert into grants (tenant_id, id, client_id, user_id, session_id, scopes, amr, authenticated_at, expires_at)
  select $1, 'gr_' || n, 'app_1', 'usr_' || n, 'ses_' || n, '{}', '{}', now(), now() + interval '1 day'
  from generate_series(1, $2::int) as n;
insert into consents (tenant_id, user_id, client_id, scopes)
  select $1, 'usr_' || n, 'app_1', '{}' from generate_series(1, $2::int) as n;
insert into challenges (tenant_id, id, identifier, channel, expires_at)
  select $1, 'ch_' || n, '+1555' || n, 'sms', now() from generate_series(1, $2::int) as n;
insert into revoked_tokens (tenant_id, jti, expires_at)
  select $1, 'tok_' || n, now() + interval '10 minutes' from generate_series(1, $2::int) as n;
insert into messages (tenant_id, id, challenge_id, identifier, channel, state, provider, attention_at)
  select $1, 'msg_' || n, 'ch_' || n, '+1555' || n, 'sms', 'sent', 'twilio', null from generate_series(1, $2::int) as n;
insert into events (tenant_id, id, type, actor, subject)
  select $1, id_floor('evt', now()) || lpad(n::text, 16, '0'), 'challenge.opened', 'key', 'ch_' || n
  from generate_series(1, $2::int) as n;
insert into links (tenant_id, message_id, challenge_id, identifier, token_digest, with_code, expires_at)
  select $1, 'msg_' || n, 'ch_' || n, '+1555' || n, sha256(n::text::bytea), true, now()
  from generate_series(1, $2::int) as n;
insert into spending (tenant_id, day, country, channel, slot, messages, microdollars)
  select $1, current_date - n, 'US', 'sms', 0, 1, 1 from generate_series(1, $2::int / 20) as n;
insert into idempotency (tenant_id, route, digest, body_digest, claim_id)
  select $1, 'POST /', n::text::bytea, '', '' from generate_series(1, $2::int) as n;
insert into message_hours
  select $1, now() - n * interval '1 hour', 'sms', 'US', 'twilio', 'sent', 1, 1, 1, 1
  from generate_series(1, $2::int / 20) as n;
insert into exposures
  select $1, 'country', n::text, 1, 1, extract(epoch from now()) from generate_series(1, $2::int) as n;
insert into line_types select sha256(convert_to($1 || n, 'UTF8')), 'mobile' from generate_series(1, $2::int) as n
"""
FUNCTIONS = {
    "open_challenges": {"identifiers_pkey"},
    "record_deliveries": {"messages_pkey"},
    "submit_codes": {"identifiers_pkey", "challenges_pkey"},
    "find_sessions": {"sessions_pkey", "users_pkey", "identifiers_of_user"},
    "refresh_sessions": {"sessions_pkey", "identifiers_of_user"},
}
# File, statement: the indexes on tables that grow.
REQUESTS = {
    ("sessions", "user_exists"): {"users_pkey"},
    ("sessions", "list_sessions"): {"sessions_of_user"},
    ("sessions", "show_session"): {"sessions_pkey"},
    ("sessions", "end_session"): {"sessions_pkey"},
    ("sessions", "end_user_sessions"): {"sessions_of_user"},
    ("sessions", "list_just_ended"): {"sessions_of_user"},
    ("sessions", "end_surplus_sessions"): {"sessions_of_user", "sessions_pkey"},
    ("messaging", "record_report"): {"messages_pkey"},
    ("messaging", "defer_message"): {"messages_pkey"},
    ("challenges", "find_challenge"): {"challenges_pkey", "messages_pkey"},
    ("challenges", "find_submitted"): {"events_pkey"},
    ("challenges", "find_unanswered"): {"events_pkey", "challenges_pkey", "sessions_pkey"},
    ("challenges", "claim_unanswered"): {"sessions_pkey"},
    ("challenges", "find_opened"): {"events_pkey", "challenges_pkey", "identifiers_pkey", "codes_pkey"},
    ("users", "export_events"): {"events_about"},
    ("users", "find_user_by_identifier"): {"identifiers_pkey"},
    ("idempotency", "claim_key"): set(),
    ("idempotency", "store_response"): {"idempotency_pkey"},
}
LOGIN_STEPS = {
    "start_logins": set[str](),
    "record_sent_codes": {"logins_pkey"},
    "find_logins": {"applications_pkey", "challenges_pkey", "messages_pkey"},
    "complete_logins": {"logins_of_browser", "users_pkey", "sessions_pkey"},
    "find_clients": {"applications_pkey"},
}
HOSTED = {
    ("oauth", "issue_code"): {"logins_of_browser"},
    ("oauth", "find_login_request"): {"logins_of_browser"},
    ("oauth", "find_pushed_request"): {"logins_pkey"},
}
OUTBOX = {
    ("messaging", "schedule_messages"): {"messages_attention", "messages_pkey"},
    ("messaging", "claim_messages"): {
        "messages_attention",
        "messages_pkey",
        "links_pkey",
        "identifiers_pkey",
        "codes_pkey",
    },
    ("messaging", "retry_messages"): {
        "messages_attention",
        "messages_pkey",
        "identifiers_pkey",
        "codes_pkey",
        "challenges_pkey",
    },
    ("messaging", "mark_lost_unknown"): {"messages_attention", "messages_pkey", "identifiers_pkey"},
    ("messaging", "expire_unreported"): {"messages_attention", "messages_pkey"},
}
VALUES: Mapping[str, Any] = {
    "tenant_id": TENANT, "session_id": "ses_7", "user_id": "usr_7", "number": 0, "grace_s": 10, "idle_after": 600,
    "actor": "key", "request_id": None, "network": None, "before": "", "max_rows": 20, "reason": "logout",
    "keep": None, "within_s": 60, "max_sessions": 3, "message_id": "msg_7", "state": "delivered", "provider": "twilio",
    "provider_message_id": "SM1", "error": None, "is_retryable": False, "delay_s": 5, "challenge_id": "ch_7",
    "other_event_id": "evt_none", "ids": ["usr_7", "ch_7"], "identifier": "+15557", "route": "POST /", "digest": b"7",
    "body_digest": b"", "claim_id": "msg_7", "sealed_response": b"", "providers": ["twilio"], "channel": "sms",
    "is_sandbox": False, "message_ids": ["msg_r1", "msg_r2"], "event_ids": ["evt_r1", "evt_r2"], "first_page": 0,
    "end_page": 1024, "login_id": "li_7", "browser_digest": b"7", "new_digest": b"new", "step": "code", "amr": ["otp"],
    "adding": None, "code_length": 6, "resend_after": 30, "link_box": None, "reuse_s": 10, "life_s": 60,
}  # fmt: skip


@pytest.fixture(scope="module", params=SIZES)
def size(request: pytest.FixtureRequest) -> str:
    """Return the name of a size."""
    name: str = request.param
    return name


@pytest.fixture(scope="module")
async def url(size: str, new_migrated_database: NewDatabase) -> str:
    """Return a database of a size; only `analysed` was analysed."""
    url = await new_migrated_database()
    connection = await asyncpg.connect(url)
    for table in ("users", "identifiers", "sessions", "challenges", "messages", "links", "spending", "idempotency"):
        await connection.execute(f"alter table {table} set (autovacuum_enabled = off)")
    insert_tenant = "insert into tenants (id, slug, name) values ($1, 'plans', 'Plans')"
    await connection.execute(insert_tenant, TENANT)
    for statement in FILL.split(";\n"):
        await connection.execute(statement, TENANT, SIZES[size])
    if size == "analysed":
        await analyze(connection)
    await connection.close()
    return url


@pytest.fixture(params=MODES)
async def reader(request: pytest.FixtureRequest, url: str, connect: Connect) -> PlanReader:
    reader = PlanReader(await connect(url))
    await reader.start(request.param)
    return reader


def check(done: Mapping[str, Executed], expected: Mapping[str, set[str]], most_rows: int) -> None:
    """Compare what statements did with what they are expected to do."""
    for name, executed in done.items():
        print(name, executed)
    assert {name: executed.scanned - SMALL - EMPTY_HERE for name, executed in done.items()} == {
        name: set() for name in done
    }
    missing = {name: expected[name] - executed.indexes for name, executed in done.items()}
    assert missing == {name: set() for name in done}
    assert {name: executed.rows_read for name, executed in done.items() if executed.rows_read > most_rows} == {}


async def test_functions_of_a_login_read_single_rows_by_index(reader: PlanReader) -> None:
    login = new_login(TENANT) | {"number": 0, "grace_s": 10, "idle_after": 600}
    done = {name: await reader.function(name, login) for name in FUNCTIONS}
    check(done, FUNCTIONS, MOST_ROWS)
    # Without Idempotency-Key, budget or link no statement is executed for them.
    assert [executed.statements for executed in done.values()] == [7, 2, 7, 1, 3]


async def test_statements_of_requests_read_single_rows_by_index(reader: PlanReader) -> None:
    done = {name: await reader.query(file, name, {**VALUES, "event_id": new_id("evt")}) for file, name in REQUESTS}
    check(done, {name: indexes for (_, name), indexes in REQUESTS.items()}, MOST_ROWS)


async def test_statements_of_hosted_logins_read_single_rows_by_index(reader: PlanReader) -> None:
    done = {name: await reader.query(file, name, VALUES) for file, name in HOSTED}
    check(done, {name: indexes for (_, name), indexes in HOSTED.items()}, MOST_ROWS)


@pytest.mark.parametrize("number", [1, 2])
async def test_steps_of_hosted_logins_read_single_rows_by_index(reader: PlanReader, number: int) -> None:
    """A batch locks its rows by other statements than a single request."""
    places = range(7, 7 + number)
    ids = {place: new_id("li") for place in places}
    asks = {"client_id": "app_1", "request": '{"scopes": ["openid"]}', "step": "start", "code_life_s": 60}
    new = [{**VALUES, **asks, "login_id": ids[n], "browser_digest": ids[n].encode(), "user_id": None} for n in places]
    known = [
        {**login, "step": "code", "user_id": f"usr_{n}", "session_id": f"ses_{n}", "new_digest": b"%d" % n}
        for login, n in zip(new, places, strict=True)
    ]
    done = {name: await reader.function(name, *(new if name == "start_logins" else known)) for name in LOGIN_STEPS}
    check(done, LOGIN_STEPS, MOST_ROWS * number)


async def test_outbox_reads_messages_that_need_attention(reader: PlanReader) -> None:
    done = {name: await reader.query(file, name, VALUES) for file, name in OUTBOX}
    check(done, {name: indexes for (_, name), indexes in OUTBOX.items()}, 400)


@pytest.mark.parametrize("size", ["analysed"], indirect=True)
@pytest.mark.parametrize("reader", ["force_custom_plan"], indirect=True)
async def test_retention_reads_ranges_of_pages_or_indexes(reader: PlanReader) -> None:
    """Rows are purged long after their table was analysed, with custom plans: these know the limit, and cost less."""
    # A range as small as those of a large table are beside it. One of all pages may as well be a sequential scan.
    values = {**VALUES, "end_page": 4}
    done = {name: await reader.query("retention", name, values) for name in (*TABLE_SCANS, *INDEXED_PURGES)}
    check(done, {name: set() for name in done}, 2 * SIZES["large"])
