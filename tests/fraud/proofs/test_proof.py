"""Proof of work: the format, its limits, and its interoperation with ALTCHA's own library."""

import base64
import hashlib
import json
from typing import Any

import pytest
from altcha import v1 as altcha
from hypothesis import given, settings
from hypothesis import strategies as st

from auth1.api_error import PowChallenge
from auth1.core.crypto import Keyring
from auth1.errors import ValidationFailed
from auth1.fraud.proofs import work

OLD, NEW = "the secret that was, long enough as it is", "the secret that is, long enough as it is too"
KEYRING = Keyring(NEW)
TENANT, PHONE, NOW = "tn_one", "+15551234567", 1_800_000_000.5


def solve(challenge: PowChallenge) -> dict[str, Any]:
    """Solve a challenge with ALTCHA's library, and return the JSON of its solution."""
    solution = altcha.solve_challenge(challenge.challenge, challenge.salt, "SHA-256", challenge.maxnumber)
    assert solution is not None
    return {
        "algorithm": challenge.algorithm,
        "challenge": challenge.challenge,
        "number": solution.number,
        "salt": challenge.salt,
        "signature": challenge.signature,
    }


def encode(solution: object) -> str:
    """Encode a solution as ALTCHA's widget does."""
    return base64.b64encode(json.dumps(solution).encode()).decode()


def verify(
    solution: object, *, keyring: Keyring = KEYRING, tenant: str = TENANT, to: str = PHONE, now: float = NOW
) -> str | None:
    return work.verify(keyring, tenant, to, work.parse_payload(encode(solution)), now)


@pytest.fixture(scope="module")
def challenge() -> PowChallenge:
    return work.new_challenge(KEYRING, TENANT, PHONE, 1.0, NOW)


@pytest.fixture(scope="module")
def solution(challenge: PowChallenge) -> dict[str, Any]:
    return solve(challenge)


def test_solution_of_altcha_library_is_accepted(challenge: PowChallenge, solution: dict[str, Any]) -> None:
    assert verify(solution) == challenge.challenge


def test_solution_with_fields_of_the_widget_is_accepted(solution: dict[str, Any]) -> None:
    assert verify({**solution, "took": 812.5, "test": True}) is not None


def test_altcha_library_verifies_the_signature(solution: dict[str, Any]) -> None:
    key = KEYRING.derive_all("proof of work")[0]

    assert altcha.verify_solution(encode(solution), key, check_expires=False) == (True, None)
    expires = altcha.Payload.from_base64(encode(solution)).parse_salt()[1]
    assert expires == int(NOW) + 300


@pytest.mark.parametrize(
    ("load", "maxnumber"), [(0, 50_000), (1, 50_000), (1.5, 525_000), (2, 1_000_000), (9, 1_000_000)]
)
def test_difficulty_follows_the_load(load: float, maxnumber: int) -> None:
    assert work.difficulty(load) == maxnumber
    assert work.new_challenge(KEYRING, TENANT, PHONE, load, NOW).maxnumber == maxnumber


def test_proof_of_another_tenant_is_rejected(solution: dict[str, Any]) -> None:
    assert verify(solution, tenant="tn_two") is None
    assert verify(solution, tenant="tn_one:test") is None


def test_proof_of_another_identifier_is_rejected(solution: dict[str, Any]) -> None:
    assert verify(solution, to="+15551234568") is None


def test_proof_is_valid_for_five_minutes(solution: dict[str, Any]) -> None:
    assert verify(solution, now=NOW + 299) is not None
    assert verify(solution, now=NOW + 300) is None


def test_proof_under_the_previous_secret_is_accepted() -> None:
    solution = solve(work.new_challenge(Keyring(OLD), TENANT, PHONE, 1, NOW))

    assert verify(solution, keyring=Keyring(NEW, previous=OLD)) is not None
    assert verify(solution, keyring=Keyring(NEW)) is None


def test_new_proof_is_signed_with_the_current_secret() -> None:
    solution = solve(work.new_challenge(Keyring(NEW, previous=OLD), TENANT, PHONE, 1, NOW))

    assert verify(solution, keyring=Keyring(NEW)) is not None


def test_digits_cannot_be_moved_between_salt_and_number(solution: dict[str, Any]) -> None:
    digits = str(solution["number"])
    for cut in range(len(digits)):
        moved = {**solution, "salt": solution["salt"] + digits[:cut], "number": int(digits[cut:])}
        assert (verify(moved) is not None) == (cut == 0)
    assert verify({**solution, "salt": solution["salt"].removesuffix("&")}) is None


def test_caller_cannot_sign_a_challenge(solution: dict[str, Any]) -> None:
    salt = solution["salt"].replace("expires=18", "expires=19")
    challenge = hashlib.sha256(f"{salt}0".encode()).hexdigest()
    assert verify({**solution, "salt": salt, "number": 0, "challenge": challenge}) is None


