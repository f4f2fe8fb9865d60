"""Logs and responses contain what is needed and no secret (contract: section 3)."""

import re
from collections.abc import AsyncIterator

import asyncpg
import pytest

from auth1.dev.postgres import PostgresServer
from auth1.events.types import EventType
from tests.api.output import (
    APP_URL,
    CODE_LENGTH,
    EMAIL,
    NOTE,
    SECRET_NAMES,
    SQL,
    Output,
    is_json,
    route_of,
    shown_fields,
    visible_headers,
)
from tests.api.output_steps import (
    attack,
    break_the_schema,
    deliver_events,
    give_and_end_access,
    let_providers_fail,
    log_in_and_fail,
    log_in_by_link,
    log_in_on_pages,
    manage,
    manage_applications,
    manage_hosts,
    manage_users,
    trigger_errors,
    try_another_provider,
)
from tests.api.scenario import TOLL_FREE
from tests.conftest import JWT_SECRET, Started
from tests.support.api_client import ADMIN_TOKEN, REQUEST, VERIFY
from tests.support.dns import DnsServer
from tests.support.polling import until
from tests.support.postgres_files import new_database
from tests.support.providers import twilio
from tests.support.providers.twilio import TwilioServer
from tests.support.relaxed import RELAXED


@pytest.fixture(scope="module")
async def dns() -> AsyncIterator[DnsServer]:
    async with DnsServer() as server:
        yield server


@pytest.fixture(scope="module")
async def output(
    start_app: Started,
    dns: DnsServer,
    twilio_server: TwilioServer,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Output]:
    """Log in, trigger every error, manage a tenant, and wait for the last log line."""
    url = await new_database(postgres_server, "auth1_said", is_relaxed=False)
    changes = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DNS_SERVERS": f"127.0.0.1:{dns.port}"}
    api = await start_app(DATABASE_URL=url, APP_URL=APP_URL, **changes)
    output = Output(api, twilio_server, await asyncpg.connect(url), {})

    api.client.event_hooks["response"].append(output.keep)
    await api.admin("PUT", "/api/admin/fraud/policy", RELAXED)
    output.tenant = await api.tenant(otp_length=CODE_LENGTH, sms_branding="MyApp", retry_undelivered=True)
    await log_in_and_fail(output)
    await log_in_by_link(output)
    await try_another_provider(output)
    await let_providers_fail(output)
    await manage_users(output)
    await manage_applications(output)
    await manage_hosts(output, dns)
    await give_and_end_access(output)
    await log_in_on_pages(output)
    await deliver_events(output)
    await manage(output)
    await attack(output)
    await trigger_errors(output, postgres_server, start_app, tmp_path_factory.mktemp("world"))
    await break_the_schema(output)
    output.secrets |= {ADMIN_TOKEN, JWT_SECRET, twilio.AUTH_TOKEN, api.settings.database_url, api.settings.redis_url}
    for response in output.answers:
        if is_json(response):
            output.secrets.update(shown_fields(response).values())
    for request in twilio_server.requests:
        if found := re.search(r"code is: (\d{10})\.", request.form.get("Body", "")):
            output.secrets.add(found[1])
    last = output.answers[-1].headers["x-request-id"]

    async def is_written() -> bool:
        return any(line.get("request_id") == last and line["msg"] == "request" for line in output.lines)

    assert await until(is_written)
    yield output
    await output.database.close()


def test_stdout_contains_no_secret(output: Output) -> None:
    assert len(output.secrets) > 20
    assert len(output.unshown) >= 4
    for secret in output.secrets | output.unshown:
        assert secret not in output.stdout


def test_fields_with_the_names_of_secrets_are_those_of_their_routes(output: Output) -> None:
    """Elsewhere they would not be found by their values alone: a secret may be shown in another form."""
    others = {
        (route_of(answer), name)
        for answer in output.answers
        if is_json(answer)
        for name in SECRET_NAMES.intersection(answer.json())
        if name not in shown_fields(answer)
    }

    assert others == set()


def test_api_shows_no_secret_of_a_browser(output: Output) -> None:
    for response in filter(is_json, output.answers):
        for secret in output.unshown:
            assert secret not in f"{visible_headers(response)} {response.text}"


