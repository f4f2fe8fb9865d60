"""docs/fraud.md: reasons, rules and figures are those of the code."""

import math
import re
from pathlib import Path
from typing import get_args

import pytest

from auth1.fraud import constants
from auth1.fraud.lists.entries import ListName
from auth1.fraud.policy import SIGNALS, FraudPolicy
from auth1.fraud.proofs import work
from auth1.fraud.scopes import DECAY_S, NARROW, WIDE

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "fraud.md").read_text()
POLICY = FraudPolicy()


def table(heading: str) -> list[list[str]]:
    """Return the cells of the first table under a heading, without its head."""
    found = re.search(rf"^## {heading}\n.*?^\|---.*?\n(.*?)\n\n", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, heading
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def names(heading: str) -> list[str]:
    """Return the names in the first column of that table."""
    return [name for row in table(heading) for name in re.findall(r"`([a-z_0-9]+)`", row[0])]


def test_reasons_are_those_of_the_code() -> None:
    in_code = {
        name
        for path in (ROOT / "auth1" / "fraud").rglob("*.py")
        for name in re.findall(r"\bReason\(\s*\"([a-z_]+)\"", path.read_text())
    }

    in_code |= {f"{name}_list" for name in get_args(ListName)}

    documented = names("Read why a number was rejected")

    assert set(documented) == {*NARROW, *WIDE, *in_code}
    assert len(documented) == len(set(documented))


def test_each_signal_is_documented() -> None:
    assert sorted(names("Signals")) == sorted(SIGNALS)


@pytest.mark.parametrize("row", table("Rules"), ids=lambda row: str(row[0]))
def test_figures_of_a_scope_are_those_of_the_code(row: list[str]) -> None:
    scope, allowed, decays = row[0].strip("`"), row[1], row[2]
    days = DECAY_S[scope] / constants.DAY_S  # type: ignore[index]  # a name of the page

    assert decays == f"{days:g} day{'s' if days > 1 else ''}"
    if scope in NARROW:
        assert allowed.startswith(f"{getattr(POLICY.rules, scope).allowance:g} messages")
    elif scope == "country":
        assert allowed.startswith(f"{POLICY.ratio:g} dollars")
        assert constants.COUNTRY_SHARE == 0.5
    else:
        assert f"{constants.BUDGET_PART * 100:g} %" in allowed


def test_figures_of_the_text_are_those_of_the_code() -> None:
    text = " ".join(PAGE.split())
    rules = POLICY.rules
    low, high = constants.RATIO_BOUNDS
    for sentence in (
        f"less than ${POLICY.price_floor:g} (`price_floor`)",
        f"{constants.HISTORY_MARGIN:g} times the unverified",
        f"median day of the last {constants.HISTORY_DAYS}, from {low:g} to {high:g}",
        f"at most {constants.KNOWN_UNANSWERED:g} plus half of the answered ones",
        f"had a login within {constants.TRUST_S / constants.DAY_S:g} days",
        f"has an allowance of {rules.cross_tenant.allowance:g} instead at all others for a day",
        f"{rules.guessing.allowance:g} an hour are allowed, and half of the right ones",
        f"from {work.MIN_NUMBER:,} at a load of 1 to {work.MAX_NUMBER:,} at a load of 2",
        f"for {work.EXPIRES_IN // 60} minutes",
        f"{POLICY.sample * 100:g} % (`sample`)",
    ):
        assert sentence in text, sentence
    assert (constants.KNOWN_PART, constants.GUESSING_PART, constants.GUESSING_END) == (0.5, 0.5, 0.5)
    assert (constants.KNOWN_DIVISOR, constants.TRUST_DIVISOR) == (2, 4)
    assert (constants.PROOF_LOAD, constants.BLOCK_LOAD) == (1, 2)
    assert math.isclose(constants.VERIFIED_DECAY_S, 5 * constants.DAY_S)
