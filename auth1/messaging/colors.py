"""Colours of buttons: what a tenant chose, and letters on it that can be read.

Contrast as WCAG 2.2 computes it. Of white and black one has at least 4.58 on any colour, which is above the 4.5 that
WCAG asks of text (1.4.3).
"""

from typing import NamedTuple

DEFAULT = "#1d4ed8"


class Button(NamedTuple):
    """A button's ground and its letters. A border of the letters' colour shows it on white and on black alike."""

    ground: str
    letters: str


def button(color: str | None) -> Button:
    """The colours of a button of this colour, `#rrggbb`."""
    ground = color or DEFAULT
    return Button(ground, max(("#ffffff", "#000000"), key=lambda letters: contrast(ground, letters)))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """The relative luminance of `#rrggbb`, from 0 to 1."""
    parts = [value / 255 for value in bytes.fromhex(color[1:])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
