"""The time limits: their documented values, and the sums that follow from them. No test here measures a time."""

import math
import re
from pathlib import Path

import auth1
from auth1 import app, routes
from auth1.authn import tenants
from auth1.cli import serve
from auth1.config.settings import load_settings
from auth1.core import circuit_breaker
from auth1.core.http import request, router
from auth1.core.postgres.connections import Deadlines
from auth1.core.redis import Timeouts
from auth1.fraud import constants
from auth1.fraud.line_types import lookup
from auth1.fraud.proofs import captcha
from auth1.hosted import routes as hosted_routes
from auth1.messaging import outbox
from auth1.messaging.providers import smtp, sns, sns_client, twilio
from auth1.sessions import cache, refresh_tokens, unanswered
from auth1.webhooks.delivery import worker as delivery_worker

ROOT = Path(auth1.__file__).parents[1]
CLAIM = re.compile(r"(?:claimed_until =|provider is not null then) now\(\) \+ interval '(\d+) s'")
POSTGRES, REDIS = Deadlines(), Timeouts()
LIMITS = {
    "a request": router.DEADLINE_S,
    "a request that sends a message": routes.SEND_DEADLINE_S,
    "receiving the headers of a request": serve.HEADER_READ_TIMEOUT_MS / 1000,
    "receiving the body of a request": request.BODY_S,
    "waiting for a connection to PostgreSQL": POSTGRES.acquire_s,
    "a statement": POSTGRES.statement_s,
    "a statement's wait for a lock": POSTGRES.lock_s,
    "opening a connection to PostgreSQL": POSTGRES.connect_s,
    "a list, a statistic or an export of PostgreSQL": POSTGRES.report_s,
    "opening a connection to Redis": REDIS.connect_s,
    "a call of Redis": REDIS.call_s,
    "a call of Twilio": twilio.DEADLINE_S,
    "a call of SNS": sns_client.DEADLINE_S,
    "a mail server": smtp.DEADLINE_S,
    "a look-up of a line type": lookup.DEADLINE_S,
    "a captcha provider": captcha.DEADLINE_S,
    "a call of a webhook": delivery_worker.CALL_S,
    "counting failures of a provider before its circuit breaker opens": circuit_breaker.WINDOW_S,
    "an open circuit breaker before the next call": circuit_breaker.PROBE_EVERY_S,
    "a process's claim of a message": 15,  # in SQL; a test below reads it there
    "a pause between two rounds of the outbox": outbox.INTERVAL_S,
    "a session in Redis": cache.LIFE_S,
    "a tenant in a worker": tenants.LIFE_S,
    "the repeat of an exchanged refresh token": refresh_tokens.GRACE_S,
    "the repeat of a login that got 503": unanswered.KEPT_S,
}


def test_documented_time_limits_are_those_of_the_code() -> None:
    page = (ROOT / "docs/reliability.md").read_text()
    table = page.partition("## Time limits\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([a-z].*) \| ([0-9.]+) \|$", table, re.MULTILINE)

    assert {what: float(seconds) for what, seconds in rows} == LIMITS


def test_default_settings_have_the_time_limits_of_redis(environment: dict[str, str]) -> None:
    settings = load_settings(environment)

    assert settings.redis_connect_timeout_ms == 1000 * REDIS.connect_s
    assert settings.redis_call_timeout_ms == 1000 * REDIS.call_s


def test_hosted_login_has_the_time_limit_of_requests_that_send() -> None:
    assert hosted_routes.SEND_DEADLINE_S == routes.SEND_DEADLINE_S


def test_exposures_of_a_block_decay_within_the_days_that_the_rules_document() -> None:
    fraud = (ROOT / "docs/fraud.md").read_text()
    for scope in ("block_of_1000", "block_of_10000"):
        [days] = re.findall(rf"^\| `{scope}` \|.*\| (\d+) days \|$", fraud, re.MULTILINE)
        assert int(days) * constants.DAY_S == constants.BLOCK_DECAY_S


def test_request_gets_503_within_a_second_and_a_half_of_a_frozen_database() -> None:
    assert POSTGRES.lock_s < POSTGRES.statement_s
    assert POSTGRES.acquire_s + POSTGRES.statement_s < 1.5 < router.DEADLINE_S


def test_request_has_time_for_two_providers_that_hang() -> None:
    """The result is recorded later where no time is left for it."""
    opening_s = POSTGRES.acquire_s + POSTGRES.statement_s

    assert opening_s + twilio.DEADLINE_S + sns_client.DEADLINE_S < routes.SEND_DEADLINE_S
    assert opening_s + twilio.DEADLINE_S + sns.WAIT_FOR_WARM_UP_S < routes.SEND_DEADLINE_S
    assert opening_s + smtp.DEADLINE_S < routes.SEND_DEADLINE_S


def test_fraud_rules_have_time_for_a_source_that_hangs() -> None:
    assert lookup.DEADLINE_S < 1.0 <= captcha.DEADLINE_S < router.DEADLINE_S


def test_claim_of_a_message_outlasts_the_request_that_sends_it() -> None:
    claims = [
        int(seconds)
        for path in ("sql/queries/messaging.sql", "sql/functions/write_challenges.sql")
        for seconds in CLAIM.findall((ROOT / path).read_text())
    ]

    assert claims == [LIMITS["a process's claim of a message"]] * 3
    assert min(claims) > routes.SEND_DEADLINE_S


def test_hundred_messages_of_a_killed_process_are_settled_within_30_seconds() -> None:
    rounds = math.ceil(100 / outbox.BATCH)
    longest_pause_s = outbox.INTERVAL_S * (1 + app.JITTER)

    assert LIMITS["a process's claim of a message"] + rounds * longest_pause_s <= 30


def test_change_of_a_session_outlasts_every_reader_that_began_before_it() -> None:
    assert router.DEADLINE_S < cache.CHANGED_S <= cache.LIFE_S


def test_delivery_of_a_webhook_is_claimed_for_longer_than_its_call() -> None:
    assert delivery_worker.CALL_S < delivery_worker.LEASE_S
