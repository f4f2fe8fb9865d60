"""The rules as pure functions: boundaries of loads, decisions and reasons."""

import math

import msgspec
import pytest

from auth1.fraud.constants import DAY_S, LARGEST, TRUST_S
from auth1.fraud.policy import FraudPolicy, FraudRule, FraudRules
from auth1.fraud.rules import Facts, country_ratio, decide, evaluate, guessing_load, is_known
from auth1.fraud.scopes import EMPTY, NARROW, Scope, State, decay, send, settle, settle_wide

NOON = 1_700_000_000.0
BUDGET = 10.0
POLICY = FraudPolicy()
WITH_EMAIL = msgspec.structs.replace(POLICY, channels=("email",))


def facts(**scopes: tuple[float, float]) -> Facts:
    """Return the facts of a number in a country that covers itself, with the given scopes."""
    return Facts(0.05, {"country": (0.05, 1000.0), "exposure_budget": (0.0, 0.0), **scopes})


def rules(**changed: FraudRule) -> FraudPolicy:
    return FraudPolicy(rules=msgspec.structs.replace(FraudRules(), **changed))


@pytest.mark.parametrize(
    ("exposure", "decision"),
    [(6, "allow"), (6.001, "proof_required"), (12, "proof_required"), (12.001, "block")],
)
def test_block_of_1000_is_escalated_at_one_and_two(exposure: float, decision: str) -> None:
    assert evaluate(POLICY, facts(block_of_1000=(exposure, 0)), BUDGET).decision == decision


def test_verified_messages_are_added_to_the_allowance() -> None:
    assessment = evaluate(POLICY, facts(block_of_10000=(17, 9)), BUDGET)

    assert assessment.decision == "allow"
    assert assessment.load == 1.0


def test_reason_names_scope_and_figures() -> None:
    assessment = evaluate(POLICY, facts(block_of_10000=(17, 0), block_of_1000=(6.5, 0)), BUDGET)

    assert tuple(map(str, assessment.reasons)) == (
        "block_of_10000: 17 unverified, 8 allowed",
        "block_of_1000: 6.5 unverified, 6 allowed",
    )
    assert assessment.scope == "block_of_10000"
    assert assessment.score == 1.0


def test_highest_load_is_referred_to_email_where_the_policy_names_it() -> None:
    assert evaluate(WITH_EMAIL, facts(address=(13, 0)), BUDGET).decision == "other_channel"


def test_proof_admits_loads_up_to_two() -> None:
    assert decide(POLICY, 2.0, has_proof=True) == "allow"
    assert decide(POLICY, math.nextafter(2, 3), has_proof=True) == "block"


@pytest.mark.parametrize("scope", NARROW)
def test_rule_in_shadow_is_reported_and_not_enforced(scope: Scope) -> None:
    allowance = getattr(FraudRules(), scope).allowance
    assessment = evaluate(rules(**{scope: FraudRule(allowance, "shadow")}), facts(**{scope: (1000.0, 0)}), BUDGET)

    assert (assessment.decision, assessment.shadow_decision) == ("allow", "block")
    assert assessment.reasons


@pytest.mark.parametrize("scope", NARROW)
def test_rule_that_is_off_has_no_load(scope: Scope) -> None:
    assert evaluate(rules(**{scope: FraudRule(1, "off")}), facts(**{scope: (1000.0, 0)}), BUDGET).load == 0


def test_policy_in_shadow_allows_and_reports() -> None:
    shadow = msgspec.structs.replace(POLICY, mode="shadow")
    assessment = evaluate(shadow, facts(address=(1000.0, 0)), BUDGET)

    assert (assessment.decision, assessment.shadow_decision, assessment.score) == ("allow", "block", 1.0)


def test_policy_that_is_off_allows_without_a_score() -> None:
    assert evaluate(FraudPolicy(mode="off"), facts(address=(1000.0, 0)), BUDGET).score == 0


def test_zero_allowance_blocks_and_does_not_fail() -> None:
    policy = FraudPolicy(rules=msgspec.structs.replace(FraudRules(), address=FraudRule(0)), exposure_budget=0)
    assessment = evaluate(policy, Facts(0.05, {"address": (1, 0), "country": (1, 0), "exposure_budget": (1, 0)}), 0)

    assert assessment.decision == "block"
    assert all(math.isfinite(load.load) for load in assessment.loads)


# --- known numbers, other tenants


