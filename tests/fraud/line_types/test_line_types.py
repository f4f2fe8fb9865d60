"""Decisions by line type: the policy's action, `voip_blocking`, and the outage policy."""

import pytest
from phonenumbers import PhoneNumberType

from auth1.fraud.line_types.types import (
    LINE_TYPES,
    LineTypeResult,
    LookupFailure,
    action_of,
    decide_line_type,
    parse_line_type,
    type_by_phonenumbers,
)
from auth1.fraud.policy import Action, FraudPolicy, LineType
from auth1.identifiers import parse_phone


@pytest.mark.parametrize("line_type", LINE_TYPES)
def test_voip_blocking_rejects_the_types_that_cost_or_cannot_be_verified(line_type: LineType) -> None:
    blocked = ("nonFixedVoip", "personal", "tollFree", "sharedCost", "uan", "voicemail", "pager", "premium")

    action = action_of(line_type, FraudPolicy(), voip_blocking=True)

    assert action == ("block" if line_type in blocked else "allow")


@pytest.mark.parametrize("line_type", LINE_TYPES)
def test_only_premium_is_rejected_without_voip_blocking(line_type: LineType) -> None:
    action = action_of(line_type, FraudPolicy(), voip_blocking=False)

    assert action == ("block" if line_type == "premium" else "allow")


@pytest.mark.parametrize("action", ["allow", "flag", "proof_required", "block"])
@pytest.mark.parametrize("line_type", LINE_TYPES)
def test_action_of_the_policy_takes_precedence_over_voip_blocking(line_type: LineType, action: Action) -> None:
    policy = FraudPolicy(line_types={line_type: action})

    decision = decide_line_type(LineTypeResult(line_type, "lookup"), policy, voip_blocking=True)

    assert decision.action == action
    assert str(decision.reason) == ("None" if action == "allow" else f"line_type: {line_type}")


@pytest.mark.parametrize(
    ("line_type", "actions", "outage", "expected", "reason"),
    [
        ("unknown", {}, "allow", "flag", "lookup_failed: timeout"),
        ("unknown", {}, "unavailable", "unavailable", "lookup_failed: timeout"),
        ("mobile", {"mobile": "flag"}, "allow", "flag", "lookup_failed: timeout"),
        ("mobile", {"mobile": "proof_required"}, "allow", "proof_required", "line_type: mobile"),
        ("mobile", {"mobile": "proof_required"}, "unavailable", "unavailable", "lookup_failed: timeout"),
        ("nonFixedVoip", {}, "allow", "block", "line_type: nonFixedVoip"),
        ("nonFixedVoip", {}, "unavailable", "block", "line_type: nonFixedVoip"),
        ("unknown", {"unknown": "block"}, "allow", "block", "line_type: unknown"),
    ],
)
def test_outage_policy_decides_unless_the_type_is_blocked_already(
    line_type: LineType, actions: dict[LineType, Action], outage: str, expected: str, reason: str
) -> None:
    policy = FraudPolicy(line_types=actions, lookup_outage="allow" if outage == "allow" else "unavailable")
    failure: LookupFailure = "timeout"

    decision = decide_line_type(LineTypeResult(line_type, "phonenumbers", failure), policy, voip_blocking=True)

    assert (decision.action, str(decision.reason)) == (expected, reason)


@pytest.mark.parametrize(
    ("phone", "expected"),
    [
        ("+447912345678", "mobile"),
        ("+442071838750", "landline"),
        ("+445612345678", "nonFixedVoip"),
        ("+447012345678", "personal"),
        ("+14155550100", "unknown"),
        ("+18005550100", "tollFree"),
    ],
)
def test_types_of_phonenumbers_have_the_names_of_lookup(phone: str, expected: LineType) -> None:
    assert type_by_phonenumbers(parse_phone(phone).line) == expected


def test_every_type_of_phonenumbers_is_mapped_or_unknown() -> None:
    lines = [value for name, value in vars(PhoneNumberType).items() if isinstance(value, int)]

    unknown = {line for line in lines if type_by_phonenumbers(line) == "unknown"}

    assert unknown == {PhoneNumberType.UNKNOWN, PhoneNumberType.FIXED_LINE_OR_MOBILE}


def test_line_type_is_read_in_the_spelling_of_lookup_only() -> None:
    assert parse_line_type("nonFixedVoip") == "nonFixedVoip"
    assert [parse_line_type(text) for text in ("nonfixedvoip", "voip", "")] == [None, None, None]
