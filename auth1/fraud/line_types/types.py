"""Line types of phone numbers, and what a policy does with one. Pure: no I/O.

The names are those of Twilio Lookup. phonenumbers knows fewer: its VOIP becomes nonFixedVoip, because it does not
distinguish two kinds of VoIP, and `voip_blocking` rejects it. It has no type for North American numbers: mobiles,
landlines and VoIP share ranges there.
"""

from typing import Literal, NamedTuple, get_args

from phonenumbers import PhoneNumberType

from auth1.fraud.policy import Action, FraudPolicy, LineType
from auth1.fraud.rules import Reason

Source = Literal["prefixes", "lookup", "phonenumbers"]
# Why a look-up gave no line type. The last three concern one number, all others the service.
LookupFailure = Literal[
    "timeout",
    "no_connection",
    "connection_lost",
    "response_too_large",
    "throttled",
    "credentials",
    "http_error",
    "invalid_response",
    "breaker_open",
    "rejected",
    "unknown_type",
    "other_number",
]

LINE_TYPES: tuple[LineType, ...] = get_args(LineType)
# `voip_blocking` rejects these where the policy names no action.
BLOCKED_TYPES: frozenset[LineType] = frozenset(
    ("nonFixedVoip", "personal", "tollFree", "sharedCost", "uan", "voicemail", "pager")
)
_STRENGTHS: tuple[Action, ...] = ("allow", "flag", "proof_required", "block")
_BY_PHONENUMBERS: dict[int | None, LineType] = {
    PhoneNumberType.FIXED_LINE: "landline",
    PhoneNumberType.MOBILE: "mobile",
    PhoneNumberType.VOIP: "nonFixedVoip",
    PhoneNumberType.PERSONAL_NUMBER: "personal",
    PhoneNumberType.TOLL_FREE: "tollFree",
    PhoneNumberType.PREMIUM_RATE: "premium",
    PhoneNumberType.SHARED_COST: "sharedCost",
    PhoneNumberType.UAN: "uan",
    PhoneNumberType.VOICEMAIL: "voicemail",
    PhoneNumberType.PAGER: "pager",
}


class LineTypeResult(NamedTuple):
    """The line type of a number, and its source.

    `failure` is set where a look-up was wanted and gave no type; the type is then that of phonenumbers.
    `pumping_risk` (0 to 100) and `sim_swapped` are set where the operator buys these packages of Lookup.
    """

    type: LineType
    source: Source
    failure: LookupFailure | None = None
    pumping_risk: int | None = None
    sim_swapped: bool | None = None


class LineDecision(NamedTuple):
    """The decision for a line type. `reason` is set unless the action is `allow`.

    `unavailable`: the look-up failed, and the tenant's policy wants a 503 then.
    """

    action: Action | Literal["unavailable"]
    reason: Reason | None = None


ALLOWED = LineDecision("allow")


def type_by_phonenumbers(line: int | None) -> LineType:
    """Return the line type of a PhoneNumberType: `unknown` where mobiles and landlines share ranges."""
    return _BY_PHONENUMBERS.get(line, "unknown")


def action_of(line_type: LineType, policy: FraudPolicy, *, voip_blocking: bool) -> Action:
    """Return the action of the policy; without one that of `voip_blocking`. Premium numbers are rejected by default."""
    action = policy.line_types.get(line_type)
    if action is not None:
        return action
    is_blocked = line_type == "premium" or (voip_blocking and line_type in BLOCKED_TYPES)
    return "block" if is_blocked else "allow"


def decide_line_type(result: LineTypeResult, policy: FraudPolicy, *, voip_blocking: bool) -> LineDecision:
    """Decide by line type and by the outcome of its look-up.

    A type that is blocked stays blocked when the look-up fails. All others are then flagged or answered with 503, as
    `lookup_outage` says.
    """
    action = action_of(result.type, policy, voip_blocking=voip_blocking)
    decision = LineDecision(action, Reason("line_type", result.type)) if action != "allow" else ALLOWED
    if result.failure is None or action == "block":
        return decision
    if policy.lookup_outage == "unavailable":
        return LineDecision("unavailable", Reason("lookup_failed", result.failure))
    return decision if is_stronger(action, "flag") else LineDecision("flag", Reason("lookup_failed", result.failure))


def is_stronger(action: Action, other: Action) -> bool:
    """Return whether an action restricts a request more than another one."""
    return _STRENGTHS.index(action) > _STRENGTHS.index(other)


def parse_line_type(text: str) -> LineType | None:
    """Return the line type of a name, in the spelling of Twilio Lookup; None for other texts."""
    return text if text in LINE_TYPES else None
