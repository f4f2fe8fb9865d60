"""Attacks: scopes that reject several requests, and codes that are guessed."""

import asyncio

import pytest

from auth1.core.postgres import Query
from tests.conftest import Started, new_phone
from tests.fraud.conftest import ManagedTenant
from tests.fraud.visitors import BLOCK, Visitors, outcome

WRONG = "999999"
QUIET = Query("quiet", "update attacks set rejected_at = now() - interval '61 minutes' where tenant_id = $1")
AN_HOUR_LATER = Query("later", "update attacks set detected_at = now() - interval '61 minutes' where tenant_id = $1")


async def attack(visitors: Visitors, first: int, count: int) -> list[str]:
    """Request codes for numbers of one block from many networks."""
    return [
        outcome(await visitors.request(f"{BLOCK}0{number:03}", f"203.0.{number}.7"))
        for number in range(first, first + count)
    ]


async def test_attack_is_detected_after_five_rejections(visitors: Visitors) -> None:
    await attack(visitors, 0, 10)
    await visitors.settle()
    assert await visitors.events("attack.detected") == []

    await attack(visitors, 10, 1)
    await visitors.settle()

    [event] = await visitors.events("attack.detected")
    assert (event["scope"], event["subject"], event["rejected"]) == ("block_of_1000", f"{BLOCK}0", 5)


async def test_attack_is_detected_once_an_hour_in_the_whole_installation(
    start_app: Started, fraud_url: str, visitors: Visitors
) -> None:
    other = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000")
    elsewhere = Visitors(ManagedTenant(other, visitors.managed.made), visitors.twilio, visitors.database)
    await attack(visitors, 0, 15)
    await attack(elsewhere, 15, 15)

    await asyncio.gather(visitors.settle(), elsewhere.settle())
    assert len(await visitors.events("attack.detected")) == 1

    await visitors.managed.api.services.postgres.row(AN_HOUR_LATER, visitors.tenant_id)
    await attack(visitors, 30, 1)
    await visitors.settle()
    assert [event["rejected"] for event in await visitors.events("attack.detected")][1:] == [25]


async def test_attack_ends_after_an_hour_without_rejections(visitors: Visitors) -> None:
    services = visitors.managed.api.services
    await attack(visitors, 0, 15)
    await visitors.settle()
    await services.attacks.end_attacks()
    assert await visitors.events("attack.ended") == []

    await services.postgres.row(QUIET, visitors.tenant_id)
    await services.attacks.end_attacks()
    await services.attacks.end_attacks()

    [event] = await visitors.events("attack.ended")
    assert (event["scope"], event["rejected"]) == ("block_of_1000", 9)
    price = services.settings.sms_rates["US"] / 1e6
    assert event["saved"] == pytest.approx(9 * price, abs=0.001)


async def guess(visitors: Visitors, wrong: int, first: int = 0) -> None:
    """Submit wrong codes for several numbers, five for each."""
    for number in range(first, first + wrong // 5):
        phone = f"+1{303 + number}5550100"
        assert outcome(await visitors.request(phone, f"203.0.{number}.7")) == "sent"
        for _ in range(5):
            assert (await visitors.verify(phone, f"203.0.{number}.7", WRONG)).json()["code"] == "invalid_code"
    await visitors.settle()


async def test_new_codes_have_two_more_digits_while_codes_are_guessed(visitors: Visitors) -> None:
    await visitors.change_policy(rules=await rules_with_guessing(visitors, 10))
    await guess(visitors, 10)
    assert (await visitors.request("+12055550100", "192.0.2.1")).json()["code_length"] == 6

    await visitors.settle()
    await guess(visitors, 5, first=2)
    answer = await visitors.request(phone := "+12065550100", "192.0.2.2")

    assert answer.json()["code_length"] == 8
    assert len(visitors.twilio.code_for(phone)) == 8
    assert (await visitors.verify(phone, "192.0.2.2")).status_code == 200
    await visitors.settle()
    [event] = await visitors.events("attack.detected")
    assert event["scope"] == "guessing"


async def test_guessing_changes_no_codes_of_other_tenants(visitors: Visitors, managed: ManagedTenant) -> None:
    await visitors.change_policy(rules=await rules_with_guessing(visitors, 5))
    await guess(visitors, 15)
    tenant = await managed.api.tenant()

    other = Visitors(ManagedTenant(managed.api, tenant), visitors.twilio, visitors.database)

    assert (await other.request(new_phone())).json()["code_length"] == 6


async def rules_with_guessing(visitors: Visitors, allowance: int) -> dict[str, object]:
    policy = (await visitors.managed.call("GET", "/fraud/policy")).json()
    rules: dict[str, object] = policy["rules"] | {"guessing": {"mode": "on", "allowance": allowance}}
    return rules
