"""Concurrent requests with one proof: a single one sends a code."""

from functools import partial

from tests.fraud.visitors import solve
from tests.races.conftest import NewUser, at_once, outcomes
from tests.support.api_client import ApiClient

PROOF_FOR_ALL = {"line_types": {"unknown": "proof_required"}}  # all numbers of North America


async def test_fifty_concurrent_requests_redeem_one_proof_once(new_user: NewUser, apis: list[ApiClient]) -> None:
    user = await new_user(apis)
    headers = {"x-api-key": user.tenant["secret_key"]}
    policy = await user.api.client.put("/api/tenant/fraud/policy", json=PROOF_FOR_ALL, headers=headers)
    assert policy.status_code == 200, policy.text
    required = await user.ask()
    assert (required.status_code, required.json()["code"]) == (403, "proof_required")

    proof = solve(required.json()["proof"])
    answers = await at_once(*[partial(user.ask, proof=proof)] * 50)

    seen = outcomes(answers)
    assert seen["200"] == 1
    assert seen.keys() <= {"200", "proof_required", "rate_limited"}
    assert len(user.codes) == 1
    assert await user.count("challenges") == 1