def test_each_changed_character_is_rejected(solution: dict[str, Any]) -> None:
    for field in ("challenge", "salt", "signature"):
        for at, character in enumerate(solution[field]):
            other = "0" if character != "0" else "1"
            changed = solution[field][:at] + other + solution[field][at + 1 :]
            assert verify({**solution, field: changed}) is None, (field, at)
    assert verify({**solution, "number": solution["number"] ^ 1}) is None


def test_each_changed_bit_of_the_payload_gives_a_clear_answer(solution: dict[str, Any]) -> None:
    expected = verify(solution)
    payload = encode(solution).encode()
    for at in range(len(payload)):
        for bit in range(8):
            changed = bytearray(payload)
            changed[at] ^= 1 << bit
            assert outcome(changed.decode("latin-1")) in (None, "invalid", expected)


def outcome(payload: str) -> str | None:
    """Return the result of a payload, `invalid` for one that cannot be decoded."""
    try:
        solution = work.parse_payload(payload)
    except ValidationFailed:
        return "invalid"
    return work.verify(KEYRING, TENANT, PHONE, solution, NOW)


INVALID = {
    "empty": "",
    "not base64": "!!!!",
    "url-safe alphabet": base64.urlsafe_b64encode(b'{"salt":"\xff\xfe?>"}').decode(),
    "line break": encode({})[:2] + "\n" + encode({})[2:],
    "no padding": base64.b64encode(b"{} ").decode() + "e30",
    "not ASCII": "é" * 8,
    "surrogate": "\ud800",
    "not UTF-8": base64.b64encode(b'{"a":"\xff"}').decode(),
    "not JSON": base64.b64encode(b"{").decode(),
    "list": encode([]),
    "nested": base64.b64encode(b"[" * 500).decode(),
    "large": encode({"a": "x" * 1000}),
    "no fields": encode({}),
    "second format": encode({"challenge": {"parameters": {}}, "solution": {}}),
}


@pytest.mark.parametrize("payload", INVALID.values(), ids=INVALID)
def test_payload_that_is_no_solution_is_invalid(payload: str) -> None:
    with pytest.raises(ValidationFailed) as raised:
        work.parse_payload(payload)
    assert [error.field for error in raised.value.errors] == ["proof.payload"]


FIELDS: dict[str, list[object]] = {
    "algorithm": ["SHA-1", "SHA-512", "sha-256", None, 1],
    "challenge": ["", "A" * 64, "0" * 63, "0" * 65, "0" * 64 + "\n", None, 5],
    "number": [-1, 1_000_001, 10**30, 0.5, "1", True, None],
    "salt": ["x" * 201, None, 5, []],
    "signature": ["", "g" * 64, None, {}],
}


@pytest.mark.parametrize(("field", "value"), [(field, value) for field, values in FIELDS.items() for value in values])
def test_invalid_field_of_a_solution_is_invalid(solution: dict[str, Any], field: str, value: object) -> None:
    assert outcome(encode({**solution, field: value})) == "invalid"
    assert outcome(encode({name: kept for name, kept in solution.items() if name != field})) == "invalid"


@given(salt=st.text(max_size=120))
def test_any_other_salt_is_rejected(solution: dict[str, Any], salt: str) -> None:
    challenge = hashlib.sha256((salt + "1").encode(errors="replace")).hexdigest()
    other = {**solution, "salt": salt, "number": 1, "challenge": challenge}

    assert outcome(encode(other)) in (None, "invalid")


@given(payload=st.text() | st.binary().map(lambda raw: base64.b64encode(raw).decode()))
def test_any_payload_gives_a_clear_answer(payload: str) -> None:
    assert outcome(payload) in (None, "invalid")


@settings(max_examples=20)
@given(
    tenant=st.from_regex(r"tn_[0-9a-z]{4}(:test)?", fullmatch=True),
    to=st.from_regex(r"\+[1-9][0-9]{6,14}", fullmatch=True) | st.emails(),
)
def test_proof_holds_for_its_tenant_and_identifier_only(tenant: str, to: str) -> None:
    challenge = work.new_challenge(KEYRING, tenant, to, 0, NOW)
    solution = solve(challenge)

    assert verify(solution, tenant=tenant, to=to) == challenge.challenge
    assert verify(solution, tenant=tenant, to=to + "0") is None
    assert verify(solution, tenant=tenant + "0", to=to) is None


def test_numbers_are_random_and_span_the_range() -> None:
    nonces = {work.new_challenge(KEYRING, TENANT, PHONE, 1, NOW).salt[:24] for _ in range(100)}

    assert len(nonces) == 100
