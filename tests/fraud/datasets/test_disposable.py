"""Disposable email domains."""

import pytest

from auth1.fraud.datasets.disposable import is_disposable


@pytest.mark.parametrize(
    ("email", "expected"),
    [
        ("a@mailinator.com", True),
        ("a@sub.mailinator.com", True),
        ("a@mailinator.com.example.org", False),
        ("a@gmail.com", False),
        ("mailinator.com@example.com", False),
    ],
)
def test_domain_and_the_domains_above_it_are_looked_up(email: str, expected: bool) -> None:
    assert is_disposable(email) is expected
