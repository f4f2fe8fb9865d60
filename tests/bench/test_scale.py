"""The division of PostgreSQL's CPU between two snapshots by `bench.scale`."""

import pytest

from bench.scale import Usage, used_between


def test_each_connection_counts_what_it_used_in_between() -> None:
    before = Usage(server=1.0, postgres=10.0, flows={1: 2.0}, others={2: 3.0})
    after = Usage(server=1.5, postgres=14.0, flows={1: 3.0}, others={2: 5.0})

    assert used_between(before, after) == pytest.approx((0.5, 1.0, 1.0))


def test_new_connection_counts_from_zero() -> None:
    before = Usage(server=0.0, postgres=10.0, flows={}, others={})
    after = Usage(server=0.0, postgres=13.0, flows={1: 2.0}, others={2: 0.5})

    assert used_between(before, after) == pytest.approx((0.0, 2.0, 0.5))


def test_ended_connection_leaves_the_others_unchanged() -> None:
    before = Usage(server=0.0, postgres=10.0, flows={1: 2.0, 3: 4.0}, others={2: 3.0})
    after = Usage(server=0.0, postgres=12.0, flows={1: 3.0}, others={})

    assert used_between(before, after) == pytest.approx((0.0, 1.0, 1.0))
