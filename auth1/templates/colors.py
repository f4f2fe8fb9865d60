"""Button colours: the tenant's colour, and white or black text on it.

Contrast follows WCAG 2.2. On any colour, white or black has a contrast of at least 4.58, above the 4.5 that WCAG
requires of text (1.4.3).
"""

from functools import lru_cache
from typing import NamedTuple

DEFAULT = "#1d4ed8"


class ButtonColors(NamedTuple):
    """Background and text of a button. A border in the text colour makes it visible on white and on black."""

    background: str
    text: str


@lru_cache(maxsize=1024)
def button_colors(color: str | None) -> ButtonColors:
    """Return the colours of a button in a tenant's colour, `#rrggbb`, or in the default."""
    background = color or DEFAULT
    return ButtonColors(background, max(("#ffffff", "#000000"), key=lambda text: contrast(background, text)))


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21."""
    darker, lighter = sorted((luminance(first), luminance(second)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(color: str) -> float:
    """Return the relative luminance of `#rrggbb`, from 0 to 1."""
    parts = [value / 255 for value in bytes.fromhex(color[1:])]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
