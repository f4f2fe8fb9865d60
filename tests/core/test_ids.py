"""Ids sort by time, are unique across processes, and contain their creation time."""

import os
import time
from collections import Counter

import pytest

from auth1.core.ids import made_at, new_id, new_id_at

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
RANDOM_BITS = 80


def spell(number: int) -> str:
    """Write 128 bits in base 32, as the ULID specification does."""
    return "".join(DIGITS[number >> shift & 31] for shift in range(125, -1, -5))


def read(made: str) -> int:
    number = 0
    for digit in made.partition("_")[2]:
        number = number << 5 | DIGITS.index(digit)
    return number


@pytest.mark.parametrize("moment", [0, 1, 1_769_860_800_123, (1 << 48) - 1])
def test_id_is_its_milliseconds_and_random_bits_in_base_32(monkeypatch: pytest.MonkeyPatch, moment: int) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: moment * 1_000_000 + 999_999)
    made = new_id("usr")

    assert made == f"usr_{spell(read(made))}"
    assert read(made) >> RANDOM_BITS == moment
    assert made_at(made) == moment // 1000


def test_id_of_a_given_time_is_its_milliseconds_and_random_bits() -> None:
    made = [new_id_at("ses", 1_769_860_800.125) for _ in range(1000)]

    assert {read(one) >> RANDOM_BITS for one in made} == {1_769_860_800_125}
    assert {one for one in made if one != f"ses_{spell(read(one))}"} == set()
    assert len(set(made)) == len(made)


def test_ids_of_later_milliseconds_sort_after_earlier_ones() -> None:
    made = []
    for _ in range(20):
        made.append(new_id("evt"))
        time.sleep(0.002)

    assert made == sorted(made)


def test_ids_are_unique_and_their_random_digits_equally_likely() -> None:
    made = [new_id("ch") for _ in range(20_000)]
    digits = Counter("".join(one[-16:] for one in made))
    expected = len(made) * 16 / 32

    assert len(set(made)) == len(made)
    assert set(digits) == set(DIGITS)
    assert all(0.9 * expected < number < 1.1 * expected for number in digits.values())


def test_forked_process_repeats_no_id_of_its_parent() -> None:
    new_id("ch")  # the parent has random parts left over
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.write(writer, "".join(new_id("ch")[-16:] for _ in range(100)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        text = pipe.read()
    os.waitpid(pid, 0)
    of_child = {text[at : at + 16] for at in range(0, len(text), 16)}

    assert len(of_child) == 100
    assert of_child.isdisjoint({new_id("ch")[-16:] for _ in range(300)})