def test_known_number_counts_half_in_blocks_only() -> None:
    known = msgspec.structs.replace(facts(block_of_1000=(12, 0), address=(6, 0)), known=True)

    assert evaluate(POLICY, known, BUDGET).load == 1.0


def test_known_number_is_exempt_from_the_wide_scope() -> None:
    empty = Facts(0.05, {"country": (1000, 0), "exposure_budget": (1000, 0)})

    assert evaluate(POLICY, empty, BUDGET).decision == "block"
    assert evaluate(POLICY, msgspec.structs.replace(empty, known=True), BUDGET).decision == "allow"


@pytest.mark.parametrize(
    ("answered", "unanswered", "known"), [(0, 0, False), (1, 2, True), (1, 3, False), (2, 3, True), (100, 52, True)]
)
def test_number_is_known_while_it_answers(answered: int, unanswered: int, known: bool) -> None:
    assert is_known(answered=answered, unanswered=unanswered) == known


def test_block_loaded_elsewhere_has_the_cross_tenant_allowance() -> None:
    elsewhere = msgspec.structs.replace(facts(block_of_1000=(5, 3)), loaded_elsewhere=("block_of_1000",))

    assert evaluate(POLICY, elsewhere, BUDGET).load == 1.0
    assert evaluate(rules(cross_tenant=FraudRule(2, "off")), elsewhere, BUDGET).load == 5 / 9
    assert evaluate(rules(cross_tenant=FraudRule(0, "shadow")), elsewhere, BUDGET).decision == "allow"
    assert evaluate(rules(cross_tenant=FraudRule(0, "shadow")), elsewhere, BUDGET).load == 5 / 3


def test_cross_tenant_allowance_is_never_above_that_of_the_block() -> None:
    policy = rules(block_of_1000=FraudRule(1))
    elsewhere = msgspec.structs.replace(facts(block_of_1000=(2, 0)), loaded_elsewhere=("block_of_1000",))

    assert evaluate(policy, elsewhere, BUDGET).load == 2.0


# --- the wide scope


def wide(country: tuple[float, float], budget: tuple[float, float], **changes: object) -> Facts:
    return msgspec.structs.replace(Facts(0.05, {"country": country, "exposure_budget": budget}), **changes)


def test_country_within_its_ratio_is_not_affected_by_an_empty_budget() -> None:
    assert evaluate(POLICY, wide((60, 100), (1000, 0)), BUDGET).decision == "allow"


def test_country_may_draw_half_of_the_exposure_budget() -> None:
    assert evaluate(POLICY, wide((5, 0), (5, 0)), BUDGET).load == 1.0
    assert evaluate(POLICY, wide((5.1, 0), (5.1, 0)), BUDGET).decision == "proof_required"


def test_countries_together_may_draw_the_exposure_budget() -> None:
    assert evaluate(POLICY, wide((0.1, 0), (10, 0)), BUDGET).load == 1.0
    assert evaluate(POLICY, wide((0.1, 0), (10.1, 0)), BUDGET).scope == "exposure_budget"


def test_exposure_budget_grows_with_verified_money() -> None:
    assert evaluate(POLICY, wide((0.1, 0), (50, 1000)), BUDGET).load == 1.0


def test_policy_sets_the_exposure_budget() -> None:
    assert evaluate(FraudPolicy(exposure_budget=20), wide((0.1, 0), (10, 0)), BUDGET).load == 0.5


def test_history_replaces_the_ratio_of_the_policy() -> None:
    assert evaluate(POLICY, wide((30, 100), (100, 0), ratio=0.25), BUDGET).load > 1
    assert evaluate(POLICY, wide((30, 100), (100, 0), ratio=0.3), BUDGET).load == 0


def test_cheap_messages_are_never_blocked_by_the_wide_scope() -> None:
    cheap = wide((1000, 0), (1000, 0), price=0.019, signals=("datacenter",))

    assert evaluate(FraudPolicy(signals={"datacenter": 0.5}), cheap, BUDGET).decision == "proof_required"
    assert evaluate(FraudPolicy(price_floor=0.019), cheap, BUDGET).decision == "block"


def test_login_in_the_network_divides_the_wide_load_for_seven_days() -> None:
    login = decay(State(0, 1, NOON), NOON + TRUST_S, DAY_S)
    later = decay(State(0, 1, NOON), NOON + TRUST_S + 60, DAY_S)

    for state, load in ((login, 0.5), (later, 2.0)):
        facts_ = wide((10, 0), (10, 0))
        trusted = msgspec.structs.replace(facts_, scopes={**facts_.scopes, "network": (0, state.verified)})
        assert evaluate(POLICY, trusted, BUDGET).load == load


