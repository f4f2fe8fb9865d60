"""Languages: how their tags are spelled, and which are looked for when a reader's own has no words."""

import re
from collections.abc import Collection, Iterator

FALLBACK = "en"
MAX_WANTED = 20  # of an Accept-Language header; browsers send a handful

# Of a tenant's own texts: es, pt-BR, zh-Hant, zh-Hant-TW, es-419; spelled as RFC 5646 (2.1.1) does, so that none is
# there twice.
_TAG = re.compile(r"[a-z]{2,3}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?", re.ASCII)
# One range of Accept-Language and its weight (RFC 9110, 12.5.4 and 12.4.2), without the space around it: of two runs of
# space side by side all divisions would be tried, which for a header full of space takes half a second.
_RANGE = re.compile(
    r"([A-Za-z]{2,8}(?:-[A-Za-z0-9]{1,8}){0,7})(?:\s*;\s*[qQ]\s*=\s*([01](?:\.[0-9]{0,3})?))?", re.ASCII
)


def is_tag(text: str) -> bool:
    """Whether a text could be stored under this tag."""
    return _TAG.fullmatch(text) is not None


def normalise(tag: str) -> str:
    """Spell a language tag as RFC 5646 (2.1.1) does: pt_br is pt-BR."""
    language, *rest = tag.replace("_", "-").lower().split("-")
    spelled = {2: str.upper, 4: str.capitalize}
    return "-".join([language, *(spelled.get(len(part), str)(part) for part in rest)])


def candidates(*tags: str | None) -> Iterator[str]:
    """Name the locales to look for, one after another: each tag, and what it is a part of (RFC 4647, 3.4)."""
    for tag in tags:
        rest = normalise(tag) if tag else ""
        while rest:
            yield rest
            rest = rest.rpartition("-")[0]


def find(known: Collection[str], *tags: str | None) -> str:
    """The first of the candidates that is known, else English."""
    return next((tag for tag in candidates(*tags) if tag in known), FALLBACK)


def accepted(header: str) -> list[str]:
    """The tags of an Accept-Language header, the most wanted first; what is no tag is passed over."""
    ranges = [_RANGE.fullmatch(part.strip()) for part in header.split(",", MAX_WANTED)[:MAX_WANTED]]
    wanted = [(float(found[2] or 1), found[1]) for found in ranges if found is not None]
    return [tag for weight, tag in sorted(wanted, key=lambda one: -one[0]) if weight > 0]
