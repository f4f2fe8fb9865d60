"""Spellings of one address share its limits: they name one identifier. A phone has one accepted spelling."""

import secrets

import asyncpg
import pytest

from tests.conftest import Started
from tests.support.api_client import REQUEST, VERIFY, ApiClient


@pytest.fixture(scope="module")
async def mailing(start_app: Started) -> ApiClient:
    """Return an application that prints emails."""
    return await start_app(SMTP_URL="console:")


@pytest.fixture
def spellings() -> list[str]:
    """Return seven spellings of an address that no other test uses; the last one is in lower case."""
    local, domain = f"ada.{secrets.token_hex(6)}x", "example.com"
    return [
        f"{local}@{domain}".upper(),
        f"{local.upper()}@{domain}",
        f"{local}@{domain.upper()}",
        f"{local.title()}@{domain.title()}",
        f"{local.capitalize()}@{domain}",
        f"{local}@{domain.title()}",
        f"{local}@{domain}",
    ]


async def wait_is_over(database: asyncpg.Connection, address: str) -> None:
    """Let another code be requested at once."""
    await database.execute("update identifiers set resend_at = null where identifier = $1", address)


async def test_sends_to_all_spellings_of_an_address_share_one_limit(
    mailing: ApiClient, database: asyncpg.Connection, spellings: list[str]
) -> None:
    key = (await mailing.tenant(rate_limit_per_hour=5))["api_key"]
    for spelling in spellings[:5]:
        sent = await mailing.post(REQUEST, {"email": spelling}, key)
        assert sent.status_code == 200, sent.text
        await wait_is_over(database, spellings[-1])

    for spelling in spellings[5:]:
        refused = await mailing.post(REQUEST, {"email": spelling}, key)
        assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")


async def test_wait_between_sends_holds_for_all_spellings_of_an_address(
    mailing: ApiClient, spellings: list[str]
) -> None:
    key = (await mailing.tenant())["api_key"]
    assert (await mailing.post(REQUEST, {"email": spellings[0]}, key)).status_code == 200

    for spelling in spellings[1:]:
        refused = await mailing.post(REQUEST, {"email": spelling}, key)
        assert (refused.status_code, refused.json()["code"]) == (429, "resend_too_soon")


async def test_wrong_codes_for_all_spellings_of_an_address_share_one_limit(
    mailing: ApiClient, spellings: list[str]
) -> None:
    key = (await mailing.tenant(max_otp_attempts=5, otp_length=10))["api_key"]
    assert (await mailing.post(REQUEST, {"email": spellings[0]}, key)).status_code == 200

    answers = [
        await mailing.post(VERIFY, {"email": spelling, "code": f"{number:010d}"}, key)
        for number, spelling in enumerate(spellings)
    ]

    assert [answer.json().get("attempts_remaining") for answer in answers[:5]] == [4, 3, 2, 1, 0]
    assert {answer.json()["code"] for answer in answers[5:]} == {"too_many_attempts"}