def test_address_in_the_country_divides_the_wide_load() -> None:
    assert evaluate(POLICY, wide((10, 0), (10, 0), in_country=True), BUDGET).load == 0.5


# --- signals and minimum


def test_weight_of_a_signal_is_added_to_the_load() -> None:
    policy = FraudPolicy(signals={"datacenter": 0.5})
    signalled = msgspec.structs.replace(facts(address=(6, 0)), signals=("datacenter", "unknown"))
    assessment = evaluate(policy, signalled, BUDGET)

    assert assessment.load == 1.5
    assert tuple(map(str, assessment.reasons)) == ("address: 6 unverified, 6 allowed", "datacenter: weight 0.5")


def test_minimum_decides_where_no_scope_is_loaded() -> None:
    assessment = evaluate(POLICY, msgspec.structs.replace(facts(), minimum=1.5), BUDGET)

    assert (assessment.decision, assessment.scope, assessment.score) == ("proof_required", "", 0.75)


# --- states


def test_state_falls_to_37_percent_in_its_time_constant() -> None:
    state = decay(State(100, 100, NOON), NOON + 2 * DAY_S, 2 * DAY_S)

    assert state.exposure == pytest.approx(100 / math.e)
    assert state.verified == pytest.approx(100 * math.exp(-2 / 5))


def test_clock_that_goes_back_decays_nothing() -> None:
    assert decay(State(5, 3, NOON), NOON - 600, DAY_S) == State(5, 3, NOON - 600)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0, 2 * LARGEST])
def test_garbage_state_is_empty(bad: float) -> None:
    assert decay(State(bad, 0, NOON), NOON, DAY_S) == State(0, 0, NOON)
    assert decay(State(0, bad, NOON), NOON, DAY_S) == State(0, 0, NOON)


def test_message_draws_only_what_its_country_does_not_cover() -> None:
    states: dict[Scope, State] = {"country": State(0.5, 1, NOON), "exposure_budget": State(0, 0, NOON)}

    assert send(states, 0.25, 0.6, 0.02, NOON)["exposure_budget"].exposure == pytest.approx(0.15)
    assert send(states, 0.01, 0.6, 0.02, NOON)["exposure_budget"].exposure == 0


def test_verified_message_returns_what_it_drew() -> None:
    after = send({"country": EMPTY, "exposure_budget": EMPTY}, 0.25, 0.6, 0.02, NOON)
    country, budget = settle_wide(
        after["country"], after["exposure_budget"], 0.25, 0.25, 0.6, draws=True, now=NOON + 20
    )

    assert country == pytest.approx((0, 0.25, NOON + 20), abs=1e-3)
    assert budget == pytest.approx((0, 0.25, NOON + 20), abs=1e-3)


def test_settlement_never_goes_below_zero() -> None:
    assert settle(State(1, 0, NOON), 5, 1, DAY_S, NOON) == State(0, 1, NOON)


# --- guessing, history


def test_guessing_allows_60_wrong_codes_and_half_of_the_right_ones() -> None:
    assert guessing_load(POLICY, State(60, 0, NOON), NOON) == 1.0
    assert guessing_load(POLICY, State(110, 100, NOON), NOON) == 1.0
    assert guessing_load(POLICY, State(60, 0, NOON), NOON + 3600) == pytest.approx(1 / math.e)


def test_country_ratio_is_one_and_a_half_times_the_median_day() -> None:
    days = [(120, 100), (130, 100), (1000, 100)]

    assert country_ratio(days) == pytest.approx(0.45)


def test_country_ratio_ignores_days_with_few_logins() -> None:
    assert country_ratio([(38, 19)] * 14) is None
    assert country_ratio([(30, 20)] * 3 + [(200, 19)] * 11) == 0.7


def test_country_ratio_needs_three_days_and_ignores_one_attacked_day() -> None:
    assert country_ratio([(120, 100), (130, 100)]) is None
    assert country_ratio([(130, 100), (1000, 100), (1000, 100), (130, 100)]) == pytest.approx(0.45)


def test_country_ratio_is_bounded_and_reads_14_days() -> None:
    assert country_ratio([(100, 100)] * 3) == 0.25
    assert country_ratio([(1000, 100)] * 3) == 0.7
    assert country_ratio([(1000, 100)] * 20 + [(130, 100)] * 14) == pytest.approx(0.45)
