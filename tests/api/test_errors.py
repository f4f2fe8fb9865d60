"""Every error of errors.py, triggered through the API, with its complete form (contract: section 3)."""

import asyncio
from pathlib import Path

import asyncpg
import httpx
import pytest

from auth1 import errors
from auth1.dev.postgres import PostgresServer
from auth1.errors import ApiError, OAuthApiError
from tests.api.error_triggers import ERROR_TRIGGERS
from tests.api.scenario import TOLL_FREE, ApiScenario
from tests.conftest import Started
from tests.support.api_client import REQUEST, TENANTS, VERIFY, ApiClient
from tests.support.polling import until
from tests.support.postgres_files import PostgresFiles, new_database
from tests.support.providers.twilio import TwilioServer
from tests.support.raw_asgi import RawAsgi

# The contract's table, and what each rejection says beside the six fields of every one.
CONTRACT: dict[str, tuple[int, set[str]]] = {
    "authorization_pending": (400, {"retry_after"}),
    "bad_json": (400, set()),
    "bad_request": (400, set()),
    "invalid_code": (400, {"attempts_remaining"}),
    "no_active_challenge": (400, set()),
    "invalid_api_key": (401, set()),
    "invalid_token": (401, set()),
    "not_authenticated": (401, set()),
    "session_revoked": (401, set()),
    "token_expired": (401, set()),
    "token_reused": (401, set()),
    "admin_disabled": (403, set()),
    "country_not_allowed": (403, set()),
    "forbidden": (403, set()),
    "hook_denied": (403, set()),
    "origin_not_allowed": (403, set()),
    "proof_required": (403, {"proof"}),
    "reauthentication_required": (403, set()),
    "request_blocked": (403, set()),
    "tenant_suspended": (403, set()),
    "tenant_moved": (421, set()),
    "user_banned": (403, set()),
    "not_found": (404, set()),
    "method_not_allowed": (405, set()),
    "request_timeout": (408, set()),
    "conflict": (409, set()),
    "payload_too_large": (413, set()),
    "uri_too_long": (414, set()),
    "unsupported_media_type": (415, set()),
    "validation_failed": (422, {"errors"}),
    "invalid_phone": (422, set()),
    "invalid_email": (422, set()),
    "recipient_opted_out": (422, set()),
    "idempotency_key_reused": (422, set()),
    "budget_exceeded": (429, {"retry_after"}),
    "rate_limited": (429, {"retry_after"}),
    "resend_too_soon": (429, {"retry_after"}),
    "too_many_attempts": (429, {"retry_after"}),
    "internal_error": (500, set()),
    "delivery_failed": (502, {"retry_after"}),
    "channel_unavailable": (503, set()),  # waiting does not help
    "unavailable": (503, {"retry_after"}),
}
ALWAYS = {"type", "title", "status", "detail", "code", "request_id"}


@pytest.fixture
def scenario(
    api: ApiClient,
    raw_asgi: RawAsgi,
    twilio_server: TwilioServer,
    database: asyncpg.Connection,
    postgres_server: PostgresServer,
    start_app: Started,
    phone: str,
    tmp_path: Path,
) -> ApiScenario:
    return ApiScenario(api, raw_asgi, twilio_server, database, postgres_server, start_app, phone, tmp_path)


