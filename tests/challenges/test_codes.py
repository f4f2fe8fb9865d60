"""Generated codes are uniform, and ids are unique and ordered."""

from collections import Counter

from auth1.challenges.codes import new_code
from auth1.core.ids import new_id


def test_codes_are_uniform_and_keep_leading_zeros() -> None:
    drawn = Counter(new_code(4) for _ in range(300_000))

    # Each of 10,000 values is missing with probability e^-30.
    assert len(drawn) == 10_000
    assert all(len(code) == 4 and code.isdecimal() for code in drawn)
    # Thirty of each are expected; ninety of one would be eleven standard deviations off.
    assert max(drawn.values()) < 90


def test_ids_are_unique_and_sort_by_time() -> None:
    ids = [new_id("evt") for _ in range(10_000)]

    assert len(set(ids)) == len(ids)
    assert [name[:14] for name in ids] == sorted(name[:14] for name in ids)
