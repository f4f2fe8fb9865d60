"""Requests for codes under the default policy: what is sent, what needs a proof, what is blocked."""

import asyncio

import pytest

from tests.conftest import Started, new_phone
from tests.fraud.conftest import ManagedTenant, managed_tenant
from tests.fraud.visitors import BLOCK, Visitors, outcome, solve


def numbers(count: int, first: int = 100) -> list[str]:
    """Return consecutive numbers of one block of 1,000."""
    return [f"{BLOCK}0{number:03}" for number in range(first, first + count)]


def addresses(count: int) -> list[str]:
    """Return addresses in networks of their own."""
    return [f"203.0.{number}.7" for number in range(count)]


async def test_seventh_number_of_a_block_needs_a_proof(visitors: Visitors) -> None:
    answers = [await visitors.request(phone, address) for phone, address in zip(numbers(7), addresses(7), strict=True)]

    assert [outcome(answer) for answer in answers] == ["sent"] * 6 + ["proof_required"]
    assert answers[-1].status_code == 403
    assert answers[-1].json()["proof"]["kind"] == "pow"


async def test_solved_proofs_admit_loads_up_to_two(visitors: Visitors) -> None:
    sent = 0
    for phone, address in zip(numbers(20), addresses(20), strict=True):
        answer = await visitors.request(phone, address)
        if outcome(answer) == "proof_required":
            answer = await visitors.request(phone, address, proof=solve(answer.json()["proof"]))
        sent += outcome(answer) == "sent"

    assert outcome(answer) == "request_blocked"
    assert sent == 12


async def test_solved_proof_admits_one_request(visitors: Visitors) -> None:
    for phone, address in zip(numbers(6), addresses(6), strict=True):
        await visitors.request(phone, address)
    phone = numbers(7)[6]
    proof = solve((await visitors.request(phone, "192.0.2.1")).json()["proof"])

    answers = await asyncio.gather(*(visitors.request(phone, "192.0.2.1", proof=proof) for _ in range(10)))

    assert sorted(map(outcome, answers)).count("sent") == 1


async def test_verified_codes_release_their_exposure(visitors: Visitors) -> None:
    for phone, address in zip(numbers(20), addresses(20), strict=True):
        await visitors.log_in(phone, address)


async def test_address_may_send_six_unverified_codes(visitors: Visitors) -> None:
    answers = [await visitors.request(new_phone(), "198.51.100.9") for _ in range(7)]

    assert [outcome(answer) for answer in answers] == ["sent"] * 6 + ["proof_required"]


async def test_request_makes_two_calls_to_redis_and_two_to_postgresql(visitors: Visitors) -> None:
    services = visitors.managed.api.services
    await visitors.request(new_phone(), "192.0.2.9")
    counts = []
    for number in range(5):
        before = services.redis.round_trips, services.postgres.round_trips
        assert outcome(await visitors.request(new_phone(), f"192.0.2.{number}")) == "sent"
        counts.append((services.redis.round_trips - before[0], services.postgres.round_trips - before[1]))

    # Background jobs make calls of their own meanwhile, so the least counts are those of a request.
    assert [min(kind) for kind in zip(*counts, strict=True)] == [2, 2]


async def test_secret_key_without_address_has_no_scopes_of_addresses(visitors: Visitors) -> None:
    visitors.key = "secret_key"

    answers = [await visitors.request(f"{BLOCK}{number}000", None) for number in range(8)]

    assert [outcome(answer) for answer in answers] == ["sent"] * 8


async def test_reason_is_shown_to_secret_keys_only(visitors: Visitors) -> None:
    await visitors.change_policy(line_types={"unknown": "block"})
    [phone] = numbers(1)

    public = (await visitors.request(phone)).json()
    visitors.key = "secret_key"
    secret = (await visitors.request(phone)).json()

    assert public["code"] == secret["code"] == "request_blocked"
    assert "line_type" not in public["detail"]
    assert "line_type: unknown" in secret["detail"]


async def test_blocked_request_names_the_channels_of_the_policy(visitors: Visitors) -> None:
    await visitors.change_policy(line_types={"unknown": "block"}, channels=["email"])

    answer = await visitors.request(numbers(1)[0])

    assert outcome(answer) == "request_blocked"
    assert answer.json()["channels"] == ["email"]
    [decision] = await visitors.decisions()
    assert decision["decision"] == "other_channel"