def test_responses_contain_no_secret_outside_documented_fields(output: Output) -> None:
    for response in output.responses():
        for secret in output.secrets:
            assert secret not in response


def test_no_phone_or_email_appears_in_full(output: Output) -> None:
    assert len(output.phones) > 30
    for text in [output.stdout, *output.public_texts()]:
        for phone in output.phones:
            assert phone.removeprefix("+1") not in text
        assert TOLL_FREE.removeprefix("+44") not in text
        assert EMAIL not in text
        assert EMAIL.partition("@")[0] not in text


def test_no_sql_or_traceback_is_exposed(output: Output) -> None:
    for text in [*output.stdout.splitlines(), *output.responses()]:
        assert not SQL.search(text)
        assert "Traceback" not in text
        assert "code_box" not in text
    for response in output.public_texts():
        for word in (".py", "asyncpg", "httpx", "/auth1/", "Error("):
            assert word not in response


def test_user_supplied_texts_are_not_repeated(output: Output) -> None:
    for text in [output.stdout, *output.public_texts()]:
        assert NOTE not in text
        assert "Ada's phone" not in text
        assert "Your MyApp verification" not in text


def test_every_log_line_is_json_with_time_level_and_message(output: Output) -> None:
    for line in output.lines:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["ts"])
        assert line["level"] in ("debug", "info", "warn", "error")
        assert line["msg"]


async def test_every_event_is_logged(output: Output) -> None:
    logged = {line["event_id"]: line for line in output.lines if line["msg"] == "event"}
    kept = await output.database.fetch("select * from events")

    assert {row["id"] for row in kept} == set(logged)
    for row in kept:
        line = logged[row["id"]]
        for name in ("type", "tenant_id", "actor", "subject"):
            assert line[name] == row[name]
    # Only old events are purged: tests/audit does it. A tenant moves to another database: tests/cli does it.
    elsewhere = {EventType.AUDIT_PURGED.value, EventType.TENANT_MOVED.value}
    assert {row["type"] for row in kept} == {event.value for event in EventType} - elsewhere


def test_event_log_line_has_its_request_id(output: Output) -> None:
    answered = {response.headers["x-request-id"] for response in output.answers}
    logged = [line for line in output.lines if line["msg"] == "event" and line["actor"] != "auth1"]

    assert [line for line in logged if line.get("request_id") not in answered] == []


def test_every_request_is_logged_once(output: Output) -> None:
    lines = [line for line in output.lines if line["msg"] == "request"]
    by_id = {line["request_id"]: line for line in lines}

    assert len(by_id) == len(lines)
    for response in output.answers:
        line = by_id[response.headers["x-request-id"]]
        assert line["status"] == response.status_code
        assert line["method"] == response.request.method
        assert line["duration_ms"] > 0
        assert line["route"] == "none" or line["route"].startswith(("/api/", "/t/", "/health", "/metrics"))
        assert output.tenant["tenant_id"] not in line["route"]
        if response.status_code >= 400:
            problem = response.json()
            assert line["code"] == (
                problem["error"] if "error" in problem else problem["code"]
            )  # OAuth has its own form


def test_request_log_line_has_the_tenant_and_a_masked_identifier(output: Output) -> None:
    phone = output.phones[0]
    lines = [line for line in output.lines if line["msg"] == "request" and line.get("identifier")]

    assert f"+1•••••••{phone[-3:]}" in {line["identifier"] for line in lines}
    assert "s•••@example.com" in {line["identifier"] for line in lines}
    for line in lines:
        assert re.fullmatch(r"tn_[0-9a-z]{26}(:test)?", line["tenant_id"])
        assert "•••" in line["identifier"]
    by_route = [line for line in output.lines if line.get("route") in (REQUEST, VERIFY) and line["msg"] == "request"]
    named = [line for line in by_route if line.get("code") not in ("invalid_api_key", "not_authenticated")]
    assert all("tenant_id" in line or line["code"] == "method_not_allowed" for line in named)


def test_probes_are_logged_at_debug_level(output: Output) -> None:
    for line in output.lines:
        if line["msg"] == "request":
            assert (line["level"] == "debug") == (line["route"].startswith(("/health", "/metrics")))
