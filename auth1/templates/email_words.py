"""The words of an email: the tenant's own where it has some, else the built-in ones, in the language of the reader.

A tenant may replace single words of a built-in language. In any other language it gives all words, so that no email
mixes two languages.
"""

from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple

from auth1.templates.locales import FALLBACK, candidates
from auth1.templates.placeholders import Template, TemplateError, TemplateRules, parse
from auth1.templates.schemas import Branding, EmailText, Purpose
from auth1.templates.strings import STRINGS, EmailStrings

RULES = {
    "subject": TemplateRules(120, "at most once"),
    "link": TemplateRules(320, "never"),
    "button": TemplateRules(60, "never"),
    "paste": TemplateRules(160, "never"),
    "code": TemplateRules(320, "never"),
    "expiry": TemplateRules(160, "never"),
    "footer": TemplateRules(320, "never"),
}
ADD_RULES = {"add_subject": RULES["subject"], "add_code": RULES["code"]}


class Contents(NamedTuple):
    """The contents of an email, the reason for it, and the minutes that remain."""

    code: bool
    link: bool
    minutes: int
    purpose: Purpose = "login"


class EmailWords(NamedTuple):
    """The words of an email, and their language."""

    lang: str
    subject: Template
    link: Template
    button: Template
    paste: Template
    code: Template
    expiry: Template
    footer: Template


def find_words(branding: Branding, locale: str | None, contents: Contents) -> EmailWords:
    """Find the words for a reader. A stored word that is invalid by today's rules is ignored."""
    own = branding.texts.email
    tags = list(_tags(own, (locale, branding.default_locale, FALLBACK), contents.purpose))
    return EmailWords(tags[0], *(_find(name, own, tags, contents) for name in RULES))


def _tags(own: dict[str, EmailText], wanted: tuple[str | None, ...], purpose: Purpose) -> Iterator[str]:
    """Yield the tags with words for a purpose, in the order of lookup."""
    for tag in wanted:
        known = [each for each in candidates(tag) if each in STRINGS or each in own]
        if purpose == "login" or _can_add(own, known):
            yield from known


def _can_add(own: dict[str, EmailText], tags: list[str]) -> bool:
    """Return whether a language has words for adding an address: built in, or all of the tenant's own."""
    if any(tag in STRINGS for tag in tags):
        return True
    return all(any(getattr(own[tag], name) is not None for tag in tags) for name in ADD_RULES)


def _find(name: str, own: dict[str, EmailText], tags: list[str], contents: Contents) -> Template:
    for tag in tags:
        if tag in own:
            with suppress(TemplateError):
                template = _own(name, own[tag], contents)
                if template is not None:
                    return template
        if tag in STRINGS:
            strings = STRINGS[tag]
            return strings.template(_built_in(name, strings.email, contents), contents.minutes)
    raise AssertionError("English is among the candidates")


def _own(name: str, text: EmailText, contents: Contents) -> Template | None:
    field = f"add_{name}" if contents.purpose == "add" and name in ("subject", "code") else name
    given: str | None = getattr(text, field)
    if given is None:
        return None
    template = parse(given, RULES[name])
    if template.count("code") and not contents.code:
        return _own("button", text, contents)
    return template


def _built_in(name: str, strings: EmailStrings, contents: Contents) -> str:
    kind = "both" if contents.code and contents.link else "link" if contents.link else "code"
    match name:
        case "subject":
            if contents.purpose == "add":
                return strings.add_subject
            return strings.link_subject if contents.link else strings.code_subject
        case "code":
            return strings.add_code if contents.purpose == "add" else strings.code
        case "link":
            return strings.or_link if contents.code else strings.link
        case "expiry" | "footer":
            text: str = getattr(strings, f"{kind}_{name}")
            return text
    return strings.button if name == "button" else strings.paste