async def test_block_list_blocks_and_allow_list_admits(visitors: Visitors) -> None:
    blocked, allowed = "198.51.100.0/24", "192.0.2.0/24"
    for name, value in (("block", blocked), ("allow", allowed)):
        entry = {"list": name, "kind": "network", "value": value, "reason": "a test"}
        assert (await visitors.managed.call("POST", "/fraud/lists", entry)).status_code == 201

    assert outcome(await visitors.request(new_phone(), "198.51.100.1")) == "request_blocked"
    answers = [await visitors.request(new_phone(), "192.0.2.1") for _ in range(8)]
    await visitors.settle()

    assert [outcome(answer) for answer in answers] == ["sent"] * 8
    found = await visitors.decisions()
    assert {(decision["decision"], decision["reasons"][0]) for decision in found} == {
        ("block", "block_list: network"),
        ("allow", "allow_list: network"),
    }
    assert "address: 8 unverified, 6 allowed" in found[0]["reasons"]


async def test_shadow_mode_records_and_rejects_no_request(visitors: Visitors) -> None:
    await visitors.change_policy(mode="shadow")

    answers = [await visitors.request(phone, "198.51.100.9") for phone in numbers(20)]

    assert {outcome(answer) for answer in answers} == {"sent"}
    await visitors.settle()
    decisions = await visitors.decisions()
    assert {decision["decision"] for decision in decisions} == {"proof_required", "block"}
    assert {decision["features"]["mode"] for decision in decisions} == {"shadow"}
    assert await visitors.events("request.blocked") == []


async def test_mode_off_decides_nothing(visitors: Visitors) -> None:
    await visitors.change_policy(mode="off")

    answers = [await visitors.request(phone, "198.51.100.9") for phone in numbers(20)]

    assert {outcome(answer) for answer in answers} == {"sent"}
    await visitors.settle()
    assert await visitors.decisions() == []


async def test_rejected_resend_is_not_an_exposure(visitors: Visitors) -> None:
    [phone] = numbers(1)
    assert outcome(await visitors.request(phone)) == "sent"
    for _ in range(10):
        assert outcome(await visitors.request(phone)) == "resend_too_soon"
        await visitors.settle()

    answers = [await visitors.request(other) for other in numbers(6, first=500)]

    assert [outcome(answer) for answer in answers] == ["sent"] * 5 + ["proof_required"]


async def test_known_number_is_admitted_while_its_country_is_attacked(visitors: Visitors) -> None:
    await visitors.change_policy(price_floor=0, exposure_budget=0.02)
    known, unknown = numbers(1)[0], f"{BLOCK}9000"
    await visitors.log_in(known, "192.0.2.1")
    visitors.key = "secret_key"
    for digit in range(1, 9):
        await visitors.request(f"+1303555{digit}000", None)

    assert outcome(await visitors.request(unknown, None)) == "proof_required"
    assert outcome(await visitors.request(known, None)) == "sent"


async def test_known_number_that_answers_no_code_is_unknown(visitors: Visitors) -> None:
    await visitors.change_policy(price_floor=0, exposure_budget=0.02)
    known = numbers(1)[0]
    await visitors.log_in(known, "192.0.2.1")
    visitors.key = "secret_key"
    for digit in range(1, 9):
        await visitors.request(f"+1303555{digit}000", None)
    await visitors.database.execute(
        "update identifiers set unanswered = 3 where tenant_id = $1 and identifier = $2", visitors.tenant_id, known
    )

    assert outcome(await visitors.request(known, None)) == "proof_required"


async def test_two_workers_admit_as_many_requests_as_one(
    start_app: Started, fraud_url: str, visitors: Visitors
) -> None:
    other = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000")
    elsewhere = Visitors(ManagedTenant(other, visitors.managed.made), visitors.twilio, visitors.database)

    answers = await asyncio.gather(
        *(
            (visitors, elsewhere)[place % 2].request(phone, address)
            for place, (phone, address) in enumerate(zip(numbers(40), addresses(40), strict=True))
        )
    )

    assert [outcome(answer) for answer in answers].count("sent") == 6


@pytest.mark.parametrize("key", ["api_key", "secret_key"])
async def test_launch_behind_one_address_loses_no_login(
    start_app: Started, fraud_url: str, visitors: Visitors, key: str
) -> None:
    """A login gives the requests that it used back to the limit per address."""
    limited = await start_app(DATABASE_URL=fraud_url, REDIS_CALL_TIMEOUT_MS="5000", RATE_LIMIT_MAX="10")
    visitors.managed = await managed_tenant(limited)
    visitors.key = key
    address = "192.0.2.77" if key == "api_key" else "192.0.2.78"

    for number in range(30):
        await visitors.log_in(f"+1{303 + number}5550100", address)
