"""The tables of docs/fraud-measurements.md are those of its results."""

import re

from bench.fraud import page


def test_tables_are_those_of_the_results() -> None:
    text = page.PAGE.read_text()

    assert text == page.with_tables(text, page.RESULTS.read_text()), "run python -m bench.fraud.page"


def test_every_dollar_in_the_text_is_in_a_table() -> None:
    """Prices of a message, and the loss before a change of the rules, are no results."""
    text = page.PAGE.read_text()
    tables = "".join(re.findall(r"<!-- table.*?<!-- end -->", text, re.DOTALL))
    rest = re.sub(r"<!-- table.*?<!-- end -->", "", text, flags=re.DOTALL)
    amounts = set(re.findall(r"\$\d+\.\d\d\b(?!\d)", rest)) - {"$0.02", "$0.08"}

    assert [amount for amount in sorted(amounts) if amount not in tables] == []
