"""Language tags: their spelling, and the order in which they are looked up."""

import re
from collections.abc import Collection, Iterator

FALLBACK = "en"
MAX_RANGES = 20  # of an Accept-Language header; browsers send a handful
RIGHT_TO_LEFT = frozenset({"ar", "ckb", "dv", "fa", "he", "ps", "sd", "ug", "ur", "yi"})

# Tags of texts: es, pt-BR, zh-Hant, zh-Hant-TW, es-419; in the spelling of RFC 5646 (2.1.1), so that each exists once.
_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?", re.ASCII)
# One range of Accept-Language and its weight (RFC 9110, 12.5.4 and 12.4.2), without the space around it: two adjacent
# runs of space would backtrack, which takes half a second for a header full of space.
_HINT = re.compile(r"(?=.{2,35}\Z)[A-Za-z]{2,8}(?:[-_][A-Za-z0-9]{1,8})*", re.ASCII)
_RANGE = re.compile(
    r"([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7})(?:\s*;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?))?", re.ASCII
)


def is_tag(text: str) -> bool:
    """Return whether a tag is in the spelling that texts are stored under."""
    return _TAG.fullmatch(text) is not None


def parse_hint(text: str | None) -> str | None:
    """Return the tag that a hint names, or None. A POSIX locale is a hint too: de_DE.UTF-8, en-US@posix."""
    tag = re.split(r"[.@]", (text or "").strip(), maxsplit=1)[0]
    return tag if tag != "POSIX" and _HINT.fullmatch(tag) else None


def normalise(tag: str) -> str:
    """Return a tag in the spelling of RFC 5646 (2.1.1): pt_br becomes pt-BR."""
    language, *rest = tag.replace("_", "-").lower().split("-")
    spelled = {2: str.upper, 4: str.capitalize}
    return "-".join([language, *(spelled.get(len(part), str)(part) for part in rest)])


def candidates(*tags: str | None) -> Iterator[str]:
    """Yield each tag and its prefixes, in the order of RFC 4647 (3.4): pt-BR, pt."""
    for tag in tags:
        rest = normalise(tag) if tag else ""
        while rest:
            yield rest
            rest = rest.rpartition("-")[0]


def find(known: Collection[str], *tags: str | None) -> str:
    """Return the first candidate among the known tags, else English."""
    return next((tag for tag in candidates(*tags) if tag in known), FALLBACK)


def parse_accept_language(header: str) -> list[str]:
    """Return the tags of an Accept-Language header by falling weight. Malformed ranges are ignored."""
    ranges = [_RANGE.fullmatch(part.strip()) for part in header.split(",", MAX_RANGES)[:MAX_RANGES]]
    weighted = [(float(match[2] or 1), match[1]) for match in ranges if match is not None]
    return [tag for weight, tag in sorted(weighted, key=lambda pair: -pair[0]) if weight > 0]


def direction(tag: str) -> str:
    """Return the `dir` attribute of a language."""
    return "rtl" if tag.partition("-")[0] in RIGHT_TO_LEFT else "ltr"
