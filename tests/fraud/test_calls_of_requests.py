"""The calls to Redis and statements of PostgreSQL of a request for a code, whatever the fraud rules decide."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import httpx
import pytest

from tests.conftest import new_phone
from tests.fraud.visitors import Visitors, outcome, solve

# Each message to an unknown number exceeds the exposure budget; known numbers are exempt.
DOUBT: dict[str, object] = {"price_floor": 0, "exposure_budget": 0, "ratio": 0}
# The first message from an address needs a proof.
PROOF: dict[str, object] = {"rules": {"address": {"allowance": 0.95}}}
SANDBOX_PROOF = "+15005550006"


class Case(NamedTuple):
    """A kind of request, and the calls that one of them makes."""

    name: str
    outcome: str
    redis: int
    statements: int
    policy: Mapping[str, object] = MappingProxyType({})
    is_known: bool = False
    entry: str | None = None
    has_proof: bool = False
    key: str = "api_key"
    phone: Callable[[], str] = new_phone


CASES = (
    Case("new number", "sent", 2, 2),
    Case("known number", "sent", 2, 2, is_known=True),
    Case("new number in doubt", "request_blocked", 2, 2, DOUBT),
    Case("known number in doubt", "sent", 2, 3, DOUBT, is_known=True),
    Case("new number without a proof", "proof_required", 2, 1, PROOF),
    Case("new number with a proof", "sent", 2, 2, PROOF, has_proof=True),
    Case("number on the allow list in doubt", "sent", 2, 2, DOUBT, entry="allow"),
    Case("number on the block list", "request_blocked", 1, 1, entry="block"),
    Case("shadow", "sent", 2, 2, {"mode": "shadow"}),
    Case("new number in doubt in shadow", "sent", 2, 3, {"mode": "shadow"} | DOUBT),
    Case("known number in doubt in shadow", "sent", 2, 3, {"mode": "shadow"} | DOUBT, is_known=True),
    Case("rules off", "sent", 2, 2, {"mode": "off"} | DOUBT),
    # Its provider reports the delivery at once: a statement that Twilio's report needs later.
    Case("sandbox", "sent", 1, 3, key="test_key"),
    Case("sandbox without a proof", "proof_required", 1, 0, key="test_key", phone=lambda: SANDBOX_PROOF),
    Case("sandbox with a proof", "sent", 2, 3, has_proof=True, key="test_key", phone=lambda: SANDBOX_PROOF),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
async def test_request_makes_a_fixed_number_of_calls(visitors: Visitors, case: Case) -> None:
    services = visitors.managed.api.services
    phones = {f"198.51.100.{number}": case.phone() for number in range(3)}
    if case.is_known:
        for address, phone in phones.items():
            await visitors.log_in(phone, address)
    if case.entry is not None:
        entry = {"list": case.entry, "kind": "network", "value": "198.51.100.0/24", "reason": "a test"}
        assert (await visitors.managed.call("POST", "/fraud/lists", entry)).status_code == 201
    if case.policy:
        await visitors.change_policy(**case.policy)
    visitors.key = case.key

    async def ask(address: str, phone: str) -> tuple[httpx.Response, tuple[int, int]]:
        proof = None
        if case.has_proof:
            requested = await visitors.request(phone, address)
            assert outcome(requested) == "proof_required"
            proof = solve(requested.json()["proof"])
        before = services.redis.round_trips, services.postgres.round_trips
        answer = await visitors.request(phone, address, proof=proof)
        return answer, (services.redis.round_trips - before[0], services.postgres.round_trips - before[1])

    answers = [await ask(address, phone) for address, phone in phones.items()]

    assert {outcome(answer) for answer, _ in answers} == {case.outcome}
    # The first request reads tenant and exposures, which the next ones find in this process and in Redis.
    assert [counts for _, counts in answers[1:]] == [(case.redis, case.statements)] * 2


async def test_number_in_doubt_that_is_unknown_uses_no_rate_limit(visitors: Visitors) -> None:
    answer = await visitors.managed.operator("PATCH", "", {"settings": {"requests_per_minute": 10}})
    assert answer.status_code == 200
    await visitors.change_policy(**DOUBT)

    for _ in range(15):
        assert outcome(await visitors.request(new_phone())) == "request_blocked"
        await visitors.settle()


async def test_known_number_in_shadow_is_recorded_as_allowed(visitors: Visitors) -> None:
    known, unknown = new_phone(), new_phone()
    await visitors.log_in(known)
    await visitors.change_policy(mode="shadow", sample=1, **DOUBT)

    for phone in (known, unknown):
        assert outcome(await visitors.request(phone)) == "sent"
    await visitors.settle()

    assert [decision["decision"] for decision in await visitors.decisions()] == ["block", "allow"]
