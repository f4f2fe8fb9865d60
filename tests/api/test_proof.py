"""Proof of work through the API: a request that needs a proof, and the same request with one."""

import asyncio
import base64
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.api_client import ApiClient

PAGE = (Path(__file__).parents[2] / "docs" / "fraud.md").read_text()
NODE = shutil.which("node")
REQUEST, PHONE = "/api/auth/request", "+15005550006"


def snippet(language: str) -> str:
    """Return the solver in docs/fraud.md."""
    found = re.search(rf"<!-- solver -->\n```{language}\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    return found[1]


def solve(proof: dict[str, Any]) -> dict[str, str]:
    """Solve a proof with the Python of docs/fraud.md."""
    scope: dict[str, Any] = {}
    exec(snippet("python"), scope)
    solved: dict[str, str] = scope["solve"](proof)
    return solved


async def challenge(api: ApiClient, key: str) -> dict[str, Any]:
    """Request a code for the number that needs a proof."""
    response = await api.post(REQUEST, {"phone": PHONE}, key)
    assert (response.status_code, response.json()["code"]) == (403, "proof_required")
    proof: dict[str, Any] = response.json()["proof"]
    return proof


async def test_proof_has_the_documented_form(api: ApiClient, tenant: dict[str, Any]) -> None:
    proof = await challenge(api, tenant["test_key"])

    assert (proof["kind"], proof["algorithm"]) == ("pow", "SHA-256")
    assert (proof["maxnumber"], proof["expires_in"]) == (50_000, 300)
    assert set(proof) == {"kind", "algorithm", "challenge", "salt", "maxnumber", "signature", "expires_in"}


async def test_request_with_a_solved_proof_is_sent(api: ApiClient, tenant: dict[str, Any]) -> None:
    proof = await challenge(api, tenant["test_key"])

    sent = await api.post(REQUEST, {"phone": PHONE, "proof": solve(proof)}, tenant["test_key"])
    verified = await api.post("/api/auth/verify", {"phone": PHONE, "code": "000000"}, tenant["test_key"])

    assert (sent.status_code, sent.json()["status"]) == (200, "sent")
    assert verified.status_code == 200


@pytest.mark.skipif(NODE is None, reason="Node.js is not installed")
async def test_javascript_of_the_docs_solves_a_proof(api: ApiClient, tenant: dict[str, Any], tmp_path: Path) -> None:
    proof = await challenge(api, tenant["test_key"])
    script = f"{snippet('js')}\nsolve({json.dumps(proof)}).then((solved) => console.log(JSON.stringify(solved)));"
    (tmp_path / "solve.js").write_text(script)

    solved = json.loads(await asyncio.to_thread(subprocess.check_output, [NODE or "", str(tmp_path / "solve.js")]))
    sent = await api.post(REQUEST, {"phone": PHONE, "proof": solved}, tenant["test_key"])
    assert sent.status_code == 200


async def test_proof_is_accepted_once(api: ApiClient, tenant: dict[str, Any]) -> None:
    proof = solve(await challenge(api, tenant["test_key"]))
    body = {"phone": PHONE, "proof": proof}

    responses = await asyncio.gather(*(api.post(REQUEST, body, tenant["test_key"]) for _ in range(10)))

    assert sorted(response.status_code for response in responses) == [200] + [403] * 9
    rejected = next(response.json() for response in responses if response.status_code == 403)
    assert rejected["code"] == "proof_required"
    assert rejected["detail"].startswith("This proof has expired, has been used, or is for another request")
    assert rejected["proof"]["challenge"] != json.loads(base64.b64decode(proof["payload"]))["challenge"]


async def test_proof_of_the_sandbox_of_another_tenant_is_rejected(api: ApiClient, tenant: dict[str, Any]) -> None:
    other = await api.tenant()
    proof = await challenge(api, tenant["test_key"])

    response = await api.post(REQUEST, {"phone": PHONE, "proof": solve(proof)}, other["test_key"])

    assert (response.status_code, response.json()["code"]) == (403, "proof_required")


@pytest.mark.parametrize(
    ("proof", "field"),
    [
        ({"kind": "pow", "payload": ""}, "proof.payload"),
        ({"kind": "pow", "payload": "e30="}, "proof.payload"),
        ({"kind": "pow", "payload": "x" * 1025}, "proof.payload"),
        ({"kind": "pow", "payload": "\x00\ud7ff"}, "proof.payload"),
        ({"kind": "pow", "payload": 5}, "proof.payload"),
        ({"kind": "pow"}, "proof.payload"),
        ({"kind": "pow", "payload": "e30=", "more": 1}, "proof.more"),
        ({"kind": "captcha", "token": ""}, "proof.token"),
        ({"kind": "captcha", "token": "x" * 8193}, "proof.token"),
        ({"kind": "other"}, "proof.kind"),
        ({}, "proof.kind"),
        ([], "proof"),
    ],
)
async def test_malformed_proof_is_a_validation_error(
    api: ApiClient, tenant: dict[str, Any], phone: str, proof: object, field: str
) -> None:
    for key, to in (("test_key", PHONE), ("api_key", phone)):
        response = await api.post(REQUEST, {"phone": to, "proof": proof}, tenant[key])

        assert (response.status_code, response.json()["code"]) == (422, "validation_failed")
        assert [error["field"] for error in response.json()["errors"]] == [field]


async def test_proof_for_a_number_that_needs_none_is_ignored(api: ApiClient, tenant: dict[str, Any]) -> None:
    proof = solve(await challenge(api, tenant["test_key"]))

    sent = await api.post(REQUEST, {"phone": "+15005550000", "proof": proof}, tenant["test_key"])

    assert sent.status_code == 200


async def test_retry_with_another_proof_replays_the_response(api: ApiClient, tenant: dict[str, Any]) -> None:
    key, headers = tenant["test_key"], {"idempotency-key": "one"}
    solutions = [solve(await challenge(api, key)) for _ in range(2)]

    first, second = [await api.post(REQUEST, {"phone": PHONE, "proof": one}, key, **headers) for one in solutions]

    assert first.status_code == second.status_code == 200
    assert first.json() == second.json()
    assert second.headers["idempotent-replayed"] == "true"
