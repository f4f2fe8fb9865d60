"""Text templates with `{brand}`, `{code}` and `{minutes}`.

`{{` and `}}` are literal braces; there are no formats and no attributes. Users see a tenant's text under the operator's
name, so a template contains no link, no line break, and no invisible character that could reorder the text.
"""

import math
import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

_MAX_USES = 2  # of brand and of minutes: a name of 100 characters must not make the text much longer

_TOKEN = re.compile(r"\{\{|\}\}|\{(brand|code|minutes)\}|[{}]")
# Text that phones turn into a link: a dot between two words, a scheme, an address. `@` also begins an autofill line.
_LINK = re.compile(r"\S[.\uff0e]\w{2}|://|@")
_JOINERS = "\u200c\u200d\u200e\u200f"  # invisible, but needed in Persian, Indic scripts, Arabic and Hebrew
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class TemplateError(ValueError):
    """An invalid template. The message says what to change."""


class TemplateRules(NamedTuple):
    """The maximum length of a template, and how often it contains the code."""

    max_length: int
    code: Literal["once", "at most once", "never"]


SMS = TemplateRules(320, "once")  # two segments, before brand and code are filled in


class Template(NamedTuple):
    """A parsed template: pairs of literal text and the placeholder after it, then the remaining text."""

    pieces: tuple[tuple[str, str], ...]
    rest: str

    def render(self, *, brand: str, code: str, minutes: int) -> str:
        """Fill in the placeholders. Values are not parsed: a brand named `{code}` is shown as it is."""
        values = {"brand": brand, "code": code, "minutes": str(minutes)}
        return "".join([text + values[name] for text, name in self.pieces]) + self.rest

    def count(self, name: str) -> int:
        return sum(name == used for _, used in self.pieces)


@lru_cache(maxsize=512)
def parse(text: str, rules: TemplateRules = SMS) -> Template:
    """Parse a template. Raises TemplateError."""
    if not 1 <= len(text) <= rules.max_length:
        raise TemplateError(f"Must have 1 to {rules.max_length} characters.")
    if any(unicodedata.category(character) in _INVISIBLE and character not in _JOINERS for character in text):
        raise TemplateError("Must not contain line breaks, control characters or invisible characters.")
    template = _split(text)
    codes = template.count("code")
    if rules.code == "never" and codes:
        raise TemplateError("Must not contain {code}; the code has its own line.")
    if codes > 1 or (rules.code == "once" and codes == 0):
        raise TemplateError("Must contain {code} " + ("exactly once." if rules.code == "once" else "at most once."))
    if max(template.count("brand"), template.count("minutes")) > _MAX_USES:
        raise TemplateError("Must not contain {brand} or {minutes} more than twice.")
    # Checked as a phone shows it: {brand}.com is a link too.
    if _LINK.search(template.render(brand="00", code="00", minutes=10)):
        raise TemplateError("Must not contain a link, an address, or a dot without a space after it.")
    return template


def minutes_left(expires_in: int) -> int:
    """Return the minutes to show for a life in seconds: rounded up, and at least one."""
    return max(1, math.ceil(expires_in / 60))


def to_one_line(text: str) -> str:
    """Reduce a name to one line of visible characters.

    Line ends, controls and marks that reorder text become spaces. Encoded words (RFC 2047) are broken up, because the
    standard library would decode them and write their line ends into a header.
    """
    visible = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in text)
    return " ".join("".join(visible).replace("=?", "= ?").split())


def _split(text: str) -> Template:
    pieces: list[tuple[str, str]] = []
    literal, position = "", 0
    for token in _TOKEN.finditer(text):
        literal += text[position : token.start()]
        position = token.end()
        if token[1]:
            pieces.append((literal, token[1]))
            literal = ""
        elif len(token[0]) == 2:
            literal += token[0][0]
        else:
            raise TemplateError("Braces may contain only brand, code or minutes; write {{ and }} for braces.")
    return Template(tuple(pieces), literal + text[position:])
