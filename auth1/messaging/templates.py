"""Templates of messages: text with `{brand}`, `{code}` and `{minutes}` in it.

That is the whole grammar, with `{{` and `}}` for the braces themselves: no formats, no attributes, nothing that could
reach further than these three values. What a tenant writes is shown to its users under the operator's name, so it holds
no link, no line break and nothing invisible that could turn a text around.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Literal, NamedTuple

_MAX_USES = 2  # of the brand and of the minutes: the longest name, 100 characters, must not swell to a novel

_TOKEN = re.compile(r"\{\{|\}\}|\{(brand|code|minutes)\}|[{}]")
# What phones make a link of: a dot between two words, a scheme, an address. `@` would also begin an autofill line.
_LINK = re.compile(r"\S[.\uff0e]\w{2}|://|@")
_JOINERS = "\u200c\u200d\u200e\u200f"  # invisible, but Persian, Indic scripts, Arabic and Hebrew are written with them
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class TemplateError(ValueError):
    """A text that is no template. The message says why, to whoever wrote it."""


class Rules(NamedTuple):
    """What a template may be: how long, and whether it says the code."""

    max_length: int
    code: Literal["once", "at most once", "never"]


SMS = Rules(320, "once")  # two segments, before the brand and the code are in it


class Template(NamedTuple):
    """A parsed template: what stands before each placeholder, and its name; then the rest."""

    pieces: tuple[tuple[str, str], ...]
    rest: str

    def render(self, *, brand: str, code: str, minutes: int) -> str:
        """Fill it in. Values are never looked into: a brand called `{code}` stays one."""
        values = {"brand": brand, "code": code, "minutes": str(minutes)}
        return "".join(text + values[name] for text, name in self.pieces) + self.rest

    def uses(self, name: str) -> int:
        return sum(name == used for _, used in self.pieces)


@lru_cache(maxsize=1024)
def parse(text: str, rules: Rules = SMS) -> Template:
    """Read a template. Raises TemplateError."""
    if not 1 <= len(text) <= rules.max_length:
        raise TemplateError(f"Must have 1 to {rules.max_length} characters")
    if any(unicodedata.category(character) in _INVISIBLE and character not in _JOINERS for character in text):
        raise TemplateError("Must not contain line breaks, control characters or invisible ones")
    template = _split(text)
    codes = template.uses("code")
    if rules.code == "never" and codes:
        raise TemplateError("Must not contain {code}: it has a line of its own")
    if codes > 1 or (rules.code == "once" and codes == 0):
        raise TemplateError("Must contain {code} " + ("exactly once" if rules.code == "once" else "once at most"))
    if max(template.uses("brand"), template.uses("minutes")) > _MAX_USES:
        raise TemplateError("Must not contain {brand} or {minutes} more than twice")
    # As a phone will see it: {brand}.com is a link too.
    if _LINK.search(template.render(brand="00", code="00", minutes=10)):
        raise TemplateError("Must not contain a link, an address, or a dot without a space after it")
    return template


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
            raise TemplateError("Braces hold brand, code or minutes, and nothing else; {{ and }} are braces themselves")
    return Template(tuple(pieces), literal + text[position:])
