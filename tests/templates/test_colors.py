"""Letters on a colour that somebody chose."""

import itertools

import pytest

from auth1.messaging.colors import DEFAULT, button, contrast


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#ffffff", "#000000", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#0000ff", "#ffffff", 8.59),
        ("#abcdef", "#abcdef", 1),
    ],
)
def test_contrast_is_that_of_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


def test_on_every_colour_the_letters_can_be_read_and_the_border_seen() -> None:
    steps = [*range(0, 256, 15)]
    for red, green, blue in itertools.product(steps, steps, steps):
        ground, letters = button(f"#{red:02x}{green:02x}{blue:02x}")
        assert contrast(ground, letters) >= 4.5
        for paper in ("#ffffff", "#000000"):
            assert max(contrast(ground, paper), contrast(letters, paper)) >= 3  # WCAG 2.2, 1.4.11


def test_without_a_colour_there_is_ours() -> None:
    assert button(None) == (DEFAULT, "#ffffff")
