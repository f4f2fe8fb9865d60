"""Contrast of button colours."""

import itertools

import pytest

from auth1.templates.colors import DEFAULT, button_colors, contrast


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ("#ffffff", "#000000", 21.0),
        ("#777777", "#ffffff", 4.48),
        ("#0000ff", "#ffffff", 8.59),
        ("#abcdef", "#abcdef", 1),
    ],
)
def test_contrast_follows_wcag(one: str, other: str, ratio: float) -> None:
    assert contrast(one, other) == contrast(other, one) == pytest.approx(ratio, abs=0.005)


def test_text_and_border_have_enough_contrast_on_every_colour() -> None:
    steps = [*range(0, 256, 15)]
    for red, green, blue in itertools.product(steps, steps, steps):
        background, text = button_colors(f"#{red:02x}{green:02x}{blue:02x}")
        assert contrast(background, text) >= 4.5
        for paper in ("#ffffff", "#000000"):
            assert max(contrast(background, paper), contrast(text, paper)) >= 3  # WCAG 2.2, 1.4.11


def test_default_colour_is_used_without_a_brand_colour() -> None:
    assert button_colors(None) == (DEFAULT, "#ffffff")