def check_form(answer: httpx.Response, code: str) -> None:
    """Check an error response from the status line to the last field."""
    status, more = CONTRACT[code]
    problem = answer.json()
    assert (problem["code"], problem["status"], answer.status_code) == (code, status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(problem) == ALWAYS | more
    assert problem["type"] == f"urn:auth1:problem:{code}"
    assert problem["title"] == code.replace("_", " ").capitalize()
    assert problem["detail"].endswith(".")
    assert "\n" not in problem["detail"]
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("allow" in answer.headers) == (status == 405)
    assert answer.headers.get("retry-after") == (str(problem["retry_after"]) if "retry_after" in more else None)
    assert problem.get("retry_after", 1) >= 1
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers["content-length"]:
        assert int(answer.headers["content-length"]) == len(answer.content)


@pytest.mark.parametrize("kind", errors.ALL, ids=lambda kind: kind.code)
async def test_every_error_has_the_documented_form(kind: type[ApiError], scenario: ApiScenario) -> None:
    check_form(await ERROR_TRIGGERS[kind](scenario), kind.code)


def test_every_error_is_triggered_and_documented() -> None:
    assert set(ERROR_TRIGGERS) == set(errors.ALL)
    assert set(CONTRACT) == {kind.code for kind in errors.ALL}


def test_no_other_module_adds_an_error_code() -> None:
    def below(kind: type[ApiError]) -> set[type[ApiError]]:
        return {kind} | {deeper for child in kind.__subclasses__() for deeper in below(child)}

    oauth = {kind.code for kind in errors.OAUTH}  # tests/oauth triggers them, in OAuth's form
    assert {kind.code for kind in below(ApiError) - {ApiError, OAuthApiError}} == set(CONTRACT) | oauth


@pytest.mark.parametrize(
    ("headers", "challenge"),
    [
        ({}, "Bearer"),
        ({"authorization": "Basic abc"}, "Bearer"),
        ({"authorization": "Bearer"}, "Bearer"),
        ({"authorization": "Bearer unknown"}, 'Bearer error="invalid_token"'),
    ],
)
async def test_operator_routes_challenge_for_a_bearer_token(
    api: ApiClient, headers: dict[str, str], challenge: str
) -> None:
    rejected = await api.client.get("/api/admin/tenants", headers=headers)

    assert (rejected.status_code, rejected.headers["www-authenticate"]) == (401, challenge)


@pytest.mark.parametrize("key", [None, "", "auth1_pk_myapp_made-up"])
async def test_tenant_routes_challenge_for_an_api_key(api: ApiClient, key: str | None) -> None:
    rejected = await api.post(VERIFY, {}, key)

    assert (rejected.status_code, rejected.headers["www-authenticate"]) == (401, "ApiKey")


async def test_allow_header_lists_the_methods_of_a_path(api: ApiClient) -> None:
    posted = await api.client.put(REQUEST)
    read = await api.client.delete("/health")

    assert posted.headers["allow"] == "OPTIONS, POST"
    assert read.headers["allow"] == "GET, HEAD, OPTIONS"


async def test_block_reason_is_shown_to_secret_keys_only(api: ApiClient, tenant: dict[str, str]) -> None:
    public, secret = [await api.post(REQUEST, {"phone": TOLL_FREE}, tenant[key]) for key in ("api_key", "secret_key")]

    check_form(public, "request_blocked")
    check_form(secret, "request_blocked")
    assert "tollFree" not in public.text
    assert "tollFree" in secret.json()["detail"]


async def test_used_and_never_requested_codes_get_the_same_error(scenario: ApiScenario) -> None:
    await scenario.login()
    used = await scenario.verify(scenario.twilio.code_for(scenario.phone))
    never = await ERROR_TRIGGERS[errors.NoActiveChallenge](scenario)

    check_form(used, "no_active_challenge")
    assert used.json() | {"request_id": ""} == never.json() | {"request_id": ""}


async def test_database_failure_during_a_statement_is_logged_in_one_line(
    start_app: Started, postgres_files: PostgresFiles, tmp_path: Path
) -> None:
    with postgres_files.server(tmp_path) as server:
        api = await start_app(DATABASE_URL=await new_database(server, "auth1_test"))
        made = await api.tenant()
        holder = await asyncpg.connect(api.settings.database_url)
        await holder.execute("begin")
        await holder.execute("select from tenants for update")
        renamed = asyncio.create_task(api.admin("PATCH", f"{TENANTS}/{made['tenant_id']}", {"name": "Another"}))
        waits = "select exists (select from pg_locks where not granted)"
        assert await until(lambda: holder.fetchval(waits))

        server.kill()

        check_form(await renamed, "unavailable")
        holder.terminate()
